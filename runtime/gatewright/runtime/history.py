"""What has been said and done in a case, as the rules see it: people's words, and the effects of all its runs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, cast, overload

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from gatewright.agents.errors import UnavailableError
from gatewright.safety.rules.events import HISTORY_LIMIT, Past
from gatewright.safety.rules.guard import Guard
from gatewright.safety.rules.provenance import Index

from . import codec, judgements, requests, results
from .clock import moment
from .store import schema
from .store.writer import Transaction, Writer

_GIVEN = "input"  # the key of what a person gave to a run, beside those of its effects
_PERSONS = frozenset({"user", "human", None})  # who speaks in a message of a run's input, as clients write it
_ALL = 1_000_000  # entries of a case that an index takes in, the newest
CASES = 2048  # kept in memory, the most recently used
KNOWN = 10 * HISTORY_LIMIT  # entries of a case of which is remembered that they are known, the newest

_EFFECT = schema.Effect.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_RUN = schema.Run.__table__  # type: ignore[attr-defined]
_LEAF = schema.Leaf.__table__  # type: ignore[attr-defined]
_ARGS = schema.Sealed.__table__.alias("args")  # type: ignore[attr-defined]
_RESULT = schema.Sealed.__table__.alias("result")  # type: ignore[attr-defined]

_INPUT = schema.Sealed.__table__.alias("input")  # type: ignore[attr-defined]
_SAID = (
    sa.select(_RUN.c.id, _RUN.c.started_at, sa.func.coalesce(_RUN.c.input, _INPUT.c.value))
    .select_from(_RUN.outerjoin(_INPUT, sa.and_(_INPUT.c.leaf == _RUN.c.leaf, _INPUT.c.field == "input")))
    .where(_RUN.c.case_id == sa.bindparam("of_case"), _RUN.c.cause.is_(None), _RUN.c.started_at.is_not(None))
    .order_by(_RUN.c.number.desc())
    .limit(sa.bindparam("most"))
)
_APPROVAL = schema.Approval.__table__  # type: ignore[attr-defined]
_ANSWERED = (
    sa.select(_APPROVAL.c.run_id, _APPROVAL.c.key, _APPROVAL.c.request, _APPROVAL.c.decided_at)
    .where(
        _APPROVAL.c.case_id == sa.bindparam("of_case"),
        _APPROVAL.c.key.startswith(requests.QUESTION, autoescape=True),
        sa.or_(_APPROVAL.c.state == "answered", _APPROVAL.c.state == "consumed"),
    )
    .order_by(_APPROVAL.c.number.desc())
    .limit(sa.bindparam("most"))
)
_NEWEST = (
    sa.select(
        _EFFECT.c.run_id,
        _EFFECT.c.key,
        _EFFECT.c.kind,
        _EFFECT.c.name,
        _EFFECT.c.outcome,
        _EFFECT.c.guard,
        _ARGS.c.value,
        _RESULT.c.type,
        _RESULT.c.value,
        _LEAF.c.body,
        _EFFECT.c.attempt,
    )
    .select_from(
        _EFFECT.join(_RUN, _RUN.c.id == _EFFECT.c.run_id)
        .join(_LEAF, _LEAF.c.id == _EFFECT.c.leaf)
        .outerjoin(_ARGS, sa.and_(_ARGS.c.leaf == _EFFECT.c.leaf, _ARGS.c.field == "args"))
        .outerjoin(_RESULT, sa.and_(_RESULT.c.leaf == _EFFECT.c.leaf, _RESULT.c.field == "result"))
    )
    .where(_RUN.c.case_id == sa.bindparam("of_case"), _EFFECT.c.leaf.is_not(None))
    .order_by(_EFFECT.c.leaf.desc())
    .limit(sa.bindparam("most"))
)


# The newest of each kind: what another process has done since is among them, and one of it is enough to see that.
_DONE = (
    sa.select(_EFFECT.c.run_id, _EFFECT.c.key, _EFFECT.c.attempt)
    .select_from(_LEAF.join(_EFFECT, _EFFECT.c.leaf == _LEAF.c.id))
    .where(_LEAF.c.case_id == sa.bindparam("of_case"), _LEAF.c.kind == "effect")
    .order_by(_LEAF.c.id.desc())
    .limit(HISTORY_LIMIT)
)
_PLACES = sa.union_all(
    _DONE.subquery().select(),
    _SAID.with_only_columns(_RUN.c.id, sa.literal(_GIVEN), sa.literal(0)).subquery().select(),
    _ANSWERED.with_only_columns(_APPROVAL.c.run_id, _APPROVAL.c.key, sa.literal(0)).subquery().select(),
)

_Place = tuple[str, str]  # a run's id, and the key of what happened in it
Look = Callable[[Callable[[Connection], None]], Future[None]]
"""Reads the database in another thread."""


class Loaded(NamedTuple):
    """What is stored of a case, in the order of time; `attempts`: of everything that was read, 0 for words."""

    entries: OrderedDict[_Place, Past]
    attempts: Mapping[_Place, int]


class _Case:
    """One case in memory: its newest entries, and what each guard that asked has taken in of all of them.

    What happens is noted from the moment it is here, and `begun` when what happened before has been read too.
    `attempts` are those of what is known, and `earlier` the indexes whose calls under way go on in those made next.
    """

    def __init__(self, earlier: Mapping[str, Index]) -> None:
        self.entries: OrderedDict[_Place, Past] = OrderedDict()
        self.attempts: OrderedDict[_Place, int] = OrderedDict()
        self.indexes: dict[str, Index] = {}
        self.earlier = dict(earlier)
        self.begun = False

    def begin(self, loaded: Loaded) -> None:
        """Put what was read before what has been noted since."""
        if not self.begun:
            self.entries = OrderedDict([*(loaded.entries | self.entries).items()][-HISTORY_LIMIT:])
            self.attempts = OrderedDict(loaded.attempts) | self.attempts
            self.begun = True

    def knows(self, place: _Place, attempt: int) -> bool:
        return self.attempts.get(place, -1) >= attempt

    def add(self, place: _Place, past: Past, attempt: int) -> None:
        if place in self.entries:  # an effect was tried again; what it gave before does not count
            self.earlier |= self.indexes
            self.indexes.clear()
        self.entries[place] = past
        self.attempts[place] = attempt
        if len(self.attempts) > KNOWN:
            self.attempts.popitem(last=False)
        if len(self.entries) > HISTORY_LIMIT:
            self.entries.popitem(last=False)
        for index in self.indexes.values():
            index.add(past)


class Cases:
    """The histories of the cases that are being worked on; each is read from the ledger when it is first needed."""

    def __init__(self, writer: Writer, look: Look | None = None) -> None:
        """`look`: reads what other processes have done, where there are any."""
        self._writer = writer
        self._look = look
        self._lock = threading.Lock()
        self._cases: OrderedDict[str, _Case] = OrderedDict()

    def catch_up(self, case_id: str) -> Future[None] | None:
        """See whether another process has worked on a case; if so, it is read anew when somebody asks.

        None where there is nothing to see: no rule has asked about the case here, or nobody else works on the database.
        """
        if self._look is None:
            return None
        with self._lock:
            case = self._cases.get(case_id)
        if case is None or not case.begun:
            return None
        return self._look(partial(self._compare, case_id, case))

    def _compare(self, case_id: str, case: _Case, connection: Connection) -> None:
        places = connection.execute(_PLACES, {"of_case": case_id, "most": HISTORY_LIMIT}).all()
        with self._lock:
            known = all(case.knows((run_id, key), attempt) for run_id, key, attempt in places)
            if not known and self._cases.get(case_id) is case:
                self._cases[case_id] = _Case(case.earlier | case.indexes)

    def clear(self) -> None:
        """Know nothing any more."""
        with self._lock:
            self._cases.clear()

    def note(self, case_id: str, run_id: str, key: str, past: Callable[[], Past], *, attempt: int) -> None:
        """Add an effect to a case that is in memory; another case will find it in the ledger."""
        with self._lock:
            case = self._cases.get(case_id)
            if case is not None:
                case.add((run_id, key), past(), attempt)

    def said(self, case_id: str, run_id: str, value: Any, at: int) -> None:
        """Add what a user has given to a run: the words in it that are the user's own."""
        with self._lock:
            case = self._cases.get(case_id)
            if case is not None and (run_id, _GIVEN) not in case.entries:  # a run may be executed several times
                case.add((run_id, _GIVEN), _words("user", value, at), 0)

    def answered(self, case_id: str, run_id: str, key: str, by: str, value: Any, at: int) -> None:
        """Add what a person has answered to an agent's own question; `key` is that of the request."""
        self.note(case_id, run_id, key, lambda: _words(by, value, at), attempt=0)

    def of(self, case_id: str) -> list[Past]:
        """The newest entries of a case, oldest first."""
        case = self._begun(case_id)
        with self._lock:
            return list(case.entries.values())

    def index(self, case_id: str, guard: Guard) -> Index:
        """What a guard's rules ask of the whole case, however long it is."""
        case = self._begun(case_id)
        with self._lock:
            if guard.digest in case.indexes:
                return case.indexes[guard.digest]
        loaded = self._read(case_id, _ALL).entries
        index = guard.index()
        for past in loaded.values():
            index.add(past)
        with self._lock:
            for place, past in case.entries.items():
                if place not in loaded:  # it was noted meanwhile
                    index.add(past)
            if (earlier := case.earlier.get(guard.digest)) is not None and guard.digest not in case.indexes:
                index.continue_from(earlier)
            return case.indexes.setdefault(guard.digest, index)

    def _begun(self, case_id: str) -> _Case:
        with self._lock:
            case = self._cases.setdefault(case_id, _Case({}))  # before it is read: what is done meanwhile is noted
            self._cases.move_to_end(case_id)
            while len(self._cases) > CASES:
                self._cases.popitem(last=False)
        if not case.begun:
            loaded = self._read(case_id, HISTORY_LIMIT)
            with self._lock:
                case.begin(loaded)
        return case

    def _read(self, case_id: str, most: int) -> Loaded:
        """What was recorded before now: read by the writer, behind all of it."""

        def read(transaction: Transaction) -> Loaded | None:
            return None if transaction.leaves else _load(transaction, case_id, most)

        loaded = self._writer.submit(read).result()
        if loaded is None:  # records come into the ledger at the end of their group, so that one is waited for
            loaded = self._writer.submit(lambda transaction: _load(transaction, case_id, most)).result()
        return loaded


def _load(transaction: Transaction, case_id: str, most: int) -> Loaded:
    found, attempts = _effects(transaction, case_id, most)
    for run_id, started_at, given in transaction.all(_SAID, of_case=case_id, most=most):
        attempts[(run_id, _GIVEN)] = 0
        if given is not None:  # else it has been erased
            found[(run_id, _GIVEN)] = _words("user", orjson.loads(given), started_at)
    for run_id, key, body, decided_at in transaction.all(_ANSWERED, of_case=case_id, most=most):
        attempts[(run_id, key)] = 0
        if (vote := requests.load(body).vote) is not None:
            found[(run_id, key)] = _words(vote.by, vote.value, decided_at)
    newest = sorted(found.items(), key=lambda item: item[1].time)[-most:]
    return Loaded(OrderedDict(newest), attempts)


def _words(by: str, given: Any, at: int) -> Past:
    return Past(kind="human", name=by, result=words(given), time=moment(at))


def words(given: Any) -> str:
    """What of a run's input a person said: of messages the person's own, and whatever else there is.

    A client may send a whole conversation; what it says that the agent said is not the person's word.
    """
    if not isinstance(given, Mapping):
        return given if isinstance(given, str) else orjson.dumps(given).decode()
    parts: list[str] = []
    for name, value in cast("Mapping[str, Any]", given).items():
        if name != "messages" or not isinstance(value, Sequence):
            parts.append(value if isinstance(value, str) else f"{name}: {orjson.dumps(value).decode()}")
            continue
        for message in [value] if isinstance(value, str) else value:
            parts.append(_spoken(message))
    return "\n".join(filter(None, parts))


def _spoken(message: Any) -> str:
    if isinstance(message, str):
        return message
    if isinstance(message, Sequence) and len(message) == 2:  # ("user", "text")
        role, content = message
    elif isinstance(message, Mapping):
        said = cast("Mapping[str, Any]", message)
        role, content = said.get("role", said.get("type")), said.get("content", "")
    else:
        return ""
    return codec.text_of(content) if role in _PERSONS else ""


def _effects(transaction: Transaction, case_id: str, most: int) -> tuple[OrderedDict[_Place, Past], dict[_Place, int]]:
    rows = transaction.all(_NEWEST, of_case=case_id, most=most)
    found: OrderedDict[_Place, Past] = OrderedDict()
    attempts: dict[_Place, int] = {}
    for run_id, key, kind, name, outcome, guard, args, type_, value, body, attempt in reversed(rows):
        attempts[(run_id, key)] = attempt
        record = orjson.loads(body)
        given = codec.decode(codec.Encoded(type_, value)) if value is not None else None
        found[(run_id, key)] = Past(
            kind=kind,
            name=name,
            args=orjson.loads(args) if args is not None else {},
            result=results.judged(given),
            ok=outcome == "ok",
            verdict=judgements.verdict(guard) if guard else "allow",
            labels=frozenset(record["effect"]["labels"]),
            time=datetime.fromisoformat(record["time"]),  # when it was over: an approved one may have begun days ago
        )
    return found, attempts


class LazyHistory(Sequence[Past]):
    """A case's history that is read only when a rule looks at it."""

    def __init__(self, read: Callable[[], list[Past]]) -> None:
        self._read = read
        self._entries: list[Past] | None = None
        self.unavailable: UnavailableError | None = None  # why it could not be read

    def _all(self) -> list[Past]:
        if self._entries is None:
            try:
                self._entries = self._read()
            except UnavailableError as error:
                self.unavailable = error
                raise
        return self._entries

    @overload
    def __getitem__(self, index: int) -> Past: ...
    @overload
    def __getitem__(self, index: slice) -> list[Past]: ...
    def __getitem__(self, index: int | slice) -> Past | list[Past]:
        return self._all()[index]

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[Past]:
        return iter(self._all())
