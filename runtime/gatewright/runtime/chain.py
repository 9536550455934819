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
import dataclasses
import hashlib
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, NamedTuple, NoReturn, TypeVar, cast

from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.types import Interrupt

from gatewright.agents.effects import Effect
from gatewright.agents.errors import (
    DeniedError,
    DivergenceError,
    GatewrightError,
    LimitError,
    TerminatedError,
    UsageError,
)
from gatewright.safety import approvals, canonical, records
from gatewright.safety.events import Event, Hook
from gatewright.safety.guard import Guard
from gatewright.safety.verdicts import Decision

from . import codec, identifiers, journal, judgements, requests, results, runs
from .clock import moment
from .courses import Act, Course, Pause, Step, adrive, drive
from .history import LazyHistory
from .identity import Steps
from .journal import Entry, Journal
from .recording import Execution as Execution
from .recording import Office as Office
from .recording import Recorder
from .store.writer import Transaction

R = TypeVar("R")

GRACE = 10.0  # seconds a repeated step has to ask again for what it did before, when it asks for something new
PATIENCE = 5.0  # seconds that calls nobody waits for have to come to their end

_BEFORE: Mapping[str, Hook] = {
    "tool": "tool.before",
    "model": "model.before",
    "function": "function.before",
    "message": "message.send",
}
_AFTER: Mapping[str, Hook] = {
    "tool": "tool.after",
    "model": "model.after",
    "function": "function.after",
    "decision": "decision",
}


class Grant(NamedTuple):
    """Leave to perform: with which arguments, judged how, approved by whom."""

    args: Mapping[str, Any]
    judgement: records.Judgement
    approval: records.ApprovalPart | None = None
    consumes: approvals.Request | None = None


def waits_for(interrupt: Any) -> str | None:
    """The approval or run that one of our own interrupts waits for; None for an agent's own `interrupt()`."""
    value = getattr(interrupt, "value", None)
    found = value.get("gatewright_waits_for") if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else None


class RunChain:
    """The chain of one execution of one run."""

    def __init__(
        self,
        execution: Execution,
        office: Office,
        guard: Guard,
        *,
        entries: Journal,
        requests: Mapping[str, approvals.Request],
        replies: Mapping[str, runs.Reply],
        colleagues: frozenset[str],
        max_effects: int,
    ) -> None:
        self._run = execution
        self._office = office
        self._guard = guard
        self._journal = entries
        self._requests = dict(requests)
        self._replies = replies
        self._colleagues = colleagues
        self._max_effects = max_effects
        self._closed: GatewrightError | None = None
        self._recorder = Recorder(execution, office)
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

    def ask(self, agent: str, payload: Mapping[str, Any], *, topic: str) -> Any:
        """See `gatewright.agents.ask`."""
        return drive(self._course(self._message(agent, payload, topic, reply=True), self._exchange), _never)

    def send(self, agent: str, payload: Mapping[str, Any], *, topic: str) -> str:
        """See `gatewright.agents.send`."""
        return str(drive(self._course(self._message(agent, payload, topic, reply=False), self._exchange), _never))

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
        await adrive(self._recorder.settle(insist=lambda: self._closed is None), _never)

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

    def _course(self, effect: Effect, act: Callable[[Entry, Grant], Course] | None = None) -> Course:
        if self._closed is not None:
            raise self._closed
        yield from self._recorder.settle(insist=lambda: self._closed is None)
        labels = self._labels(effect)
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
        grant = yield from self._permit(effect, entry, labels)
        if isinstance(grant, _Known):
            return grant.value
        return (yield from self._carry_out(effect, entry, grant, labels, act))

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

    # guard and approve

    def _event(self, hook: Hook, effect: Effect, labels: frozenset[str], args: Mapping[str, Any], **more: Any) -> Event:
        run = self._run
        return Event(
            hook=hook,
            name=effect.name,
            agent=run.agent,
            deployment=run.deployment,
            run_id=run.run_id,
            thread_id=run.thread_id,
            labels=labels,
            args=cast("Mapping[str, Any]", canonical.json_value(dict(args))),
            history=LazyHistory(lambda: self._office.cases.of(run.case_id)),
            time=moment(self._office.clock.now()),
            **more,
        )

    def _judge(self, effect: Effect, labels: frozenset[str], args: Mapping[str, Any]) -> Decision:
        hook = _BEFORE.get(effect.kind)
        if hook is None or not self._guard.wants(hook, effect.name, effect.labels):
            return Decision(verdict="allow", pack=self._guard.title)
        text = results.text(args) if effect.kind in ("model", "message") else ""
        return self._guard.evaluate(self._event(hook, effect, labels, args, text=text))

    def _permit(self, effect: Effect, entry: Entry, labels: frozenset[str]) -> Generator[Step, Any, Grant | _Known]:
        stored = None if entry.guard is None else judgements.load(entry.guard)
        if entry.status == "parked" and stored is not None:
            return _granted(effect, stored)
        if entry.status == "intended" and stored is not None:
            return (yield from self._unknown(effect, entry, stored, labels))
        request = self._requests.get(entry.key)
        if entry.status == "asked" and request is not None and stored is not None:
            decided = yield from self._decided(effect, entry, labels, request, stored.judgement)
            if decided is not None:
                return decided
        decision = self._judge(effect, labels, effect.args)
        judgement = requests.judgement(decision)
        if decision.verdict == "deny":
            self._deny(effect, entry, judgement, decision.reason)
        if decision.verdict == "terminate":
            self._terminate(effect, entry, judgement, decision.reason)
        args = effect.args if decision.args is None else decision.args
        if decision.verdict == "ask":
            yield from self._request(effect, entry, decision, judgement, args)
        return Grant(args, judgement)

    def _decided(
        self,
        effect: Effect,
        entry: Entry,
        labels: frozenset[str],
        request: approvals.Request,
        stored: records.Judgement,
    ) -> Generator[Step, Any, Grant | _Known | None]:
        """Go by what people decided, as it is stored; None where the decision is void and they must be asked anew."""
        if request.state == "open":
            self._park(request.id)
        answer = requests.approval_part(request)
        if request.state == "expired":
            self._deny(effect, entry, stored, "nobody decided in time (this is not a refusal)", approval=answer)
        if request.state == "rejected":
            self._deny(effect, entry, stored, f"refused by {answer.by}: {answer.reason}", approval=answer)
        if request.state not in ("approved", "edited", "answered"):
            return None
        if dataclasses.replace(request.action, pack=self._guard.digest).digest != request.action.digest:
            yield self._office.writer.submit(lambda tx: requests.void(tx, request.id, now=self._office.clock.now()))
            return None
        if request.state == "answered" and request.vote is not None:
            self._finish(effect, entry, "ok", request.vote.value, before=stored, approval=answer)
            return _Known(request.vote.value)
        args = request.decided.args
        if request.state == "edited":  # an edit may not allow more than the rules do
            again = self._judge(effect, labels, args)
            if again.verdict in ("deny", "terminate"):
                reason = f"the arguments that {answer.by} gave are refused: {again.reason}"
                self._deny(effect, entry, requests.judgement(again), reason, approval=answer)
        elif canonical.json_value(dict(effect.args)) == args:
            args = effect.args
        return Grant(args, stored, answer, request)

    def _unknown(
        self, effect: Effect, entry: Entry, stored: judgements.Stored, labels: frozenset[str]
    ) -> Generator[Step, Any, Grant | _Known]:
        """The process died while this was being performed: repeat what may be repeated, else ask what happened."""
        grant = _granted(effect, stored)
        if {"idempotent", "reads"} & labels or effect.kind in ("message", "decision"):
            return grant
        request = self._requests.get(f"{entry.key}?")
        if request is None or request.state not in ("open", "approved", "answered", "rejected"):
            request = yield from self._ask_outcome(effect, entry, grant.args)
        if request.state == "open":
            self._park(request.id)
        answer = requests.approval_part(request)
        if request.state == "approved":
            return Grant(grant.args, grant.judgement, answer, request)
        if request.state == "answered" and request.vote is not None:
            value = request.vote.value
            self._finish(effect, entry, "ok", value, before=grant.judgement, args=grant.args, approval=answer)
            return _Known(value)
        self._deny(effect, entry, grant.judgement, f"given up by {answer.by}: {answer.reason}", approval=answer)

    def _ask_outcome(
        self, effect: Effect, entry: Entry, args: Mapping[str, Any]
    ) -> Generator[Step, Any, approvals.Request]:
        now = self._office.clock.now()
        shown = dataclasses.replace(effect, args=args)
        request = requests.about_outcome(self._run, shown, self._guard.digest, now=now)
        yield self._office.writer.submit(
            lambda tx: requests.open_request(tx, self._run.run_id, self._run, f"{entry.key}?", request, now=now)
        )
        self._requests[f"{entry.key}?"] = request
        self._announce(request)
        return request

    def _request(
        self,
        effect: Effect,
        entry: Entry,
        decision: Decision,
        judgement: records.Judgement,
        args: Mapping[str, Any],
    ) -> Course:
        now = self._office.clock.now()
        request = requests.about_action(self._run, effect, args, decision, self._guard.digest, now=now)
        entry.status, entry.guard = "asked", judgements.dump(judgement)

        def write(transaction: Transaction) -> None:
            requests.open_request(transaction, self._run.run_id, self._run, entry.key, request, now=now)
            journal.put(transaction, self._run.run_id, entry, now=now)

        yield self._office.writer.submit(write)
        self._requests[entry.key] = request
        self._announce(request)
        self._park(request.id)

    def _announce(self, request: approvals.Request) -> None:
        self._office.publish(self._run.run_id, "approval", {"id": request.id, "state": "open", "kind": request.kind})

    def _park(self, waits_for: str) -> NoReturn:
        raise GraphInterrupt(
            (Interrupt(value={"gatewright_waits_for": waits_for}, id=hashlib.md5(waits_for.encode()).hexdigest()),)
        )

    def _deny(
        self,
        effect: Effect,
        entry: Entry,
        judgement: records.Judgement,
        reason: str,
        *,
        approval: records.ApprovalPart | None = None,
    ) -> NoReturn:
        error = DeniedError(reason or "a rule refused this")
        entry.exception = error
        self._finish(effect, entry, "denied", results.failure(error), before=judgement, approval=approval)
        raise error

    def _terminate(self, effect: Effect, entry: Entry, judgement: records.Judgement, reason: str) -> NoReturn:
        error = TerminatedError(reason or "a rule ended this run")
        entry.exception = error
        self._finish(effect, entry, "terminated", results.failure(error), before=judgement)
        self.close(error)
        raise error

    # intend, perform, guard, record

    def _carry_out(
        self,
        effect: Effect,
        entry: Entry,
        grant: Grant,
        labels: frozenset[str],
        act: Callable[[Entry, Grant], Course] | None,
    ) -> Course:
        entry.attempt += entry.status != "parked"
        with self._lock:
            self._performing += 1
        try:
            yield from self._intend(effect, entry, grant, labels)
            return (yield from self._performed(effect, entry, grant, labels, act))
        finally:
            with self._lock:
                self._performing -= 1

    def _performed(
        self,
        effect: Effect,
        entry: Entry,
        grant: Grant,
        labels: frozenset[str],
        act: Callable[[Entry, Grant], Course] | None,
    ) -> Course:
        started = time.monotonic()
        try:
            if act is not None:
                value = yield from act(entry, grant)
            else:
                self.steps.begin(entry.key)
                value = yield Act(grant.args, entry.key, self._idempotency_key(entry))
                self.ended(entry.key)
        except GraphBubbleUp:
            if entry.status == "intended":
                entry.status = "parked"
                kept, now = entry.copy(), self._office.clock.now()
                self._recorder.write(lambda tx: journal.put(tx, self._run.run_id, kept, now=now))
            raise
        except Exception as error:
            entry.exception = error
            return self._after(effect, entry, labels, grant, None, error, started)
        return self._after(effect, entry, labels, grant, value, None, started)

    def _intend(self, effect: Effect, entry: Entry, grant: Grant, labels: frozenset[str]) -> Course:
        entry.status, entry.epoch = "intended", self._run.epoch
        changed = None if grant.args == effect.args else grant.args
        entry.guard = judgements.dump(grant.judgement, args=changed, approval=grant.approval)
        harmless = "reads" in labels or effect.kind == "decision"
        if harmless and grant.consumes is None:
            return
        kept, now = entry.copy(), self._office.clock.now()

        def write(transaction: Transaction) -> None:
            self._fence(transaction)
            if grant.consumes is not None:
                requests.consume(transaction, grant.consumes, now=now)
            journal.put(transaction, self._run.run_id, kept, now=now)

        if effect.kind in ("model", "message") and grant.consumes is None:
            self._recorder.write(write)  # repeating it does no harm: say so, and do not wait
        else:
            yield self._office.writer.submit(write)

    def _fence(self, transaction: Transaction) -> None:
        """Refuse to act for a run that somebody else holds by now."""
        runs.hold(transaction, self._run.run_id, self._run.epoch)

    def _after(
        self,
        effect: Effect,
        entry: Entry,
        labels: frozenset[str],
        grant: Grant,
        value: Any,
        error: Exception | None,
        started: float,
    ) -> Any:
        """Judge the result, record it, and give it to the agent (or what rules made of it)."""
        after: records.Judgement | None = None
        hook = _AFTER.get(effect.kind)
        judged = hook is not None and self._guard.wants(hook, effect.name, effect.labels)
        encoded: codec.Encoded | None = None
        try:
            shown = codec.plain(value) if judged and error is None else None
            if hook is not None and judged:
                decision = self._judge_result(hook, effect, labels, grant, shown, error)
                after = requests.judgement(decision)
                if decision.verdict in ("ask", "deny", "terminate"):
                    return self._withhold(effect, entry, grant, decision, after, started)
                if decision.result is not None and error is None:
                    value = results.with_result(value, shown, decision.result)
            encoded = codec.encode(value) if error is None else None
        except (
            UsageError,
            results.UnfitError,
        ) as unfit:  # it cannot be shown to rules, changed as they say, or recorded
            entry.exception = error = unfit
        self._finish(
            effect,
            entry,
            "ok" if error is None else "error",
            value if error is None else results.failure(error),
            encoded=encoded,
            before=grant.judgement,
            after=after,
            args=grant.args,
            approval=grant.approval,
            duration=time.monotonic() - started,
            usage=results.usage(value) if error is None else None,
        )
        if error is not None:
            raise error
        return value

    def _judge_result(
        self, hook: Hook, effect: Effect, labels: frozenset[str], grant: Grant, shown: Any, error: Exception | None
    ) -> Decision:
        event = self._event(
            hook,
            effect,
            labels,
            grant.args,
            result=results.judged(shown),
            error="" if error is None else str(error),
            **({"text": results.text(shown)} if effect.kind == "model" else {}),
        )
        return self._guard.evaluate(event)

    def _withhold(
        self,
        effect: Effect,
        entry: Entry,
        grant: Grant,
        decision: Decision,
        after: records.Judgement,
        started: float,
    ) -> Any:
        """It was performed, and the agent may not see the result."""
        ends = decision.verdict == "terminate"
        refusal = TerminatedError(decision.reason) if ends else DeniedError(f"result withheld: {decision.reason}")
        entry.exception = refusal
        self._finish(
            effect,
            entry,
            "terminated" if ends else "denied",
            results.failure(refusal),
            before=grant.judgement,
            after=after,
            args=grant.args,
            approval=grant.approval,
            duration=time.monotonic() - started,
        )
        if ends:
            self.close(refusal)
        raise refusal

    def _finish(self, effect: Effect, entry: Entry, outcome: journal.Outcome, value: Any, **more: Any) -> None:
        """Note the outcome, see `Recorder.finish`."""
        self._recorder.finish(effect, entry, outcome, value, labels=self._labels(effect), **more)

    def _labels(self, effect: Effect) -> frozenset[str]:
        return effect.labels | self._guard.labels(effect.name)

    def _idempotency_key(self, entry: Entry) -> str:
        return hashlib.sha256(f"{self._run.run_id}\n{entry.key}".encode()).hexdigest()[:32]

    # messages

    def _message(self, agent: str, payload: Mapping[str, Any], topic: str, *, reply: bool) -> Effect:
        if agent not in self._colleagues:
            raise UsageError(f"this team has no agent {agent!r}; it has {sorted(self._colleagues)}")
        args = {"topic": topic, "payload": dict(payload), "reply": reply}
        return Effect(kind="message", name=agent, args=args, labels=frozenset({"idempotent"}))

    def _exchange(self, entry: Entry, grant: Grant) -> Course:
        """Put the message down for the other agent, as a run of its own; park until its reply is there."""
        if entry.child_run_id is None:
            entry.child_run_id = identifiers.derived("run", self._run.run_id, entry.key)
            child, args, now = entry.child_run_id, grant.args, self._office.clock.now()
            entry.status = "parked" if args["reply"] else entry.status

            def write(transaction: Transaction) -> None:
                self._fence(transaction)
                runs.deliver(transaction, self._run, entry.name, child, args["payload"], reply=args["reply"], now=now)
                journal.put(transaction, self._run.run_id, entry, now=now)

            yield self._office.writer.submit(write)
            self._office.wake()
        if not grant.args["reply"]:
            return entry.child_run_id
        reply = self._replies.get(entry.child_run_id)
        if reply is None or reply.status not in ("succeeded", "failed", "cancelled"):
            self._park(f"run:{entry.child_run_id}")
        assert reply is not None
        if reply.status != "succeeded":
            raise results.RecordedError(f"agent {entry.name!r} could not answer: its run {reply.status}: {reply.error}")
        return reply.output


class _Known(NamedTuple):
    """A person told what the effect's result was."""

    value: Any


_DETERMINISM = (
    "agents must be deterministic between their effects: take time, random numbers and outside data through effects, "
    "and let runs finish on the code that they began on"
)


def _granted(effect: Effect, stored: judgements.Stored) -> Grant:
    """What was granted when it was performed before, as it was stored."""
    return Grant(effect.args if stored.args is None else stored.args, stored.judgement, stored.approval)


def _title(entry: Entry) -> str:
    return f"{entry.kind} {entry.name!r}"


def _never(args: Mapping[str, Any]) -> Any:
    raise AssertionError("a message performs itself")
