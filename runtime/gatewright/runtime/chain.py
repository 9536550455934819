"""The effect chain: journal, guard, approve, intend, perform, guard, record. Every effect of a run passes it.

The chain is written once, as a *course*: a generator that yields what it waits for, and is driven by blocking code
for synchronous agents and by awaiting code for asynchronous ones.

What waits for the disk, and why: an effect that may change the world is performed only when its intention is durable.
Records are not waited for: the one writer keeps their order, so whatever is durable later (the next intention, the
end of the run) is durable after them. A process that dies in between leaves an intention without an outcome, which is
exactly what is known.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, TypeVar, cast

from langgraph.errors import GraphBubbleUp

from gatewright.agents.effects import Effect
from gatewright.agents.errors import (
    BusyError,
    DeniedError,
    DivergenceError,
    GatewrightError,
    LimitError,
    TerminatedError,
    UnavailableError,
    UsageError,
)
from gatewright.safety import approvals
from gatewright.safety.ledger import records
from gatewright.safety.rules.events import AFTER, Hook
from gatewright.safety.verdicts import Decision

from . import codec, exchange, journal, judgements, requests, results, runs
from .courses import Act, Course, Pause, Step, adrive, drive
from .exchange import Exchange
from .gate import Gate, Known, Permit
from .identity import Steps
from .journal import Entry, Journal
from .judging import Judge, Ruling
from .recording import Execution, Office, Recorder, Wish
from .store.writer import Transaction

R = TypeVar("R")

GRACE = 10.0  # seconds a repeated step has to ask again for what it did before, when it asks for something new
PATIENCE = 5.0  # seconds that calls nobody waits for have to come to their end

_REFUSALS = frozenset({"ask", "deny", "terminate"})  # nobody can be asked about what has happened


class RunChain:
    """The chain of one execution of one run."""

    def __init__(
        self,
        execution: Execution,
        office: Office,
        judge: Judge,
        *,
        entries: Journal,
        asked: Mapping[str, approvals.Request],
        replies: Mapping[str, runs.Reply],
        colleagues: frozenset[str],
        max_effects: int,
    ) -> None:
        self._run = execution
        self._office = office
        self._judge = judge
        self._journal = entries
        self._max_effects = max_effects
        self._closed: GatewrightError | None = None
        self._recorder = Recorder(execution, office)
        self._gate = Gate(execution, office, judge, self._recorder, asked, close=self.close)
        self._colleagues = colleagues
        self._exchange = Exchange(execution, office, replies=replies, fence=self._fence)
        self._lock = threading.Lock()
        self._performing = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self.steps = Steps(self)

    # What agents call

    def perform(self, effect: Effect, action: Callable[[Mapping[str, Any]], R]) -> R:
        """See `gatewright.agents.Chain.perform`."""
        return cast("R", drive(self._course(effect), action))

    async def aperform(self, effect: Effect, action: Callable[[Mapping[str, Any]], Awaitable[R]]) -> R:
        """See `gatewright.agents.Chain.aperform`."""
        task = asyncio.create_task(adrive(self._course(effect), action))
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        try:
            return cast("R", await asyncio.shield(task))
        except asyncio.CancelledError:
            # An agent that gives up waiting does not undo what was begun: it goes on, so that its outcome is known.
            if self._closed is not None:
                task.cancel()
            raise

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # of whom nobody waits for any more

    def ask(self, agent: str, payload: Mapping[str, Any], *, topic: str, timeout: float | None) -> Any:
        """See `gatewright.agents.ask`."""
        return drive(self._write_to(agent, payload, topic, reply=True, timeout=timeout))

    def send(self, agent: str, payload: Mapping[str, Any], *, topic: str) -> str:
        """See `gatewright.agents.send`."""
        return str(drive(self._write_to(agent, payload, topic, reply=False)))

    def _write_to(
        self, agent: str, payload: Mapping[str, Any], topic: str, *, reply: bool, timeout: float | None = None
    ) -> Course:
        wish = exchange.message(agent, payload, topic, colleagues=self._colleagues, reply=reply, timeout=timeout)
        return self._course(wish, self._exchange.deliver)

    def publish(self, topic: str, payload: Any, *, key: str | None, type: str | None, timeout: float | None) -> str:
        """See `gatewright.agents.publish`."""
        type_, data = self._office.bus.shape(topic, payload, type=type)
        wish = exchange.publication(topic, type_, data, key=key, timeout=timeout)
        return str(drive(self._course(wish, self._exchange.publish)))

    # What the engine calls

    def close(self, why: GatewrightError) -> None:
        """Refuse every further effect: the run has ended, or belongs to somebody else."""
        self._closed = self._closed or why

    @property
    def closed(self) -> GatewrightError | None:
        """Why no further effect is performed; None while effects are."""
        return self._closed

    def released(self) -> list[str]:
        """Keys of effects that failed together with their step: they are performed again when the run is retried."""
        return self._journal.released()

    async def calm(self) -> None:
        """Refuse new effects, and wait a while for those that are being performed (parallel calls of a failed step)."""
        self.close(runs.SupersededError(f"this execution of run {self._run.run_id!r} is over"))
        await self._quiet()
        for task in list(self._tasks):
            task.cancel()

    async def _quiet(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while self._performing and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    async def settle(self) -> None:
        """Wait a while for what is being performed, and write again what could not be written."""
        await self._quiet()
        await adrive(self._recorder.settle(insist=lambda: self._closed is None))

    def check_recorded(self) -> None:
        """See `Recorder.check`."""
        self._recorder.check()

    # What the steps tell

    def begun(self, step: str) -> None:
        """A step begins, or begins again: what it did is to be asked for again."""
        self._journal.begin(step)

    def ended(self, step: str) -> None:
        """A step is over: it must have asked for all that it did before, and wait for nothing."""
        if missing := self._journal.missing(step):
            self._diverged(step, "ended without it", missing[0])
        if waiting := self._journal.waiting(step):
            self.close(
                UsageError(
                    f"step {step!r} went on although {_title(waiting[0])} waits to be approved or answered; let "
                    "GraphInterrupt pass where the agent catches exceptions, and hand it on from threads"
                )
            )

    def failed(self, step: str, error: BaseException) -> None:
        """A step failed: what failed with it may be performed again."""
        related: set[int] = set()
        pending: list[BaseException | None] = [error]
        while pending:
            found = pending.pop()
            if found is not None and id(found) not in related:
                related.add(id(found))
                pending += [found.__cause__, found.__context__]
        self._journal.release_failed(related)

    # The chain

    def _course(self, effect: Effect, act: Callable[[Entry, Permit], Course] | None = None) -> Course:
        if self._closed is not None:
            raise self._closed
        yield from self._recorder.settle(insist=lambda: self._closed is None)
        digest = journal.digest_of(effect, self._run.salt)
        step = self.steps.here()
        occurrence = self.steps.occurrence(step, effect.kind, f"{effect.name}:{effect.call_id or digest}")
        key = journal.key_of(step, effect, digest, occurrence)
        entry = self._journal.take(key)
        if entry is None:
            self._limit()
            yield from self._expect(step, effect)
            entry = Entry(key, step, effect.kind, effect.name, digest, "released", self._run.epoch, attempt=0)
            entry.named = effect.call_id is not None
            self._journal.add(entry)
        elif entry.digest != digest:
            raise self._diverged(step, f"asked for {_title(entry)} with other arguments", entry)
        if entry.status == "done":
            return self._recorded(entry)
        self._gate.check_running(entry)
        wish = Wish(effect, entry, self._judge.labels(effect.name, effect.labels))
        try:
            permit = yield from self._gate.permit(wish)
            if isinstance(permit, Known):
                return permit.value
            return (yield from self._carry_out(wish, permit, act))
        finally:
            self._judge.over(key)

    def _limit(self) -> None:
        if len(self._journal) >= self._max_effects:
            error = LimitError(
                f"run {self._run.run_id!r} asked for more than {self._max_effects} effects; if that is not a loop, "
                "raise worker.max_effects"
            )
            self.close(error)
            raise error

    def _recorded(self, entry: Entry) -> Any:
        if entry.outcome == "ok":
            return entry.value
        if entry.exception is None:
            entry.exception = results.revive(entry.value)
        if isinstance(entry.exception, TerminatedError):
            self.close(entry.exception)
        raise entry.exception

    # journal

    def _expect(self, step: str, effect: Effect) -> Course:
        """A wish the journal does not hold, in a step that it does: give parallel calls time, then name both."""
        if effect.call_id is not None:
            return
        deadline = time.monotonic() + GRACE
        while missing := [entry for entry in self._journal.missing(step) if not entry.named]:
            if time.monotonic() > deadline:
                raise self._diverged(step, f"asked for {effect.kind} {effect.name!r}", missing[0])
            yield Pause(0.02)

    def _diverged(self, step: str, did: str, expected: Entry) -> DivergenceError:
        error = DivergenceError(
            f"step {step!r} was executed again and {did} where the journal holds {_title(expected)}; {_DETERMINISM}"
        )
        self.close(error)
        return error

    # intend, perform, guard, record

    def _carry_out(self, wish: Wish, permit: Permit, act: Callable[[Entry, Permit], Course] | None) -> Course:
        with self._lock:
            self._performing += 1
        try:
            self._gate.check_running(wish.entry)
            wish.entry.attempt += wish.entry.status != "parked"
            yield from self._intend(wish, permit)
            return (yield from self._performed(wish, permit, act))
        finally:
            if permit.reservation is not None:
                permit.reservation.release()  # nothing, if it has been settled
            with self._lock:
                self._performing -= 1

    def _intend(self, wish: Wish, permit: Permit) -> Course:
        effect, entry = wish.effect, wish.entry
        before = (entry.status, entry.guard)
        entry.status, entry.epoch = "intended", self._run.epoch
        changed = None if permit.args == effect.args else permit.args
        entry.guard = judgements.dump(permit.judgement, args=changed, approval=permit.approval)
        harmless = "reads" in wish.labels or effect.kind == "decision"
        if harmless and permit.consumes is None:
            return
        repeatable = effect.kind in ("model", "message") and permit.consumes is None
        kept, now = entry.copy(), self._office.clock.now()

        def write(transaction: Transaction) -> None:
            self._fence(transaction)
            if not repeatable:
                runs.check_going(transaction, self._run.deployment)
            if permit.consumes is not None:
                requests.consume(transaction, permit.consumes, now=now)
            journal.put(transaction, self._run.run_id, kept, now=now)

        if repeatable:
            self._recorder.write(write)  # repeating it does no harm: say so, and do not wait
            return
        try:
            yield self._office.writer.submit(write)
        except runs.PausedError:  # by another process, of which this one has not heard yet
            entry.status, entry.guard = before
            self._gate.pause(entry)

    def _fence(self, transaction: Transaction) -> None:
        """Refuse to act for a run that somebody else holds by now."""
        runs.hold(transaction, self._run.run_id, self._run.epoch)

    def _performed(self, wish: Wish, permit: Permit, act: Callable[[Entry, Permit], Course] | None) -> Course:
        entry, started = wish.entry, time.monotonic()
        try:
            if act is not None:
                value = yield from act(entry, permit)
            else:
                self.steps.begin(entry.key)
                value = yield Act(permit.args, entry.key, journal.idempotency_key(self._run.run_id, entry.key))
                self.ended(entry.key)
        except GraphBubbleUp:
            if entry.status == "intended":
                entry.status = "parked"
                kept, now = entry.copy(), self._office.clock.now()
                self._recorder.write(lambda tx: journal.put(tx, self._run.run_id, kept, now=now))
            raise
        except BusyError as error:  # nothing was put down: the run is given back, and comes to this again
            self.close(error)
            raise
        except Exception as error:
            if wish.effect.kind == "message" and isinstance(error, UnavailableError | runs.SupersededError):  # alike
                self.close(error)
                raise
            entry.exception = error
            return (yield from self._after(wish, permit, None, error, started))
        return (yield from self._after(wish, permit, value, None, started))

    def _after(self, wish: Wish, permit: Permit, value: Any, error: Exception | None, started: float) -> Course:
        """Judge the result, record it, and give it to the agent (or what rules made of it)."""
        effect = wish.effect
        after: records.Judgement | None = None
        picked = effect.kind != "decision" or error is None  # else there is no choice to judge
        hook = AFTER.get(effect.kind) if picked else None
        encoded: codec.Encoded | None = None
        try:
            if hook is not None and self._judge.wants(hook, effect.name, effect.labels):
                shown = codec.plain(value) if error is None else None
                decision, after = yield from self._judge_result(hook, wish, permit, value, error)
                if decision.verdict in _REFUSALS or (error is not None and decision.verdict == "modify"):
                    return self._withhold(wish, permit, decision, after, started, self._usage(effect, permit, value))
                if decision.result is not None and error is None:
                    value = results.with_result(value, shown, decision.result)
            for handoff in results.handoffs(value) if effect.kind == "tool" else ():
                if self._judge.wants("handoff", handoff.to):
                    args = {"tool": effect.name, "update": handoff.update}
                    ruling = yield from self._judge.judge("handoff", handoff.to, args=args)
                    after = ruling.judgement if after is None or ruling.decision.verdict in _REFUSALS else after
                    if ruling.decision.verdict in _REFUSALS:
                        return self._withhold(wish, permit, ruling.decision, after, started, None)
            encoded = codec.encode(value) if error is None else None
        except (UsageError, results.UnfitError) as unfit:  # it cannot be shown to rules, changed, or recorded
            wish.entry.exception = error = unfit
        self._recorder.finish(
            wish,
            "ok" if error is None else "error",
            value if error is None else results.failure(error),
            encoded=encoded,
            before=permit.judgement,
            after=after,
            args=permit.args,
            approval=permit.approval,
            duration=time.monotonic() - started,
            usage=self._usage(effect, permit, value) if error is None else None,
            reservation=permit.reservation,
            detail=self._exchange.about(wish.entry) if effect.kind == "message" else None,
        )
        if error is not None:
            raise error
        return value

    def _judge_result(
        self, hook: Hook, wish: Wish, permit: Permit, value: Any, error: Exception | None
    ) -> Generator[Step, Any, Ruling]:
        effect = wish.effect
        return self._judge.judge(
            hook,
            effect.name,
            labels=effect.labels,
            args=permit.args,
            key=wish.entry.key,
            result=results.judged(value),
            error="" if error is None else str(error),
            text=results.text(codec.plain(value)) if effect.kind == "model" else "",
        )

    def _usage(self, effect: Effect, permit: Permit, value: Any) -> records.UsagePart | None:
        if effect.kind != "model":
            return None
        return results.usage(value, permit.args.get("model", effect.name), self._office.prices)

    def _withhold(
        self,
        wish: Wish,
        permit: Permit,
        decision: Decision,
        after: records.Judgement,
        started: float,
        usage: records.UsagePart | None,
    ) -> Any:
        """It was performed, and the agent may not see the result."""
        ends = decision.verdict == "terminate"
        refusal = TerminatedError(decision.reason) if ends else DeniedError(f"result withheld: {decision.reason}")
        wish.entry.exception = refusal
        self._recorder.finish(
            wish,
            "terminated" if ends else "denied",
            results.failure(refusal),
            before=permit.judgement,
            after=after,
            args=permit.args,
            approval=permit.approval,
            duration=time.monotonic() - started,
            usage=usage,
            reservation=permit.reservation,
        )
        if ends:
            self.close(refusal)
        raise refusal


_DETERMINISM = (
    "agents must be deterministic between their effects: take time, random numbers and outside data through effects, "
    "and let runs finish on the code that they began on"
)


def _title(entry: Entry) -> str:
    return f"{entry.kind} {entry.name!r}"
