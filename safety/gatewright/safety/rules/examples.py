"""Examples of a rule: events that it must match and events that it must let pass, run whenever a pack is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from gatewright.agents.errors import GatewrightError, LimitError

from . import events, facts, sources
from .documents import Example, Examples
from .provenance import Index
from .rule import Rule
from .tools import UNKNOWN, Tool


def failures(rule: Rule, examples: Examples, described: Mapping[str, Tool]) -> Iterator[tuple[sources.Path, str]]:
    """Where and how examples contradict the rule.

    Args:
        described: tools by name, as the pack has them.
    """
    for at, example in enumerate(examples.match):
        if message := _contradiction(rule, example, described, expected=True):
            yield ("match", at), message
    for at, example in enumerate(examples.passes):
        if message := _contradiction(rule, example, described, expected=False):
            yield ("pass", at), message


def _contradiction(rule: Rule, example: Example, described: Mapping[str, Tool], *, expected: bool) -> str | None:
    try:
        tried = event(rule, example, described)
        carried = tried.labels | described.get(tried.name, UNKNOWN).labels
        if not rule.looks_at(tried.hook, tried.name, carried):
            if expected:
                what = f"{tried.name!r} with labels {sorted(carried)}"
                return f"the rule does not look at {what}; mend `on:` or the example"
            return None
        matches = _tried(rule, tried, carried, described)
    except ValueError as error:
        return f"the example cannot be read: {error}"
    except (GatewrightError, TypeError) as error:
        return f"the rule fails on this example: {error}"
    if matches == expected:
        return None
    return "the rule does not match this example" if expected else "the rule matches this example, it must not"


def _tried(rule: Rule, event: events.Event, labels: frozenset[str], described: Mapping[str, Tool]) -> bool:
    """Whether the rule matches; tries its reason and its changes too, as far as they come to rest."""

    def index() -> Index:
        made = Index(described, facts.needs(rule.mentions), "")
        for past in event.history:
            made.add(past)
        return made

    first: bool | None = None
    for _ in range(events.MAX_PASSES):
        bindings = facts.bind(event, described, labels, rule.words, rule.mentions, index)
        matches = rule.matches(bindings)
        first = matches if first is None else first
        if not matches:
            return first
        rule.reason.render(bindings)
        rule.closings(event.args.get("options", ()))
        following = events.changed(event, rule.changes(bindings)) if rule.sets else None
        if following is None:
            return first
        event = following
    raise LimitError(
        f"its changes do not come to rest in {events.MAX_PASSES} passes; let `when` exclude what it has set"
    )


def event(rule: Rule, example: Example, described: Mapping[str, Tool], *, beside: Sequence[Rule] = ()) -> events.Event:
    """The event that an example of a rule stands for; a decision has at least the options that are closed.

    Args:
        beside: other rules that are asked about it.

    Raises:
        ValueError: its time is none.
    """
    # An example without a name stands for any effect with the labels the rule is about.
    found = shown(
        example,
        rule.hook,
        name=example.name or _name(rule, described),
        labels=frozenset(example.labels) | (frozenset[str]() if example.name else rule.labels),
    )
    asked = [each for each in (rule, *beside) if each.looks_at(found.hook, found.name, found.labels)]
    options = sorted({option for each in asked for option in each.closes})
    if options and "options" not in found.args:
        return replace(found, args={**found.args, "options": options})
    return found


def shown(example: Example, hook: events.Hook, *, name: str, labels: frozenset[str]) -> events.Event:
    """An event with the content of an example.

    Raises:
        ValueError: its time is none.
    """
    time = datetime.fromisoformat(example.time)
    return events.Event(
        hook=hook,
        name=name,
        agent=example.agent,
        deployment=example.deployment,
        run_id=example.run_id,
        thread_id=example.thread_id,
        labels=labels,
        args=example.args,
        result=example.result,
        error=example.error,
        text=example.text,
        sender=example.sender,
        scores=example.scores,
        history=[
            events.Past(
                kind=earlier.kind,
                name=earlier.name,
                args=earlier.args,
                result=earlier.result,
                ok=earlier.ok,
                verdict=earlier.verdict,
                labels=frozenset(earlier.labels),
                time=time - timedelta(seconds=earlier.seconds_ago),
            )
            for earlier in example.history
        ],
        time=time,
    )


def _name(rule: Rule, described: Mapping[str, Tool]) -> str:
    """The name an example stands for when it gives none: the first of the rule's, or of the tools it is about."""
    if rule.names:
        return min(rule.names)
    return next((name for name, tool in described.items() if rule.labels and rule.labels <= tool.labels), "")
