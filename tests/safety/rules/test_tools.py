"""What packs say about a tool: its arguments and results, and what several packs say together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.safety.rules.tools import UNKNOWN, Tool, trusted

NAMES = st.frozensets(st.sampled_from("abc"))
TOOLS = st.builds(
    Tool,
    labels=st.frozensets(st.sampled_from(["trusted", "untrusted", "reads"])),
    target=st.none() | NAMES,
    payload=st.none() | NAMES,
    fields=st.none() | NAMES,
    intent=NAMES,
)
ARGS = {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize(
    ("tool", "targets", "payloads"),
    [
        (UNKNOWN, "abc", "abc"),
        (Tool(target=frozenset("a")), "a", "bc"),
        (Tool(payload=frozenset("a")), "bc", "a"),
        (Tool(target=frozenset("a"), payload=frozenset("ab")), "a", "ab"),
        (Tool(target=frozenset()), "", "abc"),
        (Tool(target=frozenset(), payload=frozenset()), "", ""),
    ],
)
def test_an_argument_nobody_described_is_looked_at(tool: Tool, targets: str, payloads: str) -> None:
    assert (set(tool.targets(ARGS)), set(tool.payloads(ARGS))) == (set(targets), set(payloads))


@pytest.mark.parametrize(
    ("labels", "result"),
    [((), False), (("trusted",), True), (("untrusted",), False), (("trusted", "untrusted"), False)],
)
def test_results_are_trusted_where_that_is_said_and_not_denied(labels: tuple[str, ...], result: bool) -> None:
    assert trusted(frozenset(labels)) is result


@given(TOOLS, TOOLS)
def test_packs_describe_a_tool_together_in_any_order(one: Tool, other: Tool) -> None:
    assert one.join(other) == other.join(one)
    assert one.join(UNKNOWN) == one.join(one) == one


@given(TOOLS, TOOLS)
def test_what_another_pack_calls_a_target_is_one(one: Tool, other: Tool) -> None:
    both = one.join(other)

    assert other.target is None or set(both.targets(ARGS)) >= set(ARGS).intersection(other.target)
    assert both.fields is None or other.fields is None or both.fields <= other.fields
