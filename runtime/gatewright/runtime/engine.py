"""Executing runs: claim, execute with LangGraph, park, retry, end; recover what a dead process left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import orjson
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from gatewright.agents.effects import ACTIVE, RunContext
from gatewright.agents.errors import GatewrightError, UnavailableError
from gatewright.safety import approvals
from gatewright.safety.ledger import records

from . import claims, codec, exchange, requests, runs
from .causes import Cause
from .chain import RunChain
from .checkpoints import GroupCommitSaver, LostCheckpointError
from .clock import MICROSECONDS
from .config import Worker
from .deployments import LoadedDeployment
from .hub import Hub
from .invocation import Invocation
from .journal import Journal
from .judging import Judge
from .outcomes import LONGEST_DELAY, Outcomes
from .passage import Passage
from .recording import Execution, Office
from .store.writer import Transaction, arrival

T = TypeVar("T")

POLL = 1.0  # seconds between looks at the queue when nobody said that something is in it

_log = logging.getLogger(__name__)


class _AgentThreads(ThreadPoolExecutor):
    """Threads for synchronous nodes and tools, which know how many calls have not returned."""

    def __init__(self, size: int) -> None:
        super().__init__(size, "gatewright-agent")
        self._calls: set[Future[Any]] = set()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """See `concurrent.futures.Executor.submit`."""
        call = super().submit(fn, *args, **kwargs)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return call

    @property
    def hanging(self) -> int:
        """How many calls are being executed."""
        return sum(call.running() for call in list(self._calls))


class CancelledRunError(GatewrightError):
    """The run was cancelled; no further effect is performed for it."""


@dataclass
class _Active:
    """A run that is being executed here."""

    claimed: claims.Claimed
    control: RunControl = field(default_factory=RunControl)
    chain: RunChain | None = None
    task: asyncio.Task[None] | None = None
    cancelled: Mapping[str, str] | None = None
    passage: Passage | None = None
    invocation: Invocation | None = None
    following: list[claims.Claimed] | None = None  # what takes its place; None where nobody has looked yet
    begun: bool = False
    interrupted: bool = False
    before: asyncio.Task[None] | None = None  # an execution that this process lost, and has not ended yet
    complete: bool = False  # the graph has come to its end, or parked: what it did must all be on the disk
    settling: bool = False  # how this execution comes out is being written: too late to interrupt it

    @property
    def guard(self) -> records.GuardPart | None:
        """What rules said of input and output."""
        return self.passage.guard if self.passage is not None else None

    @property
    def delivered(self) -> tuple[str, ...]:
        """The agent's own questions whose answers this execution handed over."""
        return self.invocation.delivered if self.invocation is not None else ()

    def interrupt(self) -> None:
        """Stop executing, unless it has come to its end anyway."""
        if not self.begun:  # a task that is cancelled before its first step would never see to the run
            self.interrupted = True
        elif self.task is not None and not self.settling:
            self.task.cancel()


class Engine:
    """Executes the runs of a database, up to `worker.concurrency` at a time, on the running event loop."""

    def __init__(
        self,
        office: Office,
        hub: Hub,
        saver: GroupCommitSaver,
        deployments: Mapping[str, LoadedDeployment],
        worker: Worker,
    ) -> None:
        self._office = office
        self._saver = saver
        self._hub = hub
        self._outcomes = Outcomes(office, hub, worker, insist=self._insist, given_back=self._given_back, stop=self.stop)
        self._deployments = deployments
        self._worker = worker
        self._queue = claims.Queue("")
        self._active: dict[str, _Active] = {}
        self._reserved = 0
        self._told = False  # by this process, that there is something in the queue
        self._stirs = 0  # how often somebody has said that there is
        self._empty = False  # the queue was, and nobody has said since that there is something in it
        self._stirred = asyncio.Event()
        self._begun = asyncio.Event()  # a reserved place was used or given back
        self._loop = asyncio.get_running_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self._draining = False
        self._threads: _AgentThreads | None = None

    # life

    async def start(self, worker: str) -> None:
        """Begin to execute, as this worker."""
        # Synchronous nodes and tools run in threads: one for each run that is executed, and some for the rest.
        self._threads = _AgentThreads(self._worker.concurrency + 16)
        self._loop.set_default_executor(self._threads)
        self._queue = claims.Queue(worker, self._worker.deployments)
        self._tasks = [asyncio.create_task(self._dispatch())]
        self.wake()

    def recover(self, transaction: Transaction, lost: list[str]) -> None:
        """Queue again what lost workers held."""
        now = self._office.clock.now()
        claims.recover(transaction, lost, now=now, latest=now + int(LONGEST_DELAY * MICROSECONDS))

    def begin_anew(self, worker: str) -> None:
        """Go on as this worker: what was held before is somebody else's by now, and is let go."""
        self._queue = claims.Queue(worker, self._worker.deployments)
        for run_id, active in self._active.items():
            if active.chain is not None:
                active.chain.close(runs.SupersededError(f"run {run_id!r} is executed by another worker by now"))
            active.interrupt()
        self.wake()

    def wake(self) -> None:
        """Look at the queue now: this process has put something there. May be called from any thread."""
        try:
            if asyncio.get_running_loop() is self._loop:
                self._tell()
                return
        except RuntimeError:
            pass
        with suppress(RuntimeError):  # the loop is closed: nobody executes any more
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if self._draining or not self._tasks:
            self._pass_on()
        self._told = True
        self._stir()

    def _stir(self) -> None:
        self._stirs += 1
        self._empty = False
        self._stirred.set()

    def hear(self, name: str) -> None:
        """Look at the queue now: another process has put something there that it does not take."""
        del name
        self._stir()

    def _pass_on(self) -> None:
        """Let other processes look at the queue."""
        self._office.bell.ring("queue")

    async def drain(self, timeout: float) -> None:
        """Stop claiming; let steps finish for up to `timeout` seconds, then give every run back to the queue."""
        self._draining = True
        self.wake()
        await asyncio.gather(*self._tasks[:1])  # what is being claimed begins, and ends below
        while self._reserved:
            self._begun.clear()
            await self._begun.wait()
        for active in self._active.values():
            active.control.request_drain()
        if running := self._running():
            await asyncio.wait(running, timeout=timeout)
        while running := self._running():
            for active in self._active.values():
                active.interrupt()
            await asyncio.wait(running)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def hanging(self) -> int:
        """How many calls of agents are in threads of ours; after draining, those that will perhaps never return."""
        return self._threads.hanging if self._threads is not None else 0

    def _running(self) -> list[asyncio.Task[None]]:
        return [active.task for active in self._active.values() if active.task is not None]

    def executes(self, run_id: str) -> bool:
        """Whether a run is being executed here, now."""
        return run_id in self._active

    def executed(self, run_id: str) -> list[str]:
        """This run, if it is being executed here; all that are for an empty id."""
        return [run_id] if run_id in self._active else [] if run_id else list(self._active)

    # claiming

    def reserve(self) -> bool:
        """Set a place aside for a run that is about to be accepted; false when all are taken."""
        if self._draining or not self._tasks or len(self._active) + self._reserved >= self._worker.concurrency:
            return False
        self._reserved += 1
        return True

    def claim_this(self, transaction: Transaction, run_id: str) -> claims.Claimed | None:
        """In the operation that accepts a run: take it at once, for `begin`."""
        now = self._office.clock.now()
        return self._queue.claim_this(transaction, run_id, now=now)

    def begin(self, claimed: claims.Claimed | None) -> None:
        """Use a reserved place: execute the run, or give the place back."""
        self._reserved -= 1
        self._begun.set()
        if claimed is not None:
            self._start(claimed)
        else:
            self.wake()

    async def _dispatch(self) -> None:
        while not self._draining:
            self._stirred.clear()
            told, self._told = self._told, False
            room = self._worker.concurrency - len(self._active) - self._reserved
            if room > 0:
                now = self._office.clock.now()
                most, stirs = room, self._stirs
                try:
                    claimed = await self._write(partial(self._queue.claim, most=most, now=now))
                except UnavailableError:
                    claimed = []
                except Exception:  # one run that cannot be claimed must not keep all others from it
                    _log.exception("runs cannot be claimed; trying again in %s s", POLL)
                    claimed = []
                else:
                    self._empty = len(claimed) < most and stirs == self._stirs
                for run in claimed:
                    self._start(run)
                if len(claimed) == most:
                    self._told = told or self._told
                    continue
            if told and (room <= 0 or self._worker.deployments):
                self._pass_on()
            try:
                async with asyncio.timeout(POLL):
                    await self._stirred.wait()
            except TimeoutError:
                self._empty = False  # the time of a run may have come, or another process has queued one

    def _start(self, claimed: claims.Claimed) -> None:
        lost = self._active.get(claimed.id)
        active = self._active[claimed.id] = _Active(claimed, before=lost.task if lost is not None else None)
        active.task = asyncio.create_task(self._hold(active), name=f"run {claimed.id}")

    # executing

    async def _hold(self, active: _Active) -> None:
        """Execute a run and see to it that it is ended, parked or given back, whatever happens."""
        run = active.claimed
        active.begun = True
        try:
            if active.before is not None:
                await asyncio.wait([active.before])
            if active.interrupted:
                raise asyncio.CancelledError
            await self._execute(active)
        except (asyncio.CancelledError, Exception) as error:
            active.settling, active.complete = True, False
            if active.chain is not None:
                await active.chain.calm()
            await self._interrupted(active, error)
        finally:
            self._saver.unfence(run.id, run.thread_id)
            if self._active.get(run.id) is active:  # else the run was lost, and has come back
                del self._active[run.id]
            if active.chain is not None:
                active.chain.close(runs.SupersededError(f"run {run.id!r} is not executed any more"))
            for claimed in active.following or ():
                self._start(claimed)
            if active.following is None:
                self.wake()

    async def _interrupted(self, active: _Active, error: BaseException) -> None:
        """See to a run whose execution ended without a result."""
        run = active.claimed
        if active.cancelled is not None:
            await self._outcomes.end(run, "cancelled", detail=dict(active.cancelled))
        elif isinstance(error, asyncio.CancelledError | GraphDrained):
            await self._outcomes.give_back(run, attempt=run.attempt, delay=0.0)
        elif isinstance(error, UnavailableError | LostCheckpointError):
            delay = self._worker.retry_delay
            await self._outcomes.give_back(run, attempt=run.attempt, delay=delay, error=error)
        elif isinstance(error, Exception) and not isinstance(error, runs.SupersededError):
            await self._outcomes.failed(run, error, guard=active.guard, chain=active.chain)

    async def _execute(self, active: _Active) -> None:
        run = active.claimed
        deployment = self._deployments.get(run.deployment)
        if deployment is None:
            raise GatewrightError(
                f"run {run.id!r} belongs to deployment {run.deployment!r}, which is not configured any more; configure "
                f"it again and resume the run"
            )
        agent = deployment.agents.get(run.agent)
        if agent is None:
            raise GatewrightError(f"deployment {run.deployment!r} has no agent {run.agent!r} any more")
        if run.deadline is not None and run.deadline <= self._office.clock.now():
            active.settling = True
            await self._outcomes.end(run, "cancelled", failure=runs.expiry(run.deadline), detail=runs.LATE)
            return
        execution = _execution(run)
        judge = Judge(execution, self._office, deployment)
        chain = active.chain = await self._chain(run, deployment, judge)
        settings: dict[str, Any] = orjson.loads(run.settings)
        context = RunContext(
            run_id=run.id,
            thread_id=run.thread_id,
            case_id=run.case_id,
            deployment=run.deployment,
            agent=run.agent,
            chain=chain,
            settings=settings,
            policies=deployment.policies,
        )
        ACTIVE.set(context)  # of this task alone, and of what it starts
        self._saver.fence(run.id, partial(runs.hold, run_id=run.id, epoch=run.epoch))
        self._outcomes.publish(run, "running")
        given = orjson.loads(run.input)
        passage = active.passage = Passage(run, judge, self._office)
        if execution.cause is not None and execution.cause.topic:
            admitted = await passage.admit("message.receive", given, sender=execution.cause.topic)
        elif run.thread_id == run.case_id:
            self._office.cases.said(run.case_id, run.id, given, run.started_at)
            admitted = await passage.admit("input", given)
        else:
            sender = exchange.sender(run.thread_id, run.case_id, deployment.entry)
            admitted = await passage.admit("message.receive", given, sender=sender)
        invocation = active.invocation = Invocation(
            run, agent, chain, office=self._office, hub=self._hub, worker=self._worker
        )
        if run.opens:
            self._saver.expect(run.thread_id)
        values, interrupts = await invocation.execute(admitted.value, active.control)
        await chain.settle()
        if chain.closed is not None:
            raise chain.closed
        active.settling = active.complete = True
        if interrupts:
            await self._outcomes.park(run, interrupts, delivered=active.delivered)
            return
        answered = await passage.release(codec.plain(values)) if values is not None else None
        changed = answered is not None and answered.changed
        output = orjson.dumps(answered.value) if changed and answered is not None else codec.shown(values)
        await self._outcomes.end(run, "succeeded", output=output, guard=active.guard)

    async def _chain(self, run: claims.Claimed, deployment: LoadedDeployment, judge: Judge) -> RunChain:
        entries = Journal()
        asked: dict[str, approvals.Request] = {}
        replies: dict[str, runs.Reply] = {}
        if not run.first:
            entries, asked, replies = await self._write(
                lambda tx: (Journal.load(tx, run.id), requests.of_run(tx, run.id), runs.replies(tx, run.id))
            )
        return RunChain(
            _execution(run),
            self._office,
            judge,
            entries=entries,
            asked=asked,
            replies=replies,
            colleagues=deployment.colleagues,
            max_effects=self._worker.max_effects,
        )

    # ending

    def _given_back(self, delay: float) -> None:
        """Look at the queue again when the time of a run has come that was put back into it."""
        if self._draining:
            self._pass_on()
        if delay:
            self._loop.call_later(delay, self.wake)

    async def _insist(self, run: claims.Claimed, operation: Callable[[Transaction], T]) -> T | None:
        """Write what becomes of a run, behind all that its chain has recorded; a full disk is waited for.

        The next run that can start takes its place in the same operation. None where the run is not ours any more.
        """
        active = self._active.get(run.id)
        chain = active.chain if active is not None else None

        def write(transaction: Transaction) -> tuple[T, list[claims.Claimed], int | None]:
            stirs = self._stirs
            if chain is not None:
                chain.check_recorded()
            if active is not None and active.complete:  # what failed or was cancelled goes on from what there is
                self._saver.check_written(transaction, run.thread_id)
            result, now = operation(transaction), self._office.clock.now()
            full = active is None or active.following is not None or self._draining
            if full or (self._empty and not transaction.queued):
                return result, [], None
            return result, self._queue.claim(transaction, most=1, now=now), stirs

        while True:
            try:
                result, following, stirs = await self._write(write)
                if stirs is not None:
                    self._empty = not following and stirs == self._stirs
                if active is not None:
                    active.following = following
                return result
            except runs.SupersededError:
                return None
            except UnavailableError:
                if self._draining:
                    return None  # the next process finds the run as it was and executes it again, by its journal
                await asyncio.sleep(self._worker.retry_delay or POLL)
                if chain is not None:
                    with suppress(UnavailableError):  # the disk is still full
                        await chain.settle()

    def stop(self, run_id: str, why: Mapping[str, str]) -> asyncio.Task[None] | None:
        """Stop executing a run that is cancelled; gives the task to wait for, None where it is not executed here."""
        active = self._active.get(run_id)
        if active is None:
            return None
        active.cancelled = why
        if active.chain is not None and not active.settling:
            active.chain.close(
                CancelledRunError(f"run {run_id!r} was cancelled: {why.get('reason') or 'no reason given'}")
            )
        active.interrupt()
        return active.task

    async def _write(self, operation: Callable[[Transaction], T]) -> T:
        return await arrival(self._office.writer.submit(operation))


def _execution(run: claims.Claimed) -> Execution:
    return Execution(
        run_id=run.id,
        thread_id=run.thread_id,
        case_id=run.case_id,
        deployment=run.deployment,
        agent=run.agent,
        epoch=run.epoch,
        salt=run.salt,
        cause=Cause.load(run.cause),
        deadline=run.deadline,
    )
