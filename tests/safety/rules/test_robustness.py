"""What is made to hang, to exhaust or to mislead: refused when it is loaded, or denied; never allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.safety import Event, Guard, Pack, PackError
from gatewright.safety.rules import events, expressions, templates
from gatewright.safety.rules.events import Past
from gatewright.safety.rules.expressions import ExpressionError
from gatewright.safety.rules.rule import Rule
from gatewright.safety.rules.sources import MAX_BYTES
from gatewright.safety.verdicts import Decision

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEAD = "apiVersion: gatewright/v1\nkind: RulePack\nname: probe\nversion: 1\n"
FIFTY = "[" + ", ".join(map(str, range(50))) + "]"


def _pack(when: str, match: Any = None, passes: Any = None) -> str:
    rule = {
        "id": "probe",
        "on": {"hook": "tool.before"},
        "when": when,
        "then": "deny",
        "reason": "no",
        "examples": {"match": [match or {"args": {"a": "x"}}], "pass": [passes or {"args": {"a": ""}}]},
    }
    return f"{HEAD}rules: {json.dumps([rule])}\n"


def _complementary(condition: str) -> Guard:
    """Denies where a condition holds and where it does not, so that only failing open lets anything pass."""
    variables = events.VARIABLES["tool.before"]
    rules = tuple(
        Rule(
            id=str(at),
            hook="tool.before",
            verdict="deny",
            reason=templates.compile("no", variables),
            when=expressions.compile(text, variables),
        )
        for at, text in enumerate((condition, f"!({condition})"))
    )
    return Guard([Pack(name="probe", version="1", digest="0" * 64, rules=rules)])


def _judged(condition: str, **fields: Any) -> Decision:
    given: dict[str, Any] = {"args": {"a": "x"}} | fields
    return _complementary(condition).evaluate(Event(hook="tool.before", name="pay", time=NOW, **given))


# Conditions that are refused when the pack is loaded


@pytest.mark.parametrize(
    ("when", "complaint"),
    [
        ("args.a >", "Syntax error"),
        ("agrs.a == 1", "unknown name 'agrs.a'"),
        ("args.a.nosuch()", "nosuch"),
        ("tool.name == 3", "overload"),
        ("'text'", "gives string, a rule needs bool"),
        ("args.a == 9223372036854775808", "."),
        ("(" * 5000 + "true" + ")" * 5000, "the limit is 4000"),
        ("(" * 1500 + "true" + ")" * 1500, "."),
        (" || ".join(f"args.a == 'value-{at}'" for at in range(5_000)), "the limit is 4000"),
        (" || ".join(f"args.a == 'value-{at}'" for at in range(20_000)), "larger than"),
        ("!" * 3000 + "true", "."),
        ("[" * 1000 + "]" * 1000 + " == []", "."),
        ("args.a.matches('(')", "."),
    ],
    ids=lambda text: text[:24],
)
def test_a_condition_that_cannot_be_judged_is_refused_when_it_is_loaded(when: str, complaint: str) -> None:
    with pytest.raises(PackError, match=complaint):
        Pack.parse(_pack(when))


@pytest.mark.parametrize(
    "condition",
    [
        f"{FIFTY}.all(a, {FIFTY}.all(b, {FIFTY}.all(c, {FIFTY}.all(d, a + b + c + d >= 0))))",
        f"size({FIFTY}.map(a, {FIFTY}.map(b, {FIFTY}.map(c, 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' + string(c))))) > 0",
        "args.n + 1 > 0",
        "args.n * args.n > 0",
        "args.n - -1 > 0",
        "1 / args.zero > 0",
        "args.zero % args.zero == 0",
        "args.missing == 1",
        "args.a.missing == 1",
        "args.a > 9",
        "int(args.a) > 0",
        "args.a.matches(args.pattern)",
        "history[0].name == 'x'",
        "timestamp(args.a) < time",
        "targets.all(t, t.nothing)",
        "args.a.substring(-1, 100) == ''",
    ],
)
def test_a_condition_that_has_no_value_denies_with_a_finding(condition: str) -> None:
    args = {"a": "x", "n": 2**63 - 1, "zero": 0, "pattern": "("}
    decision = _judged(condition, args=args)
    assert decision.verdict == "deny"
    assert decision.hits == ()
    assert {finding.kind for finding in decision.findings} <= {"error", "limit"} and decision.findings


def test_a_pattern_that_makes_others_hang_is_matched() -> None:
    decision = _judged("args.a.matches('^(a+)+$')", args={"a": "a" * 100_000 + "!"})
    assert (decision.verdict, [hit.rule_id for hit in decision.hits], decision.findings) == ("deny", ["1"], ())


# Events


def _deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


def _doubled(levels: int) -> Any:
    """Few objects, and 2 to the power of `levels` places at which they are found."""
    value: Any = "x"
    for _ in range(levels):
        value = [value, value]
    return value


def _cyclic() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        "x" * 5_000_000,
        ["x"] * 2_000_000,
        {str(at): at for at in range(300_000)},
        _deep(129),
        _deep(100_000),
        _doubled(100),
        [0] * (events.MAX_VALUES + 1),
        _cyclic(),
        {"self": _cyclic()},
        "[" * 100_000,
        float("nan"),
        float("inf"),
        2**64,
        10**400,
        "\ud800",
        "\0",
        {"\ud800": 1},
        {1: 2},
        (1, 2),
        b"bytes",
        {1, 2},
        object(),
        lambda: None,
    ],
    ids=lambda value: f"{type(value).__name__}",
)
@pytest.mark.parametrize("condition", ["args.a == 'no'", "args.a == args.a", "size(args) > 3", "name == 'other'"])
def test_no_value_in_an_event_gets_past_a_condition_and_its_opposite(condition: str, value: Any) -> None:
    assert _judged(condition, args={"a": value}).verdict == "deny"
    assert _judged(condition.replace("args", "history[0].args"), history=[_past({"a": value})]).verdict == "deny"


def _past(args: Mapping[str, Any]) -> Past:
    return Past(kind="tool", name="x", args=args, time=NOW)


# Files


def _bomb(levels: int) -> str:
    """Nine times nine times nine ... of the same, by aliases."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for at in range(levels):
        lines.append(f"a{at + 1}: &a{at + 1} [{', '.join([f'*a{at}'] * 9)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (_bomb(9), "aliases"),
        ("name: &a x\nversion: *a\n", "."),
        ("<<: {name: x}\n", "."),
        ("name: !!python/object/apply:os.system [true]\n", "tag"),
        ("name: !!binary aGVsbG8=\n", "tag"),
        (HEAD + "name: other\n", "given twice"),
        (HEAD + "rules: [" + "[" * 5000 + "]" * 5000 + "]", "nested more than 128"),
        (HEAD + "rules: " + "{a: " * 3000 + "1" + "}" * 3000, "nested more than 128"),
        (HEAD + "rules:\n" + "- " * 5000 + "x\n", "nested more than 128"),
        ("x" * (MAX_BYTES + 1), "larger than"),
        ("", "."),
        ("\0", "."),
        ("\ud800", "."),
        ("- a\n", "."),
        ("1: 2\n", "."),
        ("? [a, b]\n: c\n", "."),
        (HEAD + "rules: {}\n", "."),
        (HEAD.replace("version: 1", "version: " + "9" * 5000), "."),
        (HEAD + "unknown: 1\n", "unknown field"),
        ("---\na: 1\n---\nb: 2\n", "."),
    ],
    ids=lambda text: text[:16],
)
def test_a_file_that_is_no_rule_pack_is_refused_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(PackError, match=complaint) as caught:
        Pack.parse(text, file="rules.yaml")
    assert all(problem.file == "rules.yaml" and problem.line >= 1 for problem in caught.value.problems)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_pack_or_a_complaint(data: bytes) -> None:
    try:
        Pack.parse(data.decode("utf-8", "replace"))
    except PackError:
        return
    raise AssertionError("chance does not write rule packs")


_WORDS = st.sampled_from(
    "args history name agent labels time text result size has exists all filter map matches a x 1 0 1.5 'x' true null"
    " == != < > && || ! + - / % . , ( ) [ ] { } : ? in".split()
)


@given(st.lists(_WORDS, max_size=14).map(" ".join), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "x", "size"]), inner),
    max_leaves=6,
))  # fmt: skip
def test_whatever_the_condition_and_the_event_one_of_both_denies(condition: str, value: Any) -> None:
    try:
        guard = _complementary(condition)
    except ExpressionError:
        return
    event = Event(hook="tool.before", name="x", args={"a": value, "x": value}, history=[_past({"a": value})], time=NOW)
    assert guard.evaluate(event).verdict == "deny"
