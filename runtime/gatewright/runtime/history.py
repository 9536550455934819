"""What has been said and done in a case, as the rules see it: people's words, and the effects of all its runs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast, overload

import orjson
import sqlalchemy as sa

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


_Place = tuple[str, str]  # a run's id, and the key of what happened in it


class _Case:
    """One case in memory: its newest entries, and what each guard that asked has taken in of all of them.

    What happens is noted from the moment it is here, and `begun` when what happened before has been read too.
    """

    def __init__(self) -> None:
        self.entries: OrderedDict[_Place, Past] = OrderedDict()
        self.indexes: dict[str, Index] = {}
        self.begun = False

    def begin(self, loaded: OrderedDict[_Place, Past]) -> None:
        """Put what was read before what has been noted since."""
        if not self.begun:
            self.entries = OrderedDict([*(loaded | self.entries).items()][-HISTORY_LIMIT:])
            self.begun = True

    def add(self, place: _Place, past: Past) -> None:
        if place in self.entries:
            self.indexes.clear()  # an effect was tried again; what it gave before does not count
        self.entries[place] = past
        if len(self.entries) > HISTORY_LIMIT:
            self.entries.popitem(last=False)
        for index in self.indexes.values():
            index.add(past)


class Cases:
    """The histories of the cases that are being worked on; each is read from the ledger when it is first needed."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._lock = threading.Lock()
        self._cases: OrderedDict[str, _Case] = OrderedDict()

    def note(self, case_id: str, run_id: str, key: str, past: Callable[[], Past]) -> None:
        """Add an effect to a case that is in memory; another case will find it in the ledger."""
        with self._lock:
            case = self._cases.get(case_id)
            if case is not None:
                case.add((run_id, key), past())

    def said(self, case_id: str, run_id: str, value: Any, at: int) -> None:
        """Add what a user has given to a run: the words in it that are the user's own."""
        with self._lock:
            case = self._cases.get(case_id)
            if case is not None and (run_id, _GIVEN) not in case.entries:  # a run may be executed several times
                case.add((run_id, _GIVEN), _words("user", value, at))

    def answered(self, case_id: str, run_id: str, key: str, by: str, value: Any, at: int) -> None:
        """Add what a person has answered to an agent's own question; `key` is that of the request."""
        self.note(case_id, run_id, key, lambda: _words(by, value, at))

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
        loaded = self._read(case_id, _ALL)
        index = guard.index()
        for past in loaded.values():
            index.add(past)
        with self._lock:
            for place, past in case.entries.items():
                if place not in loaded:  # it was noted meanwhile
                    index.add(past)
            return case.indexes.setdefault(guard.digest, index)

    def _begun(self, case_id: str) -> _Case:
        with self._lock:
            case = self._cases.setdefault(case_id, _Case())  # before it is read: what a parallel call does now is noted
            self._cases.move_to_end(case_id)
            while len(self._cases) > CASES:
                self._cases.popitem(last=False)
        if not case.begun:
            loaded = self._read(case_id, HISTORY_LIMIT)
            with self._lock:
                case.begin(loaded)
        return case

    def _read(self, case_id: str, most: int) -> OrderedDict[_Place, Past]:
        """What was recorded before now: read by the writer, behind all of it."""

        def read(transaction: Transaction) -> OrderedDict[_Place, Past] | None:
            return None if transaction.leaves else _load(transaction, case_id, most)

        loaded = self._writer.submit(read).result()
        if loaded is None:  # records come into the ledger at the end of their group, so that one is waited for
            loaded = self._writer.submit(lambda transaction: _load(transaction, case_id, most)).result()
        return loaded


def _load(transaction: Transaction, case_id: str, most: int) -> OrderedDict[_Place, Past]:
    found = _effects(transaction, case_id, most)
    for run_id, started_at, given in transaction.all(_SAID, of_case=case_id, most=most):
        if given is not None:  # else it has been erased
            found[(run_id, _GIVEN)] = _words("user", orjson.loads(given), started_at)
    for run_id, key, body, decided_at in transaction.all(_ANSWERED, of_case=case_id, most=most):
        if (vote := requests.load(body).vote) is not None:
            found[(run_id, key)] = _words(vote.by, vote.value, decided_at)
    newest = sorted(found.items(), key=lambda item: item[1].time)[-most:]
    return OrderedDict(newest)


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


def _effects(transaction: Transaction, case_id: str, most: int) -> OrderedDict[_Place, Past]:
    rows = transaction.all(_NEWEST, of_case=case_id, most=most)
    found: OrderedDict[_Place, Past] = OrderedDict()
    for run_id, key, kind, name, outcome, guard, args, type_, value, body in reversed(rows):
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
    return found


class LazyHistory(Sequence[Past]):
    """A case's history that is read only when a rule looks at it."""

    def __init__(self, read: Callable[[], list[Past]]) -> None:
        self._read = read
        self._entries: list[Past] | None = None

    def _all(self) -> list[Past]:
        if self._entries is None:
            self._entries = self._read()
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
