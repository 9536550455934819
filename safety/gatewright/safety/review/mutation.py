"""Mutation tests of rule packs: a condition is changed a little, and some example of the rule must notice.

A change that no example notices is a clause that nobody has tried: it could be missing or wrong, and the pack would
load all the same. The changes are the usual ones (DeMillo, Lipton and Sayward, "Hints on test data selection", 1978):
a clause dropped, a negation dropped, a comparison turned, a boundary moved.
"""

from __future__ import annotations

import dataclasses
import functools
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from gatewright.safety.rules import events, examples, expressions
from gatewright.safety.rules.documents import RuleText
from gatewright.safety.rules.expressions import ExpressionError
from gatewright.safety.rules.rule import Rule

from . import mutants
from .drafts import Draft
from .mutants import Change

Field = Literal["when", "unless"]

PART = 80  # characters of a part that messages show
_REMEDIES: dict[Change | Literal["whole"], str] = {
    "whole": "add an example that only this condition decides",
    "clause": "add an example that only this clause decides",
    "negation": "add an example that only this clause decides",
    "comparison": "add an example that only this comparison decides",
    "boundary": "add an example with exactly this limit",
}


@dataclass(frozen=True, kw_only=True)
class Survivor:
    """A change that no example notices. `place` is what was changed: `when`, `unless` or a definition, which belongs to
    no `rule`."""

    rule: str
    place: str
    line: int
    change: Change | Literal["whole"]
    part: str

    @property
    def remedy(self) -> str:
        """What to add."""
        return _REMEDIES[self.change]

    @property
    def message(self) -> str:
        """What was changed without any example noticing, and what to do about it."""
        what = {
            "whole": "without it",
            "clause": "without the clause",
            "negation": "without the negation in",
            "comparison": "with the opposite of",
            "boundary": "with another boundary in",
        }[self.change]
        part = "" if self.change == "whole" else f" `{textwrap.shorten(self.part, PART, placeholder=' ...')}`"
        return f"`{self.place}`: every example holds {what}{part} too; {self.remedy}"

    def __str__(self) -> str:
        return f"rule {self.rule!r}: {self.message}" if self.rule else self.message


@dataclass(frozen=True, kw_only=True)
class Mutations:
    """How many changes were tried, and those that no example noticed, in the order of the file."""

    tried: int
    survivors: tuple[Survivor, ...]

    @property
    def killed(self) -> float:
        """The share of the changes that some example noticed, from 0 to 1; 1 where there is nothing to change."""
        return 1.0 if not self.tried else 1 - len(self.survivors) / self.tried


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A change that can be tried on the examples. `attempt` gives the rules as they would be with it, compiled."""

    survivor: Survivor
    draft: Draft
    attempt: Callable[[], Sequence[tuple[Rule, RuleText]]]

    def noticed(self) -> bool | None:
        """Whether some example fails; None where the change does not compile."""
        changed = self.attempt()
        if not changed:
            return None
        tools = self.draft.pack.tools
        return any(next(examples.failures(rule, text.examples, tools), None) for rule, text in changed)


def trials(draft: Draft) -> list[Trial]:
    """Every change of every condition, and of the definitions that conditions use, in the order of the file."""
    found = [
        Trial(
            survivor=Survivor(
                rule="",
                place=f"definitions.{name}",
                line=draft.source.line(("definitions", name)) + mutant.line - 1,
                change=mutant.change,
                part=mutant.part,
            ),
            draft=draft,
            attempt=functools.partial(_redefined, draft, name, mutant.text),
        )
        for name, written in draft.document.definitions.items()
        for mutant in mutants.of(written)
    ]
    for number, (rule, text) in enumerate(draft.rules):
        for field, written in _conditions(text):
            line = draft.source.line(("rules", number, field))
            found.append(
                Trial(
                    survivor=Survivor(rule=rule.id, place=field, line=line, change="whole", part=""),
                    draft=draft,
                    attempt=functools.partial(_without, rule, text, field),
                )
            )
            found += [
                Trial(
                    survivor=Survivor(
                        rule=rule.id, place=field, line=line + mutant.line - 1, change=mutant.change, part=mutant.part
                    ),
                    draft=draft,
                    attempt=functools.partial(_changed, draft, rule, text, field, mutant.text),
                )
                for mutant in mutants.of(written)
            ]
    return found


def outcome(trials: Iterable[Trial]) -> Mutations:
    """Try them all; those that do not compile do not count."""
    tried = 0
    survivors: list[Survivor] = []
    for trial in trials:
        noticed = trial.noticed()
        tried += noticed is not None
        if noticed is False:
            survivors.append(trial.survivor)
    return Mutations(tried=tried, survivors=tuple(survivors))


Attempt = Sequence[tuple[Rule, RuleText]]
"""Rules as they would be with a change, with their text; none where that does not compile."""


def _conditions(text: RuleText) -> list[tuple[Field, str]]:
    found: list[tuple[Field, str | None]] = [("when", text.when), ("unless", text.unless)]
    return [(field, written) for field, written in found if written is not None]


def _without(rule: Rule, text: RuleText, field: Field) -> Attempt:
    return [(dataclasses.replace(rule, when=None) if field == "when" else dataclasses.replace(rule, unless=None), text)]


def _changed(draft: Draft, rule: Rule, text: RuleText, field: Field, written: str) -> Attempt:
    try:
        return [(_recompiled(rule, field, written, draft.document.definitions), text)]
    except ExpressionError:
        return []


def _redefined(draft: Draft, name: str, meaning: str) -> Attempt:
    """The rules whose conditions use a definition, with another meaning of it."""
    definitions = {**draft.document.definitions, name: meaning}
    using = {name}
    for other, written in definitions.items():  # each may use those before it
        if using & expressions.words(written):
            using.add(other)
    found: list[tuple[Rule, RuleText]] = []
    for rule, text in draft.rules:
        changed = rule
        for field, written in _conditions(text):
            if using & expressions.words(written):
                try:
                    changed = _recompiled(changed, field, written, definitions)
                except ExpressionError:
                    return []
        if changed is not rule:
            found.append((changed, text))
    return found


def _recompiled(rule: Rule, field: Field, text: str, definitions: expressions.Definitions) -> Rule:
    expression = expressions.compile(text, events.VARIABLES[rule.hook], definitions)
    if field == "when":
        return dataclasses.replace(rule, when=expression)
    return dataclasses.replace(rule, unless=expression)
