"""Why rules say what they say of an event: each rule that looks at it, and the clauses that were decisive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gatewright.agents.errors import GatewrightError
from gatewright.safety.rules import events, expressions, facts
from gatewright.safety.rules.events import Event
from gatewright.safety.rules.expressions import Bindings, EvaluationError
from gatewright.safety.rules.provenance import Index
from gatewright.safety.rules.rule import Rule
from gatewright.safety.verdicts import Decision, Mode, Verdict

from . import clauses
from .clauses import Clause
from .drafts import Draft


@dataclass(frozen=True, kw_only=True)
class Part:
    """A clause with its truth, None where it has none for this event (`error` says why). `decisive`: it makes the
    condition come out as it does. `depth` counts from 0."""

    text: str
    value: bool | None
    error: str = ""
    decisive: bool
    depth: int


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """What one rule makes of the event. `matched` is None where it has no value, which denies. `when` and `unless` are
    their clauses, outermost first."""

    rule: str
    verdict: Verdict
    mode: Mode
    matched: bool | None
    when: tuple[Part, ...]
    unless: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A decision, and how it came about. `facts` are the variables about provenance that the event's hook offers:
    `targets`, `payload.links`, `tainted`."""

    decision: Decision
    labels: tuple[str, ...]
    rules: tuple[Opinion, ...]
    facts: Mapping[str, Any]


def explain(draft: Draft, event: Event) -> Explanation:
    """Why a pack says what it says of an event."""
    labels = event.labels | draft.guard.labels(event.name)
    looking = [rule for rule in draft.pack.rules if rule.looks_at(event.hook, event.name, labels)]
    return Explanation(
        decision=draft.guard.evaluate(event),
        labels=tuple(sorted(labels)),
        rules=tuple(_opinion(draft, rule, event, labels) for rule in looking),
        facts=_facts(draft, event),
    )


def _opinion(draft: Draft, rule: Rule, event: Event, labels: frozenset[str]) -> Opinion:
    matched: bool | None = None
    bindings: Bindings | None = None
    failure = ""
    try:
        bindings = facts.bind(
            event, draft.pack.tools, labels, rule.words, rule.mentions, lambda: _index(draft, event, rule)
        )
        matched = rule.matches(bindings)
    except GatewrightError as error:
        failure = str(error)
    definitions = draft.document.definitions
    shown: list[tuple[Part, ...]] = []
    for condition in (rule.when, rule.unless):
        if condition is None:
            shown.append(())
        elif bindings is None:
            shown.append((Part(text=condition.text, value=None, error=failure, decisive=True, depth=0),))
        else:
            shown.append(tuple(_parts(clauses.parsed(condition.text, definitions), rule, bindings, draft)))
    return Opinion(rule=rule.id, verdict=rule.verdict, mode=rule.mode, matched=matched, when=shown[0], unless=shown[1])


def _parts(clause: Clause, rule: Rule, bindings: Bindings, draft: Draft) -> Iterator[Part]:
    values: dict[int, tuple[bool | None, str]] = {}

    def evaluate(clause: Clause) -> None:
        try:
            expression = expressions.compile(clause.text, events.VARIABLES[rule.hook], draft.document.definitions)
            values[id(clause)] = (expression.evaluate(bindings), "")
        except (EvaluationError, expressions.ExpressionError) as error:
            values[id(clause)] = (None, str(error))
        for part in clause.parts:
            evaluate(part)

    def walk(clause: Clause, depth: int, decisive: bool) -> Iterator[Part]:
        value, error = values[id(clause)]
        yield Part(text=clause.text, value=value, error=error, decisive=decisive, depth=depth)
        for part in clause.parts:
            yield from walk(part, depth + 1, decisive and _decides(clause, value, values[id(part)][0]))

    evaluate(clause)
    yield from walk(clause, 0, True)


def _decides(clause: Clause, value: bool | None, part: bool | None) -> bool:
    """Whether a part is one that makes the whole what it is."""
    if clause.operator == "&&":
        return part == value if value is not True else True
    if clause.operator == "||":
        return part == value if value is not False else True
    return True


def _index(draft: Draft, event: Event, rule: Rule) -> Index:
    index = Index(draft.pack.tools, facts.needs(rule.mentions), "")
    for past in event.history:
        index.add(past)
    return index


def _facts(draft: Draft, event: Event) -> dict[str, Any]:
    """What is known of where the event's values come from."""
    index = Index(draft.pack.tools, facts.needs(frozenset({"targets"})), "")
    for past in event.history:
        index.add(past)
    known = facts.Facts(event, draft.pack.tools, index)
    offered = events.VARIABLES[event.hook]
    found: dict[str, Any] = {"tainted": known.tainted}
    if "targets" in offered:
        found["targets"] = known.targets(event.args)
    if "payload.links" in offered:
        found["payload.links"] = known.links(event.args)
    return found
