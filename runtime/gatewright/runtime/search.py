"""Finding decisions in the ledger: by what records say, and by the features and choices sealed beside them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel, ConfigDict
from sqlalchemy import Connection

from gatewright.agents.effects import Kind as EffectKind
from gatewright.agents.errors import UsageError
from gatewright.safety.canonical import canonical
from gatewright.safety.ledger.records import Kind, Outcome
from gatewright.safety.verdicts import Verdict

from . import ledger, summaries
from .store import schema
from .views import RecordView

CHUNK = 1_000  # records read at once
FARTHEST = 200_000  # records looked at for one page

_LEAF = schema.Leaf.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_PLACE = schema.Place.__table__  # type: ignore[attr-defined]

_CONDITION = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(>=|<=|!=|=|>|<)\s*(.+?)\s*")
_RELATIONS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}


class Condition(NamedTuple):
    """What a feature has to be."""

    name: str
    relation: str
    value: Any

    def holds(self, features: Mapping[str, Any]) -> bool:
        """Whether it is; a feature that is missing, or of another type, is not."""
        held: Any = features
        for part in self.name.split("."):
            if not isinstance(held, Mapping) or part not in held:
                return False
            held = held[part]
        try:
            return _RELATIONS[self.relation](held, self.value)
        except TypeError:
            return False


def condition(text: str) -> Condition:
    """Read `amount>5000` or `channel=web`; what is no JSON value is a text.

    >>> condition("amount >= 5000")
    Condition(name='amount', relation='>=', value=5000)

    Raises:
        UsageError: it has not that form.
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no condition on a feature; write NAME, one of >= <= != = > <, and a value")
    try:
        value = orjson.loads(found[3])
    except orjson.JSONDecodeError:
        value = found[3]
    return Condition(found[1], found[2], value)


class Search(BaseModel):
    """What is looked for; all that is given has to hold.

    `effect`: what kind of effect · `point`: a decision point · `policy`: who chose, by name, beginning or version ·
    `option`: what was chosen · `verdict`: the strictest of the rules · `approver`: one of those who decided ·
    `feature`: conditions such as `amount>5000`, on a decision's features or a tool's arguments · `since`, `until`: from
    the one to before the other.
    Policies, options and features are sealed values: a record whose values were erased is not found by them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    effect: EffectKind | None = None
    point: str | None = None
    agent: str | None = None
    deployment: str | None = None
    policy: str | None = None
    option: str | None = None
    verdict: Verdict | None = None
    outcome: Outcome | None = None
    approver: str | None = None
    thread_id: str | None = None
    case_id: str | None = None
    run_id: str | None = None
    kind: Kind | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    feature: tuple[str, ...] = ()

    def needles(self) -> list[bytes]:
        """Bytes that the record of every hit holds."""
        said = {"agent": self.agent, "deployment": self.deployment, "thread_id": self.thread_id, "name": self.point}
        said |= {"kind": self.effect, "outcome": self.outcome}
        said |= {"verdict": self.verdict if self.verdict != "allow" else None}
        return [canonical({name: value})[1:-1] for name, value in said.items() if value is not None]

    def admits(self, view: RecordView) -> bool:
        """Whether the public part of a record is what is looked for."""
        record, summary = view.record, summaries.of(view)
        effect = record["effect"] or {}
        wanted = (
            (self.effect, effect.get("kind")),
            (self.point, effect.get("name") if effect.get("kind") == "decision" else None),
            (self.agent, record["agent"]),
            (self.deployment, record["deployment"]),
            (self.verdict, summary.verdict),
            (self.outcome, summary.outcome),
            (self.thread_id, record["thread_id"]),
        )
        return (
            all(value is None or value == held for value, held in wanted)
            and (self.approver is None or self.approver in summary.approver.split(", "))
            and (self.since is None or view.time >= self.since)
            and (self.until is None or view.time < self.until)
        )

    def admits_opened(self, view: RecordView, conditions: Sequence[Condition]) -> bool:
        """Whether the sealed values of a record are what is looked for."""
        if self.policy is None and self.option is None and not conditions:
            return True
        args, result = view.opened.get("args"), view.opened.get("result")
        choice: Mapping[str, Any] = result if isinstance(result, Mapping) else {}
        given: Mapping[str, Any] = args if isinstance(args, Mapping) else {}
        policy = str(choice.get("policy", ""))
        return (
            (self.policy is None or policy.startswith(self.policy) or policy.partition("@")[2].startswith(self.policy))
            and (self.option is None or choice.get("option") == self.option)
            and all(each.holds(given.get("features") or given) for each in conditions)
        )


class Found(BaseModel):
    """A page of hits, newest first. `before`: ask for the next page with it; None where there is none.

    A page may hold few hits, or none, and have one after it: so many records are looked at for each.
    """

    records: list[RecordView]
    before: int | None


def search(connection: Connection, wanted: Search, *, before: int | None, limit: int) -> Found:
    """The newest hits among the records with an index below `before`.

    Raises:
        UsageError: a condition on a feature has not the form of one.
    """
    conditions = [condition(text) for text in wanted.feature]
    needles = wanted.needles()
    query = sa.select(_LEAF, _PLACE.c.position, _PLACE.c.hash).join(_PLACE, _PLACE.c.leaf == _LEAF.c.id)
    for column, value in (
        (_LEAF.c.kind, wanted.kind if wanted.point is None and wanted.effect is None else "effect"),
        (_LEAF.c.run_id, wanted.run_id),
        (_LEAF.c.case_id, wanted.case_id),
    ):
        if value is not None:
            query = query.where(column == value)
    query = query.order_by(_PLACE.c.position.desc()).limit(CHUNK)
    hits: list[RecordView] = []
    looked = 0
    while looked < FARTHEST:
        rows = connection.execute(query if before is None else query.where(_PLACE.c.position < before)).all()
        likely = [row for row in rows if all(needle in row.body for needle in needles)]
        for view in ledger.views(connection, likely):
            if wanted.admits(view) and wanted.admits_opened(view, conditions):
                hits.append(view)
                if len(hits) == limit:
                    return Found(records=hits, before=view.index)
        if len(rows) < CHUNK or _earlier(rows[-1].body, wanted.since):
            return Found(records=hits, before=None)
        before, looked = rows[-1].position, looked + len(rows)
    return Found(records=hits, before=before)


def _earlier(body: bytes, since: datetime | None) -> bool:
    """Whether a record was written well before `since`, so that none before it is later."""
    if since is None:
        return False
    return (since - datetime.fromisoformat(orjson.loads(body)["time"])).total_seconds() > 3600
