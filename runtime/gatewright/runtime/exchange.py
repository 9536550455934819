"""Messages that agents write, as effects: to another agent of the team, as a run of its own; or on a topic."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from gatewright.agents.effects import Effect
from gatewright.agents.envelopes import Message
from gatewright.agents.errors import BusyError, ExpiredError, UsageError

from . import acceptance, causes, identifiers, journal, results, runs
from .causes import Cause
from .clock import MICROSECONDS, moment
from .courses import Course, Pause
from .gate import Permit, park
from .journal import Entry
from .recording import Execution, Office
from .store.writer import Transaction

PATIENCE = 2.0  # seconds that an agent waits for room on a topic before its run makes way for others
LOOK = 0.1  # seconds between looks whether there is some


class Exchange:
    """The messages of one execution."""

    def __init__(
        self,
        execution: Execution,
        office: Office,
        *,
        replies: Mapping[str, runs.Reply],
        fence: Callable[[Transaction], None],
    ) -> None:
        """`fence`: refuses to act for a run that somebody else holds by now."""
        self._run = execution
        self._office = office
        self._replies = replies
        self._fence = fence

    # what becomes of them

    def deliver(self, entry: Entry, permit: Permit) -> Course:
        """Put the message down for the other agent; park until its reply is there. Gives the reply, or the run's id."""
        if entry.child_run_id is None:
            entry.child_run_id = identifiers.derived("run", self._run.run_id, entry.key)
            child, args, now = entry.child_run_id, permit.args, self._office.clock.now()
            entry.status = "parked" if args["reply"] else entry.status
            cause = self._cause(entry, child)
            deadline = self._deadline(args, now) if args["reply"] else None

            def write(transaction: Transaction) -> None:
                self._fence(transaction)
                acceptance.deliver(
                    transaction,
                    self._run,
                    entry.name,
                    child,
                    args["payload"],
                    cause=cause,
                    reply=args["reply"],
                    deadline=deadline,
                    now=now,
                )
                journal.put(transaction, self._run.run_id, entry, now=now)

            try:
                yield self._office.writer.submit(write)
            except Exception:  # nothing of it happened, and nobody may wait for an answer to it
                entry.child_run_id = None
                raise
            self._office.wake()
        if not permit.args["reply"]:
            return entry.child_run_id
        reply = self._replies.get(entry.child_run_id)
        if reply is None or reply.status not in ("succeeded", "failed", "cancelled"):
            park(f"run:{entry.child_run_id}")
        if reply.expired:
            raise ExpiredError(f"agent {entry.name!r} did not answer in time: {reply.error}")
        if reply.status != "succeeded":
            raise results.RecordedError(f"agent {entry.name!r} could not answer: its run {reply.status}: {reply.error}")
        return reply.output

    def publish(self, entry: Entry, permit: Permit) -> Course:
        """Put the message on the topic, once it has room. Gives the message's id, the same however often it is put.

        Raises:
            BusyError: for `PATIENCE` seconds it had none.
        """
        message, topic, bus = self._composed(entry, permit), permit.args["topic"], self._office.bus

        def write(transaction: Transaction) -> None:
            self._fence(transaction)
            bus.put(transaction, topic, message, bounded=True)

        end = time.monotonic() + PATIENCE
        while True:
            try:
                yield self._office.writer.submit(write)
                return message.id
            except BusyError:
                if time.monotonic() >= end:
                    raise
            yield Pause(LOOK)

    def _composed(self, entry: Entry, permit: Permit) -> Message:
        args, run, now = permit.args, self._run, self._office.clock.now()
        cause = self._cause(entry, self._message_id(entry))
        return Message(
            id=cause.id,
            source=f"gatewright/{run.deployment}/{run.agent}",
            type=args["type"],
            data=args["payload"],
            time=moment(now),
            key=args["key"],
            run_id=run.run_id,
            decision_id=entry.key,
            correlation_id=cause.correlation_id,
            causation_id=cause.causation_id,
            traceparent=cause.traceparent,
            deadline=moment(deadline) if "timeout" in args and (deadline := self._deadline(args, now)) else None,
            policy_version=permit.judgement.pack,
        )

    # what they carry

    def about(self, entry: Entry) -> dict[str, Any]:
        """What the record of a message says of it."""
        return {"message": self._cause(entry, entry.child_run_id or self._message_id(entry)).plain()}

    def _message_id(self, entry: Entry) -> str:
        return identifiers.derived("message", self._run.run_id, entry.key)

    def _cause(self, entry: Entry, message_id: str) -> Cause:
        run = self._run
        return causes.passed_on(run.cause, causes.Place(run.run_id, run.case_id, entry.key), message_id)

    def _deadline(self, args: Mapping[str, Any], now: int) -> int | None:
        """When nobody needs it any more: never later than the run that asks is needed."""
        bounds = [self._run.deadline, now + int(args["timeout"] * MICROSECONDS) if "timeout" in args else None]
        return min((bound for bound in bounds if bound is not None), default=None)


def message(
    agent: str,
    payload: Mapping[str, Any],
    topic: str,
    *,
    colleagues: frozenset[str],
    reply: bool,
    timeout: float | None = None,
) -> Effect:
    """The wish to write to an agent.

    Raises:
        UsageError: it is none of the `colleagues`, or the time-out is none.
    """
    if agent not in colleagues:
        raise UsageError(f"this team has no agent {agent!r}; it has {sorted(colleagues)}")
    args = {"topic": topic, "payload": dict(payload), "reply": reply, **_timed(timeout)}
    return Effect(kind="message", name=agent, args=args, labels=frozenset({"idempotent"}))


def publication(topic: str, type_: str, data: Any, *, key: str | None, timeout: float | None) -> Effect:
    """The wish to publish on a topic; type and JSON form of the payload are those that the topic takes.

    Raises:
        UsageError: the time-out is none.
    """
    args = {"topic": topic, "payload": data, "type": type_, "key": key, **_timed(timeout)}
    return Effect(kind="message", name=topic, args=args, labels=frozenset({"idempotent", "egress"}))


def _timed(timeout: float | None) -> dict[str, float]:
    if timeout is None:
        return {}
    if not (timeout > 0 and math.isfinite(timeout)):
        raise UsageError(f"the time-out is {timeout!r}; give seconds, more than 0, or leave it out")
    return {"timeout": timeout}


def sender(thread_id: str, case_id: str, entry: str) -> str:
    """The agent that writes to a thread of its case: that of the thread it lies below.

    Args:
        entry: the agent of the case's root.
    """
    above = thread_id.removeprefix(case_id).split("/")[:-1]
    return above[-1] or entry
