"""What has been said and done in a case, as the rules see it: people's words, and the effects of all its runs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast, overload

import orjson
import sqlalchemy as sa

from gatewright.safety.events import HISTORY_LIMIT, Past

from . import codec, judgements, requests
from .clock import moment
from .store import schema
from .store.writer import Transaction, Writer

_GIVEN = "input"  # the key of what a person gave to a run, beside those of its effects
_PERSONS = frozenset({"user", "human", None})  # who speaks in a message of a run's input, as clients write it
CASES = 2048  # kept in memory, the most recently used

_EFFECT = schema.Effect.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_RUN = schema.Run.__table__  # type: ignore[attr-defined]
_ARGS = schema.Sealed.__table__.alias("args")  # type: ignore[attr-defined]
_RESULT = schema.Sealed.__table__.alias("result")  # type: ignore[attr-defined]

_INPUT = schema.Sealed.__table__.alias("input")  # type: ignore[attr-defined]
_SAID = (
    sa.select(_RUN.c.id, _RUN.c.started_at, sa.func.coalesce(_RUN.c.input, _INPUT.c.value))
    .select_from(_RUN.outerjoin(_INPUT, sa.and_(_INPUT.c.position == _RUN.c.leaf, _INPUT.c.field == "input")))
    .where(_RUN.c.case_id == sa.bindparam("of_case"), _RUN.c.parent_run_id.is_(None), _RUN.c.started_at.is_not(None))
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
        _EFFECT.c.started_at,
        _ARGS.c.value,
        _RESULT.c.type,
        _RESULT.c.value,
    )
    .select_from(
        _EFFECT.join(_RUN, _RUN.c.id == _EFFECT.c.run_id)
        .outerjoin(_ARGS, sa.and_(_ARGS.c.position == _EFFECT.c.leaf, _ARGS.c.field == "args"))
        .outerjoin(_RESULT, sa.and_(_RESULT.c.position == _EFFECT.c.leaf, _RESULT.c.field == "result"))
    )
    .where(_RUN.c.case_id == sa.bindparam("of_case"), _EFFECT.c.leaf.is_not(None))
    .order_by(_EFFECT.c.leaf.desc())
    .limit(sa.bindparam("most"))
)


class Cases:
    """The histories of the cases that are being worked on; each is read from the ledger when it is first needed."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._lock = threading.Lock()
        self._cases: OrderedDict[str, OrderedDict[tuple[str, str], Past]] = OrderedDict()

    def note(self, case_id: str, run_id: str, key: str, past: Callable[[], Past]) -> None:
        """Add an effect to a case that is in memory; another case will find it in the ledger."""
        with self._lock:
            case = self._cases.get(case_id)
            if case is None:
                return
            case[(run_id, key)] = past()
            if len(case) > HISTORY_LIMIT:
                case.popitem(last=False)

    def said(self, case_id: str, run_id: str, value: Any, at: int) -> None:
        """Add what a user has given to a run: the words in it that are the user's own."""
        self.note(case_id, run_id, _GIVEN, lambda: _words("user", value, at))

    def answered(self, case_id: str, run_id: str, key: str, by: str, value: Any, at: int) -> None:
        """Add what a person has answered to an agent's own question; `key` is that of the request."""
        self.note(case_id, run_id, key, lambda: _words(by, value, at))

    def of(self, case_id: str) -> list[Past]:
        """The newest effects of a case, oldest first."""
        with self._lock:
            case = self._cases.get(case_id)
            if case is not None:
                self._cases.move_to_end(case_id)
                return list(case.values())
        # Read by the writer: what was recorded before now is in the answer, committed or not.
        loaded = self._writer.submit(lambda transaction: _load(transaction, case_id)).result()
        with self._lock:
            case = self._cases.setdefault(case_id, OrderedDict())
            for identity, past in loaded.items():
                case.setdefault(identity, past)
            while len(self._cases) > CASES:
                self._cases.popitem(last=False)
            return list(case.values())


def _load(transaction: Transaction, case_id: str) -> OrderedDict[tuple[str, str], Past]:
    found = _effects(transaction, case_id)
    for run_id, started_at, given in transaction.all(_SAID, of_case=case_id, most=HISTORY_LIMIT):
        if given is not None:  # else it has been erased
            found[(run_id, _GIVEN)] = _words("user", orjson.loads(given), started_at)
    for run_id, key, body, decided_at in transaction.all(_ANSWERED, of_case=case_id, most=HISTORY_LIMIT):
        if (vote := requests.load(body).vote) is not None:
            found[(run_id, key)] = _words(vote.by, vote.value, decided_at)
    newest = sorted(found.items(), key=lambda item: item[1].time)[-HISTORY_LIMIT:]
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


def _effects(transaction: Transaction, case_id: str) -> OrderedDict[tuple[str, str], Past]:
    rows = transaction.all(_NEWEST, of_case=case_id, most=HISTORY_LIMIT)
    found: OrderedDict[tuple[str, str], Past] = OrderedDict()
    for run_id, key, kind, name, outcome, guard, started_at, args, type_, value in reversed(rows):
        result = codec.plain(codec.decode(codec.Encoded(type_, value))) if value is not None else None
        found[(run_id, key)] = Past(
            kind=kind,
            name=name,
            args=orjson.loads(args) if args is not None else {},
            result=result,
            ok=outcome == "ok",
            verdict=judgements.verdict(guard) if guard else "allow",
            time=moment(started_at),
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
