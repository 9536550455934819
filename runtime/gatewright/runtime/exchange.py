"""Messages between agents, as effects: put down for the other agent as a run of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gatewright.agents.effects import Effect
from gatewright.agents.errors import UsageError

from . import acceptance, identifiers, journal, results, runs
from .courses import Course
from .gate import Permit, park
from .journal import Entry
from .recording import Execution, Office
from .store.writer import Transaction


class Exchange:
    """The messages of one execution."""

    def __init__(
        self,
        execution: Execution,
        office: Office,
        *,
        replies: Mapping[str, runs.Reply],
        colleagues: frozenset[str],
        fence: Callable[[Transaction], None],
    ) -> None:
        """`fence`: refuses to act for a run that somebody else holds by now."""
        self._run = execution
        self._office = office
        self._replies = replies
        self._colleagues = colleagues
        self._fence = fence

    def message(self, agent: str, payload: Mapping[str, Any], topic: str, *, reply: bool) -> Effect:
        """The wish to write to an agent.

        Raises:
            UsageError: the team has no such agent.
        """
        if agent not in self._colleagues:
            raise UsageError(f"this team has no agent {agent!r}; it has {sorted(self._colleagues)}")
        args = {"topic": topic, "payload": dict(payload), "reply": reply}
        return Effect(kind="message", name=agent, args=args, labels=frozenset({"idempotent"}))

    def deliver(self, entry: Entry, permit: Permit) -> Course:
        """Put the message down for the other agent; park until its reply is there. Gives the reply, or the run's id."""
        if entry.child_run_id is None:
            entry.child_run_id = identifiers.derived("run", self._run.run_id, entry.key)
            child, args, now = entry.child_run_id, permit.args, self._office.clock.now()
            entry.status = "parked" if args["reply"] else entry.status

            def write(transaction: Transaction) -> None:
                self._fence(transaction)
                acceptance.deliver(
                    transaction, self._run, entry.name, child, args["payload"], reply=args["reply"], now=now
                )
                journal.put(transaction, self._run.run_id, entry, now=now)

            yield self._office.writer.submit(write)
            self._office.wake()
        if not permit.args["reply"]:
            return entry.child_run_id
        reply = self._replies.get(entry.child_run_id)
        if reply is None or reply.status not in ("succeeded", "failed", "cancelled"):
            park(f"run:{entry.child_run_id}")
        if reply.status != "succeeded":
            raise results.RecordedError(f"agent {entry.name!r} could not answer: its run {reply.status}: {reply.error}")
        return reply.output


def sender(thread_id: str, case_id: str, entry: str) -> str:
    """The agent that writes to a thread of its case: that of the thread it lies below.

    Args:
        entry: the agent of the case's root.
    """
    above = thread_id.removeprefix(case_id).split("/")[:-1]
    return above[-1] or entry
