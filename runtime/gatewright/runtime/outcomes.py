"""Outcomes: what becomes of a run that was executed, written down and told to whoever waits."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import orjson
from langgraph.errors import GraphRecursionError
from langgraph.types import Interrupt, RetryPolicy

from gatewright.agents.errors import GatewrightError
from gatewright.safety.ledger import records

from . import requests, results, runs
from .chain import RunChain
from .claims import Claimed
from .clock import MICROSECONDS, moment
from .config import Worker
from .gate import waits_for
from .hub import Hub
from .journal import release
from .recording import Office
from .store.writer import Transaction
from .views import Failure, RunStatus, RunView

T = TypeVar("T")

LONGEST_DELAY = 300.0  # seconds between two tries of a run

_TRANSIENT = RetryPolicy().retry_on


class Insist(Protocol):
    """Writes what becomes of a run; None where the run is not ours any more."""

    async def __call__(self, run: Claimed, operation: Callable[[Transaction], T], /) -> T | None: ...


class Outcomes:
    """Parks, ends and gives back the runs of an engine."""

    def __init__(
        self,
        office: Office,
        hub: Hub,
        worker: Worker,
        *,
        insist: Insist,
        given_back: Callable[[float], None],
        stop: Callable[[str, Mapping[str, str]], object],
    ) -> None:
        """`given_back` is told after how many seconds a run may be claimed again, `stop` what ends with another run."""
        self._office = office
        self._hub = hub
        self._worker = worker
        self._insist = insist
        self._given_back = given_back
        self._stop = stop

    async def park(self, run: Claimed, interrupts: Sequence[Interrupt], *, delivered: Sequence[str]) -> None:
        """Let it wait for people. `delivered`: the agent's own questions whose answers it was handed."""
        now = self._office.clock.now()

        def write(transaction: Transaction) -> tuple[bool, list[str]]:
            for request_id in delivered:  # LangGraph holds them now; the same interrupt is the next question
                requests.delivered(transaction, request_id, now=now)
            waiting_for: list[str] = []
            for interrupt in interrupts:
                ours = waits_for(interrupt)
                waiting_for.append(ours or requests.open_question(transaction, run, interrupt, now=now))
            waiting = runs.park(transaction, run.id, run.epoch, waiting_for, attempt=run.attempt, now=now)
            return waiting, waiting_for

        parked = await self._insist(run, write)
        if parked is not None and parked[0]:
            self.publish(run, "waiting", waiting_for=parked[1])

    async def end(
        self,
        run: Claimed,
        status: RunStatus,
        *,
        output: bytes | None = None,
        failure: Mapping[str, str] | None = None,
        guard: records.GuardPart | None = None,
        detail: Mapping[str, Any] | None = None,
        chain: RunChain | None = None,
    ) -> None:
        """End it, and what it started. With its `chain`: whoever resumes it performs again what it may."""
        keys = chain.released() if chain is not None else []  # performed again if somebody resumes the run
        now = self._office.clock.now()

        def write(transaction: Transaction) -> list[str]:
            release(transaction, run.id, keys)
            return runs.end(
                transaction,
                run.id,
                status,
                epoch=run.epoch,
                now=now,
                output=output,
                failure=failure,
                guard=guard,
                detail=detail,
            )

        ended = await self._insist(run, write)
        if ended is None:
            return
        self.publish(run, status, output=output, failure=failure, ended=now)
        for other in ended[1:]:
            self._stop(other, {"by": "", "reason": f"run {run.id} {status}"})

    async def failed(
        self, run: Claimed, error: Exception, *, guard: records.GuardPart | None, chain: RunChain | None
    ) -> None:
        """Try it again later, or end it where that cannot help or was done often enough."""
        failure = {"type": type(error).__name__, "message": str(error) or repr(error)}
        permanent = isinstance(error, GatewrightError | GraphRecursionError) or not _transient(error)
        if isinstance(error, results.RecordedError):  # what a process that died had recorded and not yet retried
            permanent = False
        if permanent or run.attempt >= self._worker.max_attempts:
            await self.end(run, "failed", failure=failure, guard=guard, chain=chain)
        else:
            delay = min(self._worker.retry_delay * 2 ** (run.attempt - 1), LONGEST_DELAY) * random.uniform(0.8, 1.2)
            await self.give_back(run, attempt=run.attempt + 1, delay=delay, error=error, chain=chain)

    async def give_back(
        self,
        run: Claimed,
        *,
        attempt: int,
        delay: float,
        error: Exception | None = None,
        chain: RunChain | None = None,
    ) -> None:
        """Put it back into the queue, to be executed in `delay` seconds."""
        failure = None if error is None else {"type": type(error).__name__, "message": str(error)}
        keys = chain.released() if chain is not None else []

        def write(transaction: Transaction) -> None:
            runs.hold(transaction, run.id, run.epoch)
            release(transaction, run.id, keys)
            available = self._office.clock.now() + int(delay * MICROSECONDS)
            runs.requeue(transaction, run.id, attempt=attempt, available=available, failure=failure)

        await self._insist(run, write)
        self.publish(run, "queued", failure=failure)
        self._given_back(delay)

    def publish(
        self,
        run: Claimed,
        status: RunStatus,
        *,
        output: bytes | None = None,
        failure: Mapping[str, str] | None = None,
        waiting_for: list[str] | None = None,
        ended: int | None = None,
    ) -> None:
        """Tell who follows the run how it stands."""
        view = RunView.model_construct(
            id=run.id,
            thread_id=run.thread_id,
            case_id=run.case_id,
            deployment=run.deployment,
            agent=run.agent,
            status=status,
            attempt=run.attempt,
            input=orjson.loads(run.input),
            output=None if output is None else orjson.loads(output),
            error=None if failure is None else Failure(**failure),
            waiting_for=waiting_for or [],
            parent_run_id=run.parent_run_id,
            created_at=moment(run.created_at),
            started_at=moment(run.started_at),
            finished_at=None if ended is None else moment(ended),
        )
        self._hub.publish(run.id, "run", {"run": view})


def _transient(error: Exception) -> bool:
    """Whether trying again may help, by LangGraph's own rule."""
    return bool(_TRANSIENT(error)) if callable(_TRANSIENT) and not isinstance(_TRANSIENT, type) else True
