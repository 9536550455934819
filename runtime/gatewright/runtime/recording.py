"""What an execution did, on its way to the journal and the ledger: written without waiting, but never given up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import orjson

from gatewright.agents.effects import Effect
from gatewright.agents.errors import UnavailableError
from gatewright.safety import canonical
from gatewright.safety.ledger import records
from gatewright.safety.rules.events import Past

from . import codec, journal, judgements, leaves, results
from .bus import Bus
from .causes import Cause
from .clock import Clock, moment
from .controls.board import Controls
from .courses import Course, Pause
from .history import Cases
from .journal import Entry
from .meters import Reservation
from .prices import PriceBook
from .store.appending import Seal
from .store.bell import Bell
from .store.writer import Transaction, Writer

RETRY = 0.5  # seconds between tries to write an outcome that the disk refused


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Which run is executed, and by which holder of it (`epoch`). `cause`: the message that started it, if one did;
    `deadline`: microseconds since the epoch, from when on nobody needs its result."""

    run_id: str
    thread_id: str
    case_id: str
    deployment: str
    agent: str
    epoch: int
    salt: bytes
    cause: Cause | None = None
    deadline: int | None = None


@dataclass(frozen=True, kw_only=True)
class Office:
    """What chains share: the writer, the histories, the clock, where events are told, and the message bus."""

    writer: Writer
    cases: Cases
    clock: Clock
    prices: PriceBook
    controls: Controls
    publish: Callable[[str, str, dict[str, Any]], None]
    wake: Callable[[], None]
    bell: Bell
    bus: Bus


class Wish(NamedTuple):
    """An effect that is asked for, at its place in the journal. `labels`: its own, and those of the rule packs."""

    effect: Effect
    entry: Entry
    labels: frozenset[str]


class Recorder:
    """Writes what one execution does."""

    def __init__(self, execution: Execution, office: Office) -> None:
        self._run = execution
        self._office = office
        self._lock = threading.Lock()
        self._lost: dict[object, Exception] = {}  # by write, until it has been carried out after all
        self._unsettled: list[tuple[Callable[[Transaction], Any], Future[Any]]] = []

    def finish(
        self,
        wish: Wish,
        outcome: journal.Outcome,
        value: Any,
        *,
        encoded: codec.Encoded | None = None,
        before: records.Judgement | None = None,
        after: records.Judgement | None = None,
        args: Mapping[str, Any] | None = None,
        approval: records.ApprovalPart | None = None,
        duration: float | None = None,
        usage: records.UsagePart | None = None,
        reservation: Reservation | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Note the outcome in the journal and the ledger, and tell whoever watches."""
        effect, entry = wish.effect, wish.entry
        run, now = self._run, self._office.clock.now()
        entry.status, entry.outcome, entry.value = "done", outcome, value
        entry.attempt = max(entry.attempt, 1)
        entry.guard = judgements.dump(before) if before is not None else None
        shown_args = canonical.json_value(dict(effect.args if args is None else args))
        sealing = {"args": codec.Encoded("json", orjson.dumps(shown_args)), "result": encoded or codec.encode(value)}
        if args is not None and args is not effect.args and args != effect.args:
            sealing["wished"] = codec.Encoded("json", orjson.dumps(canonical.json_value(dict(effect.args))))
        salted = {field: records.seal(part.value) for field, part in sealing.items()}
        record = records.Record(
            kind="effect",
            time=records.timestamp(moment(now)),
            deployment=run.deployment,
            agent=run.agent,
            run_id=run.run_id,
            thread_id=run.thread_id,
            case_id=run.case_id,
            step=entry.step,
            effect=records.EffectPart(
                kind=effect.kind,
                name=effect.name,
                key=entry.key,
                digest=entry.digest,
                call_id=effect.call_id,
                attempt=entry.attempt,
                labels=effect.labels,
            ),
            guard=records.GuardPart(before=before, after=after),
            approval=approval,
            outcome=outcome,
            error=value["type"] if outcome == "error" else None,
            duration_ms=None if duration is None else int(duration * 1000),
            usage=usage,
            sealed={field: sealed.commitment for field, sealed in salted.items()},
            detail=detail or {},
        )
        written = leaves.written(record, [Seal(field, *sealing[field], salted[field].salt) for field in sealing])

        kept = entry.copy()
        settled = None
        if reservation is not None:
            settled = reservation.settle(usage, record.duration_ms or 0, ok=outcome != "error", now=now)

        def write(transaction: Transaction) -> None:
            leaf = transaction.append(*written)
            journal.put(transaction, run.run_id, kept, now=now, leaf=leaf)
            if settled is not None:
                settled.write(transaction)

        self.write(write)
        self._office.cases.note(
            run.case_id,
            run.run_id,
            entry.key,
            lambda: Past(
                kind=effect.kind,
                name=effect.name,
                args=cast("Mapping[str, Any]", shown_args),
                result=results.judged(value),
                ok=outcome == "ok",
                verdict=before.verdict if before is not None else "allow",
                labels=effect.labels,
                time=moment(now),
            ),
            attempt=entry.attempt,
        )
        self._office.publish(
            run.run_id,
            "effect",
            {"kind": effect.kind, "name": effect.name, "outcome": outcome, "verdict": before.verdict if before else ""},
        )

    def write(self, operation: Callable[[Transaction], Any]) -> None:
        """Write without waiting, together with what is written next; `settle` looks after it."""

        this = object()

        def write(transaction: Transaction) -> None:  # perhaps several times: others may stand in its way
            try:
                operation(transaction)
            except Exception as error:
                self._lost[this] = error
                raise
            self._lost.pop(this, None)

        future = self._office.writer.submit(write, urgent=False)
        with self._lock:
            self._unsettled.append((operation, future))

    def settle(self, *, insist: Callable[[], bool]) -> Course:
        """Write again what could not be written, until it is; does not wait for what is on its way.

        Args:
            insist: whether to try again; else what is lost is raised.
        """
        while True:
            with self._lock:
                asked = [(op, f, f.done()) for op, f in self._unsettled]  # once: a write may end at any moment
                failed = [(op, f) for op, f, done in asked if done and f.exception() is not None]
                self._unsettled = [(op, f) for op, f, done in asked if not done]
            if not failed:
                return
            if not insist() or not isinstance(failed[0][1].exception(), UnavailableError):
                raise cast("BaseException", failed[0][1].exception())
            yield Pause(RETRY)
            self._lost.clear()
            for operation, _future in failed:
                self.write(operation)
            with self._lock:
                newest = [future for _operation, future in self._unsettled]
            for future in newest:
                try:
                    yield future
                except UnavailableError:
                    pass

    def check(self) -> None:
        """In an operation of the writer, so behind all that this chain has recorded: check that nothing of it was lost.

        Raises:
            UnavailableError: something could not be written; `settle`, then try again.
        """
        with self._lock:
            lost = [future.exception() for _operation, future in self._unsettled if future.done()]
        if error := next(filter(None, [*self._lost.values(), *lost]), None):
            raise UnavailableError(f"what run {self._run.run_id!r} did could not be recorded yet: {error}") from error
