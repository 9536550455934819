"""Probes: what is made to hang a rule engine, to exhaust it or to mislead it, and how soon ours refuses.

Every probe is refused when the rule pack is loaded, or denied when the event is judged; one that is let through ends
the benchmark. Beside each stands the same door with something harmless: a small pack, or a small event.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from gatewright.safety import Event, Guard, Pack, PackError
from gatewright.safety.rules import events, expressions, templates
from gatewright.safety.rules.rule import Rule

from .figures import Bar, Figure, Turn, compare, say, take_turns
from .program import Setting, main

BAR = Bar(value=100, sense="at most", of="ours")  # milliseconds

_HOOK: events.Hook = "tool.before"
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_HEAD = "apiVersion: gatewright/v1\nkind: RulePack\nname: probe\nversion: 1\n"
_FIFTY = "[" + ", ".join(map(str, range(50))) + "]"
_HARMLESS = "args.a == 'x'"


class Probe(NamedTuple):
    """`refused` tries it once and tells whether it was stopped."""

    name: str
    refused: Callable[[], bool]


def _loaded(name: str, text: str) -> Probe:
    """A file, which must not become a pack."""

    def refused() -> bool:
        try:
            Pack.parse(text)
        except PackError:
            return True
        return False

    return Probe(name, refused)


def _condition(name: str, when: str) -> Probe:
    """A condition, whose pack must not load."""
    return _loaded(name, _pack(when))


def _pack(when: str) -> str:
    rule = {
        "id": "probe",
        "on": {"hook": _HOOK},
        "when": when,
        "then": "deny",
        "reason": "no",
        "examples": {"match": [{"args": {"a": "x"}}], "pass": [{"args": {"a": ""}}]},
    }
    return f"{_HEAD}rules: {json.dumps([rule])}\n"


def _judged(name: str, condition: str, value: Any = "x") -> Probe:
    """An event, which a condition and its opposite both deny: only one that fails open lets it pass."""
    variables = events.VARIABLES[_HOOK]
    rules = tuple(
        Rule(
            id=str(at),
            hook=_HOOK,
            verdict="deny",
            reason=templates.compile("no", variables),
            when=expressions.compile(text, variables),
        )
        for at, text in enumerate((condition, f"!({condition})"))
    )
    guard = Guard([Pack(name="probe", version="1", digest="0" * 64, rules=rules)])
    event = Event(hook=_HOOK, name="pay", args={"a": value, "n": 2**63 - 1}, time=_NOW)
    return Probe(name, lambda: guard.evaluate(event).verdict == "deny")


def _deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


def _aliases() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{at + 1}: &a{at + 1} [{', '.join([f'*a{at}'] * 9)}]" for at in range(9)]
    return "\n".join(lines)


def _loading() -> list[Probe]:
    return [
        _condition("syntax_error", "args.a >"),
        _condition("unknown_variable", "agrs.a == 1"),
        _condition("integer_too_large", "args.a == 9223372036854775808"),
        _condition("parentheses_5000", "(" * 5000 + "true" + ")" * 5000),
        _condition("parentheses_1500", "(" * 1500 + "true" + ")" * 1500),
        _condition("or_of_20000", " || ".join(f"args.a == 'value-{at}'" for at in range(20_000))),
        _condition("or_of_5000", " || ".join(f"args.a == 'value-{at}'" for at in range(5_000))),
        _loaded("yaml_brackets_5000", _HEAD + "rules: " + "[" * 5000 + "]" * 5000),
        _loaded("yaml_dashes_5000", _HEAD + "rules:\n" + "- " * 5000 + "x\n"),
        _loaded("yaml_aliases", _aliases()),
    ]


def _judging() -> list[Probe]:
    four = f"{_FIFTY}.all(a, {_FIFTY}.all(b, {_FIFTY}.all(c, {_FIFTY}.all(d, a + b + c + d >= 0))))"
    memory = f"size({_FIFTY}.map(a, {_FIFTY}.map(b, {_FIFTY}.map(c, '{'x' * 32}' + string(c))))) > 0"
    return [
        _judged("missing_key", "args.missing == 1"),
        _judged("missing_or_true", "args.missing == 1 || args.a == 'x'"),
        _judged("number_above_text", "args.a > 9"),
        _judged("integer_overflow", "args.n + 1 > 0"),
        _judged("backtracking_pattern", "args.a.matches('^(a+)+$')", "a" * 100_000 + "!"),
        _judged("nested_loops_50_4", four),
        _judged("memory", memory),
        _judged("event_text_5MB", _HARMLESS, "x" * 5_000_000),
        _judged("event_texts_2000000", _HARMLESS, ["x"] * 2_000_000),
        _judged("event_numbers_4MiB", _HARMLESS, [1] * 1_390_000),
        _judged("event_numbers_250000", _HARMLESS, [1] * 250_000),
        _judged("event_nested_100000", _HARMLESS, _deep(100_000)),
    ]


def _timed(attempt: Callable[[], bool], expected: bool, times: int) -> Turn:
    """Milliseconds of CPU time for one attempt."""

    async def turn() -> float:
        began = time.thread_time()
        outcomes = {attempt() for _ in range(times)}
        spent = time.thread_time() - began
        assert outcomes == {expected}, attempt
        return spent * 1000 / times

    return turn


async def _figures(probes: Sequence[Probe], harmless: Probe, *, let: bool, setting: Setting) -> list[Figure]:
    beside = _timed(harmless.refused, not let, setting.size(20, 2))
    found: list[Figure] = []
    for probe in probes:
        say(f"probes: {probe.name}")
        pairs = await take_turns(_timed(probe.refused, True, 1), beside, setting.size(11, 2))
        found.append(compare(probe.name, "ms", pairs, BAR))
    return found


async def measure(setting: Setting) -> Sequence[Figure]:
    """Files that are loaded, then events that are judged."""
    return [
        *await _figures(_loading(), _condition("harmless", _HARMLESS), let=True, setting=setting),
        *await _figures(_judging(), _judged("harmless", _HARMLESS), let=False, setting=setting),
    ]


if __name__ == "__main__":
    main(measure, __doc__)
