"""Episodes: everything that a case did, as it was recorded. Enough to judge it again, and to run it again.

An episode is read from the ledger and what is kept beside it; nothing in it is worked out. What was erased is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from gatewright.agents.errors import NotFoundError
from gatewright.safety.ledger import records

from . import codec, requests
from .causes import Cause
from .store import schema
from .views import FINAL

_LEAF = schema.Leaf.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_PLACE = schema.Place.__table__  # type: ignore[attr-defined]
_SEALED = schema.Sealed.__table__  # type: ignore[attr-defined]
_RUN = schema.Run.__table__  # type: ignore[attr-defined]
_THREAD = schema.Thread.__table__  # type: ignore[attr-defined]
_APPROVAL = schema.Approval.__table__  # type: ignore[attr-defined]


class Value(NamedTuple):
    """A value that a record commits to: `sha256(salt + data)` is the commitment. `trusted`: from our own database."""

    type: str
    data: bytes
    salt: bytes
    trusted: bool = True

    def decoded(self) -> Any:
        """What an agent gave or got."""
        return codec.decode(codec.Encoded(self.type, self.data), trusted=self.trusted)


@dataclass(frozen=True)
class Entry:
    """A record with its opened values. `position`: its index in the log; `body`: the very bytes that were hashed."""

    position: int
    body: bytes
    values: Mapping[str, Value] = field(default_factory=dict[str, Value])

    @cached_property
    def record(self) -> records.Record:
        """The record that the bytes are."""
        return records.decode(self.body)

    def has(self, name: str) -> bool:
        """Whether nothing of this name was committed to, or it is still there."""
        return name in self.values or name not in self.record.sealed


class Thread(NamedTuple):
    """A thread of the case: its root, or that of an agent that was asked. `salt` keys the digests of its effects."""

    id: str
    agent: str
    deployment: str
    settings: Mapping[str, Any]
    salt: bytes


class Run(NamedTuple):
    """A run. `input`: JSON text, None where it was erased; `started_at`: microseconds since the epoch."""

    id: str
    thread_id: str
    agent: str
    deployment: str
    status: str
    started_at: int
    input: bytes | None
    cause: Cause | None


class Request(NamedTuple):
    """Something that people were asked. Times are microseconds since the epoch.

    `question`: what an agent asked of its own accord, None for approvals; `by` and `answer`: what somebody answered to
    that, where `answered`.
    """

    run_id: str
    key: str
    asked_at: int
    question: Any = None
    answered: bool = False
    by: str = ""
    answer: Any = None
    decided_at: int | None = None


@dataclass(frozen=True)
class Episode:
    """A case. `threads` begin with the root (none where rules did not let it begin); `runs` are in the order of
    acceptance, those that have begun; `entries` in the order of the log; `requests` in the order of asking."""

    id: str
    threads: Sequence[Thread]
    runs: Sequence[Run]
    entries: Sequence[Entry]
    requests: Sequence[Request] = ()

    @property
    def root(self) -> Thread:
        """The thread that the case is."""
        return self.threads[0]

    def input_of(self, run: Run) -> bytes | None:
        """The JSON text of what a run was given; None where it was erased."""
        if run.input is not None:
            return run.input
        ended = self.ends.get(run.id)
        value = None if ended is None else ended.values.get("input")
        return None if value is None else value.data

    @property
    def ended(self) -> bool:
        """Whether nothing more is to come: its runs have ended, and their ends have their places in the log."""
        return bool(self.runs) and all(run.status in FINAL and run.id in self.ends for run in self.runs)

    @cached_property
    def ends(self) -> Mapping[str, Entry]:
        """The last record about each run itself."""
        return {entry.record.run_id: entry for entry in self.entries if entry.record.kind == "run"}


def read(connection: Connection, case_id: str) -> Episode:
    """The episode of a case.

    Raises:
        NotFoundError: there is no such case.
    """
    threads = connection.execute(
        sa.select(_THREAD.c.id, _THREAD.c.agent, _THREAD.c.deployment, _THREAD.c.settings, _THREAD.c.salt)
        .where(_THREAD.c.case_id == case_id)
        .order_by(_THREAD.c.id != case_id, _THREAD.c.created_at, _THREAD.c.id)
    ).all()
    entries = _entries(connection, case_id)
    if not threads and not entries:
        raise NotFoundError(f"there is no case {case_id!r} here; `gatewright run list` shows what ran")
    runs = connection.execute(
        sa.select(
            _RUN.c.id,
            _RUN.c.thread_id,
            _RUN.c.agent,
            _RUN.c.deployment,
            _RUN.c.status,
            _RUN.c.started_at,
            _RUN.c.input,
            _RUN.c.cause,
        )
        .where(_RUN.c.case_id == case_id, _RUN.c.started_at.is_not(None))
        .order_by(_RUN.c.number)
    ).all()
    return Episode(
        case_id,
        [Thread(*row[:3], orjson.loads(row[3]), bytes(row[4])) for row in threads],
        [Run(*row[:7], Cause.load(row[7])) for row in runs],
        entries,
        _requests(connection, case_id),
    )


def _entries(connection: Connection, case_id: str) -> list[Entry]:
    columns = (_SEALED.c.field, _SEALED.c.type, _SEALED.c.value, _SEALED.c.salt)
    query = (
        sa.select(_PLACE.c.position, _LEAF.c.body, *columns)
        .select_from(_LEAF.join(_PLACE, _PLACE.c.leaf == _LEAF.c.id).outerjoin(_SEALED, _SEALED.c.leaf == _LEAF.c.id))
        .where(_LEAF.c.case_id == case_id)
        .order_by(_PLACE.c.position, _SEALED.c.field)
    )
    found: list[Entry] = []
    values: dict[str, Value] = {}
    for position, body, name, type_, data, salt in connection.execute(query):
        if not found or found[-1].position != position:
            values = {}
            found.append(Entry(position, body, values))
        if name is not None:
            values[name] = Value(type_, data, salt)
    return found


def _requests(connection: Connection, case_id: str) -> list[Request]:
    columns = (_APPROVAL.c.run_id, _APPROVAL.c.key, _APPROVAL.c.created_at, _APPROVAL.c.state, _APPROVAL.c.request)
    query = sa.select(*columns, _APPROVAL.c.decided_at).where(_APPROVAL.c.case_id == case_id)
    found: list[Request] = []
    for run_id, key, asked_at, state, body, decided_at in connection.execute(query.order_by(_APPROVAL.c.number)):
        if not key.startswith(requests.QUESTION):
            found.append(Request(run_id, key, asked_at))
            continue
        request = requests.load(body)
        vote = request.vote if state in ("answered", "consumed") else None
        by, answer = ("", None) if vote is None else (vote.by, vote.value)
        question = request.action.args["payload"]
        found.append(Request(run_id, key, asked_at, question, vote is not None, by, answer, decided_at))
    return found
