"""Examples of a rule: events that it must match and events that it must let pass, run whenever a pack is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from gatewright.agents.errors import GatewrightError, LimitError

from . import events, expressions, sources
from .documents import Example, Examples
from .rules import Rule


def failures(
    rule: Rule, examples: Examples, labels: Mapping[str, frozenset[str]]
) -> Iterator[tuple[sources.Path, str]]:
    """Where and how examples contradict the rule.

    Args:
        labels: labels by tool name, as the pack gives them.
    """
    for at, example in enumerate(examples.match):
        if message := _contradiction(rule, example, labels, expected=True):
            yield ("match", at), message
    for at, example in enumerate(examples.passes):
        if message := _contradiction(rule, example, labels, expected=False):
            yield ("pass", at), message


def _contradiction(rule: Rule, example: Example, labels: Mapping[str, frozenset[str]], *, expected: bool) -> str | None:
    try:
        event = _event(rule, example, labels)
        carried = event.labels | labels.get(event.name, frozenset())
        if not rule.looks_at(event.hook, event.name, carried):
            if expected:
                shown = f"{event.name!r} with labels {sorted(carried)}"
                return f"the rule does not look at {shown}; mend `on:` or the example"
            return None
        matches = _tried(rule, event, carried)
    except ValueError as error:
        return f"the example cannot be read: {error}"
    except (GatewrightError, TypeError) as error:
        return f"the rule fails on this example: {error}"
    if matches == expected:
        return None
    return "the rule does not match this example" if expected else "the rule matches this example, it must not"


def _tried(rule: Rule, event: events.Event, labels: frozenset[str]) -> bool:
    """Whether the rule matches; tries its reason and its changes too, as far as they come to rest."""
    first: bool | None = None
    for _ in range(events.MAX_PASSES):
        bindings = expressions.bind(events.values(event, labels, rule.words), events.VARIABLES[event.hook])
        matches = rule.matches(bindings)
        first = matches if first is None else first
        if not matches:
            return first
        rule.reason.render(bindings)
        following = events.changed(event, rule.changes(bindings)) if rule.sets else None
        if following is None:
            return first
        event = following
    raise LimitError(
        f"its changes do not come to rest in {events.MAX_PASSES} passes; let `when` exclude what it has set"
    )


def _event(rule: Rule, example: Example, labels: Mapping[str, frozenset[str]]) -> events.Event:
    time = datetime.fromisoformat(example.time)
    return events.Event(
        hook=rule.hook,
        name=example.name or _name(rule, labels),
        agent=example.agent,
        deployment=example.deployment,
        run_id=example.run_id,
        thread_id=example.thread_id,
        # An example without a name stands for any effect with the labels the rule is about.
        labels=frozenset(example.labels) | (frozenset[str]() if example.name else rule.labels),
        args=example.args,
        result=example.result,
        error=example.error,
        text=example.text,
        history=[
            events.Past(
                kind=earlier.kind,
                name=earlier.name,
                args=earlier.args,
                result=earlier.result,
                ok=earlier.ok,
                verdict=earlier.verdict,
                time=time - timedelta(seconds=earlier.seconds_ago),
            )
            for earlier in example.history
        ],
        time=time,
    )


def _name(rule: Rule, labels: Mapping[str, frozenset[str]]) -> str:
    """The name an example stands for when it gives none: the first of the rule's, or of the tools it is about."""
    if rule.names:
        return min(rule.names)
    return next((name for name, carried in labels.items() if rule.labels and rule.labels <= carried), "")
