"""What a run has already done: the rows that make a repeated step give recorded answers instead of acting again."""

from __future__ import annotations

import copy
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from typing import Any, Literal, NamedTuple, cast

import sqlalchemy as sa

from gatewright.agents.effects import Effect
from gatewright.safety import canonical

from . import codec
from .store import schema
from .store.writer import Transaction

_EFFECT = schema.Effect.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_SEALED = schema.Sealed.__table__  # type: ignore[attr-defined]

Status = Literal["asked", "intended", "parked", "done", "released"]
Outcome = Literal["ok", "error", "denied", "terminated"]


@dataclass
class Entry:
    """One effect of the run at its place. `value` is the recorded result, or the error as `{"type", "message"}`."""

    key: str
    step: str
    kind: str
    name: str
    digest: str
    status: Status
    epoch: int
    attempt: int = 1
    outcome: Outcome | None = None
    guard: str | None = None
    child_run_id: str | None = None
    value: Any = None
    exception: BaseException | None = None
    named: bool = False  # told apart by a call id, so that its order in the step says nothing
    taken: bool = field(default=False, compare=False)

    def copy(self) -> Entry:
        """The entry as it is now, for a write that happens later."""
        return copy.copy(self)


class Wanted(NamedTuple):
    """The arguments of an effect in JSON, and its digest, see `digest_of`."""

    args: Mapping[str, Any]
    digest: str


def wanted(effect: Effect, salt: bytes) -> Wanted:
    """What an effect asks for."""
    args, data = canonical.said(dict(effect.args), within=1)
    kind, name = canonical.canonical(effect.kind), canonical.canonical(effect.name)
    wish = b'{"args":%b,"kind":%b,"name":%b}' % (data, kind, name)  # canonical: keys are in their order
    return Wanted(cast("Mapping[str, Any]", args), blake2b(wish, key=salt, digest_size=32).hexdigest())


def digest_of(effect: Effect, salt: bytes) -> str:
    """What makes two wishes the same: kind, name and arguments, keyed with the thread's secret salt.

    Keyed, because records show it: without the salt nobody can find the arguments by trying them out, also when
    the salt has been erased together with them.
    """
    return wanted(effect, salt).digest


def key_of(step: str, effect: Effect, digest: str, occurrence: int) -> str:
    """The place of an effect in its run: the step, what it is, and which of several it is.

    With a tool-call id that is the id, and the arguments do not count; without, the arguments and the count of equal
    wishes before it, so that parallel calls need not come in the same order each time.
    """
    which = f"id:{effect.call_id}" if effect.call_id is not None else f"{digest[:16]}:{occurrence}"
    return f"{step}/{effect.kind}:{effect.name}/{which}"


def idempotency_key(run_id: str, key: str) -> str:
    """What an effect is told apart by outside: the same however often it is tried, and in every replay."""
    return sha256(f"{run_id}\n{key}".encode()).hexdigest()[:32]


_LOAD = (
    sa.select(
        _EFFECT.c.key,
        _EFFECT.c.step,
        _EFFECT.c.kind,
        _EFFECT.c.name,
        _EFFECT.c.digest,
        _EFFECT.c.status,
        _EFFECT.c.epoch,
        _EFFECT.c.attempt,
        _EFFECT.c.outcome,
        _EFFECT.c.guard,
        _EFFECT.c.child_run_id,
        _EFFECT.c.leaf,
        _SEALED.c.type,
        _SEALED.c.value,
    )
    .select_from(_EFFECT.outerjoin(_SEALED, sa.and_(_SEALED.c.leaf == _EFFECT.c.leaf, _SEALED.c.field == "result")))
    .where(_EFFECT.c.run_id == sa.bindparam("run_id"))
)
_PUT = sa.text(
    "INSERT INTO effect (run_id, key, step, kind, name, digest, status, attempt, epoch, outcome, leaf, guard,"
    " child_run_id, started_at) VALUES (:run_id, :key, :step, :kind, :name, :digest, :status, :attempt, :epoch,"
    " :outcome, :leaf, :guard, :child_run_id, :started_at) ON CONFLICT (run_id, key) DO UPDATE SET"
    " status = excluded.status, attempt = excluded.attempt, epoch = excluded.epoch, outcome = excluded.outcome,"
    " leaf = excluded.leaf, guard = excluded.guard, child_run_id = excluded.child_run_id, digest = excluded.digest"
    " WHERE effect.epoch <= excluded.epoch"  # what an execution that has been given up learns late changes nothing
)
_RELEASE = (
    sa.update(_EFFECT)
    .where(_EFFECT.c.run_id == sa.bindparam("of_run"), _EFFECT.c.key == sa.bindparam("of_key"))
    .values(status="released")
)


def put(transaction: Transaction, run_id: str, entry: Entry, *, now: int, leaf: int | None = None) -> None:
    """Write the row of an entry as it is now."""
    transaction.postpone(
        _PUT,
        run_id=run_id,
        key=entry.key,
        step=entry.step,
        kind=entry.kind,
        name=entry.name,
        digest=entry.digest,
        status=entry.status,
        attempt=entry.attempt,
        epoch=entry.epoch,
        outcome=entry.outcome,
        leaf=leaf,
        guard=entry.guard,
        child_run_id=entry.child_run_id,
        started_at=now,
    )


def release(transaction: Transaction, run_id: str, keys: Iterable[str]) -> None:
    """Let effects that failed be performed again, when the run is tried again."""
    for key in keys:
        transaction.run(_RELEASE, of_run=run_id, of_key=key)


class Journal:
    """The entries of one run. Thread-safe: parallel calls of a step come from many threads."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._lock = threading.Lock()
        self._entries = {entry.key: entry for entry in entries}
        self._steps: dict[str, list[Entry]] = defaultdict(list)
        for entry in self._entries.values():
            self._steps[entry.step].append(entry)
        self._due = {step: len(entries) for step, entries in self._steps.items()}  # entries not met again yet

    @classmethod
    def load(cls, transaction: Transaction, run_id: str) -> Journal:
        """The journal of a run as it was left."""
        entries: list[Entry] = []
        for row in transaction.all(_LOAD, run_id=run_id):
            entry = Entry(*row[:11])
            entry.named = "/id:" in entry.key
            leaf, type, value = row[11:]
            if type is None and leaf is not None and (seal := transaction.sealed(leaf, "result")) is not None:
                type, value = seal.type, seal.value
            if type is not None:
                entry.value = codec.decode(codec.Encoded(type, value))
            entries.append(entry)
        return cls(entries)

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self, step: str) -> None:
        """A step is executed (again): what it did before is to be met again."""
        with self._lock:
            entries = self._steps.get(step)
            if entries:
                for entry in entries:
                    entry.taken = False
                self._due[step] = len(entries)

    def take(self, key: str) -> Entry | None:
        """The entry at this place, marked as met again in this execution; None where there is none."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and not entry.taken:
                entry.taken = True
                self._due[entry.step] -= 1
            return entry

    def add(self, entry: Entry) -> None:
        """Note an effect that this execution performs."""
        with self._lock:
            entry.taken = True
            self._entries[entry.key] = entry
            self._steps[entry.step].append(entry)

    def missing(self, step: str) -> list[Entry]:
        """What the step did and has not asked for again in this execution. Cheap when there is nothing."""
        with self._lock:
            if not self._due.get(step):
                return []
            return [entry for entry in self._steps[step] if not entry.taken and entry.status in ("done", "intended")]

    def waiting(self, step: str) -> list[Entry]:
        """What the step asked for in this execution and must wait for."""
        with self._lock:
            return [entry for entry in self._steps.get(step, ()) if entry.taken and entry.status in ("asked", "parked")]

    def release_failed(self, errors: set[int]) -> None:
        """Let the effects that failed with one of these exceptions (by `id`) be performed again."""
        with self._lock:
            for entry in self._entries.values():
                if entry.exception is not None and id(entry.exception) in errors:
                    entry.status = "released"

    def released(self) -> list[str]:
        """The keys of effects that may be performed again."""
        with self._lock:
            return [entry.key for entry in self._entries.values() if entry.status == "released"]
