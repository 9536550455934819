"""Asking the rules: what an execution shows of itself, and what they say about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple, cast

from gatewright.safety import canonical, scorers
from gatewright.safety.ledger import records
from gatewright.safety.rules.events import Event, Hook
from gatewright.safety.rules.guard import Guard
from gatewright.safety.rules.provenance import Index
from gatewright.safety.verdicts import Decision

from .clock import moment
from .courses import Step
from .deployments import LoadedDeployment
from .history import LazyHistory
from .recording import Execution, Office


class Ruling(NamedTuple):
    """What the rules decided, and how that is recorded."""

    decision: Decision
    judgement: records.Judgement


class Judge:
    """Puts the events of one execution before the rules of its deployment."""

    def __init__(self, execution: Execution, office: Office, deployment: LoadedDeployment) -> None:
        self._run = execution
        self._office = office
        self.owner = deployment.owner
        self._guard = deployment.guard
        self._shadow = deployment.shadow
        self._scoring = deployment.scoring
        self._begun: dict[str, Index] = {}
        self._caught_up = False
        self._alone = not deployment.colleagues  # else others may work on the case at the same time
        self.meters = deployment.meters
        allowed = Decision(verdict="allow", pack=self._guard.title)
        self.allowed = Ruling(allowed, recorded(allowed))

    @property
    def digest(self) -> str:
        """Of the rules in force; approvals are bound to it."""
        return self._guard.digest

    def labels(self, name: str, own: frozenset[str]) -> frozenset[str]:
        """The labels of a tool or function: its own, and those that the rule packs give it."""
        return own | self._guard.labels(name)

    def wants(self, hook: Hook, name: str, labels: frozenset[str] = frozenset()) -> bool:
        """Whether anybody looks at such events; `labels`: what the effect carries itself."""
        shadow = self._shadow
        return (
            self._guard.wants(hook, name, labels)
            or (shadow is not None and shadow.wants(hook, name, labels))
            or (self._scoring is not None and self._scoring.wants(hook, name))
        )

    def judge(
        self,
        hook: Hook,
        name: str,
        *,
        labels: frozenset[str] = frozenset(),
        args: Mapping[str, Any],
        key: str | None = None,
        **more: Any,
    ) -> Generator[Step, Any, Ruling]:
        """Ask about an event; where nobody `wants` it, it is `allowed` and need not be asked about.

        Args:
            labels: what the effect carries itself.
            key: of the effect, where it may be performed next; it counts as under way until it is `over`.
            more: further fields of the event.

        Raises:
            UnavailableError: a rule needs what cannot be read now: nothing is decided, and nothing performed.
        """
        run = self._run
        scored = scorers.NOTHING
        if not (self._caught_up and self._alone) and (news := self._office.cases.catch_up(run.case_id)) is not None:
            yield news
        self._caught_up = True
        history = LazyHistory(lambda: self._office.cases.of(run.case_id))
        event = Event(
            hook=hook,
            name=name,
            agent=run.agent,
            deployment=run.deployment,
            run_id=run.run_id,
            thread_id=run.thread_id,
            labels=labels,
            args=cast("Mapping[str, Any]", canonical.json_value(dict(args))),
            history=history,
            index=self._index(self._guard),
            time=moment(self._office.clock.now()),
            **more,
        )
        if self._scoring is not None and self._scoring.wants(hook, name):
            scored = yield self._scoring.submit(event)
            event = dataclasses.replace(event, scores=scored.scores)
        decision = self._decision(event, key)
        if history.unavailable is not None:  # the guard has denied for it; but it is no verdict on the event
            if key is not None:
                self.over(key)
            raise history.unavailable
        return self._ruling(event, scored.joined(decision))

    def over(self, key: str) -> None:
        """An effect that was judged is not under way any more."""
        index = self._begun.pop(key, None)
        if index is not None:
            index.over(key)

    def _decision(self, event: Event, key: str | None) -> Decision:
        waivers = self._office.controls.waivers(self._run.deployment)
        if key is None or event.index is None:
            return self._guard.evaluate(event, waivers)
        with event.index.turn:
            event.index.over(key)  # it may be judged again, with other arguments
            decision = self._guard.evaluate(event, waivers)
            event.index.begin(key, event.name, event.args if decision.args is None else decision.args)
        self._begun[key] = event.index
        return decision

    def _ruling(self, event: Event, decision: Decision) -> Ruling:
        judgement = recorded(decision, event.scores)
        if self._shadow is not None and self._shadow.wants(event.hook, event.name, event.labels):
            shown = dataclasses.replace(event, index=self._index(self._shadow))
            judgement = dataclasses.replace(judgement, shadow=recorded(self._shadow.evaluate(shown)))
        return Ruling(decision, judgement)

    def _index(self, guard: Guard) -> Index | None:
        return self._office.cases.index(self._run.case_id, guard) if guard.remembers else None


def recorded(decision: Decision, scores: Mapping[str, float] | None = None) -> records.Judgement:
    """What the rules said, as records hold it; what was wrong with a rule counts as a denial by it.

    Args:
        scores: of external guards.
    """
    hits = [
        records.RuleOutcome(id=hit.rule_id, verdict=hit.verdict, reason=hit.reason, mode=hit.mode, waived=hit.waived)
        for hit in decision.hits
    ]
    hits += [
        records.RuleOutcome(
            id=finding.rule_id, verdict="deny", reason=f"{finding.kind}: {finding.message}", mode=finding.mode
        )
        for finding in decision.findings
        if finding.kind != "reason"
    ]
    return records.Judgement(verdict=decision.verdict, pack=decision.pack, rules=tuple(hits), scores=scores or {})
