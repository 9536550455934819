"""A rule as it is evaluated, compiled from its text in a rule pack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gatewright.safety.approvals.terms import ApprovalTerms
from gatewright.safety.verdicts import Change, Mode, Path, Verdict

from .events import Hook
from .expressions import Bindings, EvaluationError, Expression
from .templates import Template


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When something at a hook matches, a verdict.

    It looks at effects named in `names` (None: any) that carry all `labels`. It matches where `when` holds (None:
    always) and `unless` does not. `unlabelled` limits it to names without any label. `closes`: options of the decision
    point that may not be chosen.
    """

    id: str
    hook: Hook
    verdict: Verdict
    reason: Template
    names: frozenset[str] | None = None
    labels: frozenset[str] = frozenset()
    unlabelled: bool = False
    when: Expression | None = None
    unless: Expression | None = None
    sets: Mapping[Path, Any] = field(default_factory=dict)
    closes: tuple[str, ...] = ()
    mode: Mode = "enforce"
    terms: ApprovalTerms | None = None

    def looks_at(self, hook: Hook, name: str, labels: frozenset[str]) -> bool:
        """Whether the rule's conditions need to be evaluated for this."""
        return (
            self.hook == hook
            and (self.names is None or name in self.names)
            and self.labels <= labels
            and not (self.unlabelled and labels)
        )

    def matches(self, bindings: Bindings, *, holds: bool | None = None) -> bool:
        """Whether the conditions hold, for an event that the rule looks at.

        Args:
            holds: what `when` gives, where that is known.

        Raises:
            EvaluationError: a condition has no value for this event.
        """
        if holds is None:
            holds = self.when is None or self.when.evaluate(bindings)
        return holds and (self.unless is None or not self.unless.evaluate(bindings))

    def changes(self, bindings: Bindings) -> list[Change]:
        """What the rule wants changed, computed from the event as it is.

        Raises:
            EvaluationError: a value cannot be computed for this event.
        """
        return [
            Change(
                rule_id=self.id,
                path=path,
                value=value.value(bindings) if isinstance(value, Template) else value,
            )
            for path, value in self.sets.items()
        ]

    def closings(self, options: Sequence[str]) -> tuple[str, ...]:
        """What it closes of the options of a decision point.

        Raises:
            EvaluationError: one of them is none.
        """
        for option in self.closes:
            if option not in options:
                raise EvaluationError(f"there is no option {option!r} to close; there are {list(options)}")
        return self.closes

    @cached_property
    def expressions(self) -> tuple[Expression, ...]:
        """Its conditions, and what is filled into its texts."""
        found = [expression for expression in (self.when, self.unless) if expression is not None]
        for template in (self.reason, *self.sets.values()):
            if isinstance(template, Template):
                found += template.expressions
        return tuple(found)

    @cached_property
    def words(self) -> frozenset[str]:
        """The identifiers in all of its expressions, and the variable that it changes."""
        return frozenset(path[0] for path in self.sets).union(*(expression.words for expression in self.expressions))

    @cached_property
    def mentions(self) -> frozenset[str]:
        """The variables and functions in all of its expressions, see `Expression.mentions`."""
        return frozenset[str]().union(*(expression.mentions for expression in self.expressions))
