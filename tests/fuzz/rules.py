"""Fuzzing rule packs and their evaluation: `make fuzz`, or `python tests/fuzz/rules.py TARGET [libFuzzer options]`.

Needs `pip install atheris` (Linux and macOS). What it looks for:

- `load`: from any bytes, `Pack.parse` gives a pack or a `PackError`, and a pack that it gives can be evaluated.
- `judge`: under a rule that denies where a condition holds and one that denies where it does not, nothing is ever
  allowed, whatever the condition and the event: the law that a guard which fails open breaks.
- `mask`: nothing personal is found in what was masked, and masking ends.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, get_args

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Bytes:
    """Choices made by the bytes of an input; when they are used up, the smallest ones."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, limit: int) -> int:
        """From 0 to `limit` - 1, at most 255."""
        value = self._data[self._at] if self._at < len(self._data) else 0
        self._at += 1
        return value % limit

    def text(self, length: int) -> str:
        taken = self._data[self._at : self._at + length]
        self._at += length
        return taken.decode("utf-8", "surrogateescape" if length % 2 else "replace")


def value(choices: Bytes, depth: int = 0) -> Any:
    """A value of the kinds that agents and tools pass around, and of those that they should not."""
    kind = choices.number(16 if depth < 6 else 10)
    plain: list[Callable[[], Any]] = [
        lambda: None,
        lambda: True,
        lambda: choices.number(256),
        lambda: choices.number(256) / 7,
        lambda: choices.text(choices.number(32)),
        lambda: float(("nan", "inf", "-inf", "-0.0", "1e308")[choices.number(5)]),
        lambda: 2 ** choices.number(80) - choices.number(3),
        lambda: ("", "\0", "\ud800", "\u202e", "{", "[" * 500, '{"a": 1', "9" * 400)[choices.number(8)],
        lambda: choices.text(3).encode("utf-8", "replace"),
        lambda: object(),
    ]
    if kind < 10:
        return plain[kind]()
    if kind < 12:
        return [value(choices, depth + 1) for _ in range(choices.number(4))]
    if kind < 15:
        return {_key(choices): value(choices, depth + 1) for _ in range(choices.number(4))}
    odd: list[Any] = []
    if choices.number(2):
        odd.append(odd)  # contains itself
    else:
        for _ in range(choices.number(256)):
            odd = [odd]
    return odd


def _key(choices: Bytes) -> Any:
    return ("a", "amount", "to", "", "\0", "\ud800", 1, None)[choices.number(8)]


def event(choices: Bytes, hook: str) -> Any:
    """An event of that hook."""
    from gatewright.safety.rules.events import Event, Past

    def args() -> Mapping[str, Any]:
        found = value(choices)
        return found if isinstance(found, dict) else {"a": found}

    past = [
        Past(kind="tool", name=choices.text(4), args=args(), result=value(choices), time=NOW)
        for _ in range(choices.number(3))
    ]
    return Event(
        hook=hook,  # type: ignore[arg-type]  # one of them
        name=("pay", "", "\0")[choices.number(3)],
        args=args(),
        result=value(choices),
        text=choices.text(choices.number(64)),
        scores={} if choices.number(2) else {"g.a": choices.number(3) / 2},
        history=past,
        time=NOW,
    )


def load(data: bytes) -> None:
    """A pack or a complaint, and nothing else."""
    from gatewright.safety import Guard, Pack, PackError
    from gatewright.safety.verdicts import ORDER

    try:
        pack = Pack.parse(data.decode("utf-8", "surrogateescape"))
    except PackError:
        return
    guard = Guard([pack])
    for rule in pack.rules[:4]:
        assert guard.evaluate(event(Bytes(data), rule.hook)).verdict in ORDER


def judge(data: bytes) -> None:
    """Denied by a condition or by its opposite. The condition ends at a NUL byte; the event is made of what follows."""
    from gatewright.safety import Guard, Pack
    from gatewright.safety.rules import events, expressions, guard, templates
    from gatewright.safety.rules.rule import Rule

    condition, _, rest = data.decode("utf-8", "surrogateescape").partition("\0")
    choices = Bytes(rest.encode("utf-8", "surrogateescape"))
    hooks = get_args(events.Hook)
    hook = hooks[choices.number(len(hooks))]
    shown = event(choices, hook)
    variables = events.VARIABLES[hook]
    try:
        conditions = [expressions.compile(text, variables) for text in (condition, f"!({condition}\n)")]
    except expressions.ExpressionError:
        return
    rules = tuple(
        Rule(id=str(at), hook=hook, verdict="deny", reason=templates.compile("no", variables), when=each)
        for at, each in enumerate(conditions * 2)  # enough of them to be asked together
    )
    pack = Pack(name="p", version="1", digest="0" * 64, rules=rules)
    one_by_one, together = Guard([pack]), Guard([pack])
    for _ in range(guard.WARM):
        together.evaluate(shown)
    for decision in (one_by_one.evaluate(shown), together.evaluate(shown)):
        assert decision.verdict == "deny", (condition, shown, decision)


def mask(data: bytes) -> None:
    """Masked once, nothing is left."""
    from gatewright.safety.privacy import redaction

    text = data.decode("utf-8", "replace")
    masked = redaction.masked(text)
    assert redaction.find(masked) == [], (text, masked)


TARGETS: Mapping[str, Callable[[bytes], None]] = {"load": load, "judge": judge, "mask": mask}


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"say what to fuzz: {', '.join(TARGETS)}; libFuzzer's options follow, -max_total_time=600 for example")
    atheris: Any = import_module("atheris")
    target = TARGETS[sys.argv.pop(1)]
    with atheris.instrument_imports(include=["gatewright.safety"]):
        for module in ("rules.checking", "rules.guard", "privacy.redaction"):
            import_module(f"gatewright.safety.{module}")
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
