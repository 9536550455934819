"""The events of a ledger, as the rules saw them when they happened.

What rules see of an effect is in its record: arguments as they were wished, the result, the scores of external guards,
labels, times. What the case had said and done before is in the records before it. So other rules can be asked about
the same events, and the same rules give the same verdicts again; where they do not, something changes what they see
that is not recorded, which is worth knowing.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeAlias, cast

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from gatewright.agents.effects import Kind
from gatewright.agents.errors import NotFoundError
from gatewright.runtime import codec, episodes, exchange, history, results
from gatewright.runtime.clock import moment
from gatewright.runtime.episodes import Entry, Episode, Run
from gatewright.runtime.store import schema
from gatewright.safety import canonical
from gatewright.safety.ledger import records
from gatewright.safety.rules.events import AFTER, BEFORE, Event, Hook, Past, aware
from gatewright.safety.rules.guard import Guard
from gatewright.safety.rules.waivers import Scope, Waiver
from gatewright.safety.verdicts import Decision

_LEAF = schema.Leaf.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_PLACE = schema.Place.__table__  # type: ignore[attr-defined]
_RUN = schema.Run.__table__  # type: ignore[attr-defined]


Wanted: TypeAlias = Callable[[Hook, str, frozenset[str]], bool]
"""Whether any rule looks at such an event: its hook, name and labels."""


class Happening(NamedTuple):
    """An event that was recorded. `position` is that of its record in the log, None where that is still to come;
    `judgement` what was said of it then, None where no rule looked; `approval` what people answered."""

    position: int | None
    event: Event
    judgement: records.Judgement | None
    approval: records.ApprovalPart | None


class Case(NamedTuple):
    """The events of one case, in the order of time, and how many cannot be shown again because values were erased or
    withheld."""

    id: str
    deployment: str
    happenings: Sequence[Happening]
    lost: int


def cases(connection: Connection, *, deployment: str | None = None, since: datetime | None = None) -> Iterator[str]:
    """The ids of the cases in the ledger, in the order of their first record."""
    query = sa.select(_LEAF.c.case_id, sa.func.min(_LEAF.c.id)).where(_LEAF.c.case_id.is_not(None))
    if deployment is not None or since is not None:
        chosen = sa.select(_RUN.c.case_id)
        if deployment is not None:
            chosen = chosen.where(_RUN.c.deployment == deployment)
        if since is not None:
            chosen = chosen.where(_RUN.c.created_at >= int(since.timestamp() * 1_000_000))
        query = query.where(_LEAF.c.case_id.in_(chosen))
    found = connection.execute(query.group_by(_LEAF.c.case_id).order_by(sa.func.min(_LEAF.c.id))).all()
    return (row[0] for row in found)


def case_of(connection: Connection, position: int) -> str:
    """The id of the case that a record belongs to.

    Raises:
        NotFoundError: there is no such record, or it belongs to none.
    """
    query = sa.select(_LEAF.c.case_id).join(_PLACE, _PLACE.c.leaf == _LEAF.c.id).where(_PLACE.c.position == position)
    found = connection.execute(query).scalar()
    if found is None:
        raise NotFoundError(f"record {position} is not there, or belongs to no case; `gatewright audit` lists records")
    return str(found)


def read(connection: Connection, case_id: str, *, entry: str | None = None) -> Case:
    """All events of a case.

    Args:
        entry: the agent at the root of the case; read from its first run where None.

    Raises:
        NotFoundError: there is no such case.
    """
    return happened(episodes.read(connection, case_id), entry=entry)


def happened(episode: Episode, *, entry: str | None = None, wanted: Wanted | None = None) -> Case:
    """All events of an episode; `entry` as for `read`.

    Args:
        wanted: what is asked about, see `Guard.wants`: what it does not want, and rules said nothing of, is left out of
            the happenings. It stays in the histories.
    """
    return _Reading(episode, entry, wanted).case()


class _Timed(NamedTuple):
    """What happened at `at`, in the order of the ledger where that is the same; `before` is its event's history."""

    at: datetime
    order: int
    before: Before
    happening: Happening


class _Reading:
    """Reads one case; everything of it is in memory meanwhile."""

    def __init__(self, episode: Episode, entry: str | None, wanted: Wanted | None) -> None:
        self._wanted = wanted
        self._case_id = episode.id
        self._episode = episode
        self._asked = _asked(episode)
        roots = [run for run in episode.runs if run.thread_id == episode.id]
        self._entry = entry or (roots[0].agent if roots else "")
        self._deployment = roots[0].deployment if roots else ""
        self._timed: list[_Timed] = []
        self._past: list[tuple[datetime, Past]] = _answers(episode)
        self._lost = 0

    def case(self) -> Case:
        for run in self._episode.runs:
            self._begin(run, self._episode.ends.get(run.id))
        for row in self._episode.entries:
            if row.record.kind == "effect":
                self._effect(row)
            elif row.record.kind == "thread" and row.record.guard is not None:
                self._thread(row)
        self._past.sort(key=lambda item: item[0])
        times = [at for at, _past in self._past]
        pasts = [past for _at, past in self._past]
        timed = sorted(self._timed, key=lambda item: (item.at, item.order))
        for item in timed:
            item.before.extend(pasts, bisect.bisect_left(times, item.at))
        return Case(self._case_id, self._deployment, [item.happening for item in timed], self._lost)

    def _begin(self, run: Run, row: Entry | None) -> None:
        """What a run was given, and what it answered."""
        given = self._episode.input_of(run)
        if given is None:
            self._lost += 1
            return
        value = orjson.loads(given)
        started = moment(run.started_at)
        topic = "" if run.cause is None else run.cause.topic
        root = run.thread_id == self._case_id and not topic
        guard = None if row is None else row.record.guard
        common: dict[str, Any] = {
            "name": run.agent,
            "agent": run.agent,
            "deployment": run.deployment,
            "run_id": run.id,
            "thread_id": run.thread_id,
        }
        if root:
            self._past.append((started, Past(kind="human", name="user", result=history.words(value), time=started)))
        hook: Hook = "input" if root else "message.receive"
        before = None if guard is None else guard.before
        if self._wants(hook, run.agent, frozenset(), before):
            plain: Any = canonical.json_value(value)
            sender = topic or ("" if root else exchange.sender(run.thread_id, self._case_id, self._entry))
            self._add(
                row,
                Event(
                    history=Before(),
                    hook=hook,
                    args=plain if isinstance(plain, Mapping) else {"input": plain},
                    text=results.given(plain),
                    sender=sender,
                    time=started + timedelta(microseconds=1),  # after the person's words have been taken in
                    **common,
                ),
                before,
            )
        if guard is not None and guard.after is not None and row is not None and row.record.outcome != "ok":
            self._lost += 1  # the answer was refused, and is not kept
        if row is not None and row.record.outcome == "ok":
            if "output" not in row.values:
                self._lost += row.has("output") is False
                return
            after = None if guard is None else guard.after
            if not self._wants("output", run.agent, frozenset(), after):
                return
            output = row.values["output"].decoded()
            at = _time(row.record)
            self._add(
                row,
                Event(history=Before(), hook="output", result=output, text=results.said(output), time=at, **common),
                after,
            )

    def _effect(self, row: Entry) -> None:
        record, effect = row.record, row.record.effect
        assert effect is not None
        if not row.has("args") or not row.has("wished"):
            self._lost += 1
            return
        ended = _time(record)
        begun = self._asked.get((record.run_id, effect.key)) or ended - timedelta(milliseconds=record.duration_ms or 0)
        args = _arguments(row)
        guard = record.guard or records.GuardPart()
        hook = BEFORE.get(effect.kind)
        if hook is not None and self._wants(hook, effect.name, effect.labels, guard.before):
            wished: Mapping[str, Any] = row.values["wished"].decoded() if "wished" in row.values else args
            scores = {} if guard.before is None else guard.before.scores
            text = results.given(wished) if effect.kind in ("model", "message") else ""
            event = self._event(row, hook, args=wished, text=text, scores=scores, time=begun)
            self._add(row, event, guard.before)
        result = row.values["result"].decoded() if "result" in row.values else None
        if record.outcome in ("ok", "error") and row.has("result"):
            self._after(row, effect.kind, args, result, guard, ended)
            for handoff in results.handoffs(result) if effect.kind == "tool" else ():  # few, so all of them
                given = {"tool": effect.name, "update": handoff.update}
                event = self._event(row, "handoff", args=given, time=ended)
                self._add(row, dataclasses.replace(event, name=handoff.to, labels=frozenset()), None)
        elif record.duration_ms is not None:
            self._lost += 1  # it was performed, and rules or people have kept the result from being seen
        self._past.append(
            (
                ended,
                Past(
                    kind=effect.kind,
                    name=effect.name,
                    args=args,
                    result=results.judged(result),
                    ok=record.outcome == "ok",
                    verdict="allow" if guard.before is None else guard.before.verdict,
                    labels=effect.labels,
                    time=ended,
                ),
            )
        )

    def _after(
        self, row: Entry, kind: Kind, args: Mapping[str, Any], value: Any, guard: records.GuardPart, ended: datetime
    ) -> None:
        hook = AFTER.get(kind)
        effect = row.record.effect
        failed = row.record.outcome == "error"
        if kind == "decision" and failed:
            return  # nothing was picked
        if hook is None or effect is None or not self._wants(hook, effect.name, effect.labels, guard.after):
            return
        message = value.get("message", "") if failed and isinstance(value, Mapping) else ""
        event = self._event(
            row,
            hook,
            args=args,
            result=None if failed else results.judged(value),
            error=str(cast("object", message)),
            text=results.text(codec.plain(value)) if kind == "model" and not failed else "",
            scores={} if guard.after is None else guard.after.scores,
            time=ended,
        )
        self._add(row, event, guard.after)

    def _wants(self, hook: Hook, name: str, labels: frozenset[str], judgement: records.Judgement | None) -> bool:
        return self._wanted is None or judgement is not None or self._wanted(hook, name, labels)

    def _thread(self, row: Entry) -> None:
        record = row.record
        hook: Hook = "thread.start" if record.detail.get("event") == "thread.start" else "thread.end"
        event = Event(
            history=Before(),
            hook=hook,
            name=record.agent,
            agent=record.agent,
            deployment=record.deployment,
            thread_id=record.thread_id,
            args=_arguments(row),
            time=_time(record),
        )
        self._add(row, event, None if record.guard is None else record.guard.before)

    def _event(self, row: Entry, hook: Hook, **more: Any) -> Event:
        record, effect = row.record, row.record.effect
        assert effect is not None
        return Event(
            history=Before(),
            hook=hook,
            name=effect.name,
            agent=record.agent,
            deployment=record.deployment,
            run_id=record.run_id,
            thread_id=record.thread_id,
            labels=effect.labels,
            **more,
        )

    def _add(self, row: Entry | None, event: Event, judgement: records.Judgement | None) -> None:
        position = None if row is None else row.position
        approval = None if row is None or event.hook not in BEFORE.values() else row.record.approval
        before = cast("Before", event.history)
        happening = Happening(position, event, judgement, approval)
        self._timed.append(_Timed(event.time, len(self._timed), before, happening))


def judged(case: Case, guard: Guard) -> Iterator[tuple[Happening, Decision]]:
    """What a guard says of the events of a case, one after the other, with the waivers that held when they happened."""
    index = guard.index() if guard.remembers else None
    taken = 0
    for happening in case.happenings:
        event = happening.event
        if not guard.wants(event.hook, event.name, event.labels):
            yield happening, Decision(verdict="allow", pack=guard.title)
            continue
        if index is not None:
            for past in event.history[taken:]:
                index.add(past)
            taken = len(event.history)
            event = dataclasses.replace(event, index=index)
        yield happening, guard.evaluate(event, _waivers(happening))


def _waivers(happening: Happening) -> list[Waiver]:
    """Those that kept rules from counting; for this event alone, since what they were for is not in its record."""
    event, judgement = happening.event, happening.judgement
    return [
        Waiver(
            id=rule.waived,
            rule_id=rule.id,
            scope=Scope(tool=event.name),
            by="the record",
            reason="it held then",
            until=aware(event.time) + timedelta(microseconds=1),
        )
        for rule in (() if judgement is None else judgement.rules)
        if rule.waived
    ]


class Before(Sequence[Past]):
    """The first `count` entries of a case's history; shared, not copied, and known when all of the case is."""

    def __init__(self) -> None:
        self._entries: Sequence[Past] = ()
        self._count = 0

    def extend(self, entries: Sequence[Past], count: int) -> None:
        """These are the entries."""
        self._entries, self._count = entries, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return self._entries[slice(*at.indices(self._count))]
        return self._entries[range(self._count)[at]]


def _asked(episode: Episode) -> dict[tuple[str, str], datetime]:
    """When people were first asked, by run and place: rules had judged just before."""
    found: dict[tuple[str, str], datetime] = {}
    for request in episode.requests:
        found.setdefault((request.run_id, request.key), moment(request.asked_at))
    return found


def _answers(episode: Episode) -> list[tuple[datetime, Past]]:
    """What people answered to agents' own questions."""
    found: list[tuple[datetime, Past]] = []
    for request in episode.requests:
        if request.answered and request.decided_at is not None:
            at = moment(request.decided_at)
            found.append((at, Past(kind="human", name=request.by, result=history.words(request.answer), time=at)))
    return found


def _arguments(row: Entry) -> Mapping[str, Any]:
    found: Mapping[str, Any] = row.values["args"].decoded() if "args" in row.values else {}
    return found


def _time(record: records.Record) -> datetime:
    return datetime.fromisoformat(record.time)
