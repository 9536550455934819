"""Asking the rules: what an execution shows of itself, and what they say about it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, cast

from gatewright.safety import canonical
from gatewright.safety.events import Event, Hook
from gatewright.safety.verdicts import Decision

from .clock import moment
from .courses import Step
from .deployments import LoadedDeployment
from .history import LazyHistory
from .recording import Execution, Office


class Judge:
    """Puts the events of one execution before the rules of its deployment."""

    def __init__(self, execution: Execution, office: Office, deployment: LoadedDeployment) -> None:
        self._run = execution
        self._office = office
        self._guard = deployment.guard
        self.allowed = Decision(verdict="allow", pack=self._guard.title)

    @property
    def digest(self) -> str:
        """Of the rules in force; approvals are bound to it."""
        return self._guard.digest

    def labels(self, name: str, own: frozenset[str]) -> frozenset[str]:
        """The labels of a tool or function: its own, and those that the rule packs give it."""
        return own | self._guard.labels(name)

    def wants(self, hook: Hook, name: str, labels: frozenset[str] = frozenset()) -> bool:
        """Whether anybody looks at such events; `labels`: what the effect carries itself."""
        return self._guard.wants(hook, name, labels)

    def judge(
        self, hook: Hook, name: str, *, labels: frozenset[str] = frozenset(), args: Mapping[str, Any], **more: Any
    ) -> Generator[Step, Any, Decision]:
        """Ask about an event; where nobody `wants` it, it is `allowed` and need not be asked about.

        Args:
            labels: what the effect carries itself.
            more: further fields of the event.
        """
        run = self._run
        event = Event(
            hook=hook,
            name=name,
            agent=run.agent,
            deployment=run.deployment,
            run_id=run.run_id,
            thread_id=run.thread_id,
            labels=self.labels(name, labels),
            args=cast("Mapping[str, Any]", canonical.json_value(dict(args))),
            history=LazyHistory(lambda: self._office.cases.of(run.case_id)),
            time=moment(self._office.clock.now()),
            **more,
        )
        return self._guard.evaluate(event)
        yield  # a course, also where it waits for nothing
