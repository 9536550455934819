"""Plain LangGraph and LangChain in many styles: nothing happens without a verdict on record, and a rule stops it."""

from __future__ import annotations

import ast
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.runtime.conftest import House

TOOLS = """
    tool_sync tool_in_async_node tool_async structured_sync structured_async subclass_sync subclass_async own_run_sync
    own_run_async own_invoke_sync own_invoke_async remote_async tool_in_tool raw_thread executor to_thread gather batch
    branches fan_out sub_graph_node sub_graph_invoked functional
""".split()
CALLED = """
    tool_node tool_node_parallel tool_node_remote tool_node_injected tool_node_runtime tool_node_nested agent
    agent_parallel agent_injected
""".split()
MODELS = """
    model_invoke model_ainvoke model_stream model_astream model_batch model_bound model_structured model_sequence
    model_own_entries model_own_generate model_completion model_completion_stream model_completion_batch
""".split()

DENY_TOOLS = {"id": "no-tools", "on": {"hook": "tool.before"}, "then": "deny"}
DENY_MODELS = {"id": "no-models", "on": {"hook": "model.before"}, "then": "deny"}


def given(style: str) -> dict[str, Any]:
    return {"amount": 1} if style in TOOLS else {"messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize("style", TOOLS + CALLED + MODELS)
async def test_whatever_happens_has_an_allowing_verdict_on_record(house: House, style: str) -> None:
    house.rules({**DENY_TOOLS, "then": "allow"}, {**DENY_MODELS, "then": "allow"})

    async with house.open(f"styles:{style}") as service:
        run = await house.finish(service, given(style))
        records = await house.effects(service, run)

    assert run.status == "succeeded", run.error
    happened = Counter(name for name, _what in house.done)
    assert happened
    assert Counter(record["effect"]["name"] for record in records) == happened
    assert {(record["outcome"], record["guard"]["before"]["verdict"]) for record in records} == {("ok", "allow")}


@pytest.mark.parametrize("style", TOOLS)
async def test_a_rule_stops_each_tool_call_and_the_agent_gets_an_error(house: House, style: str) -> None:
    house.rules(DENY_TOOLS)

    async with house.open(f"styles:{style}") as service:
        run = await house.finish(service, given(style))
        records = await house.effects(service, run)

    assert house.done == []
    assert {(record["outcome"], record["guard"]["before"]["verdict"]) for record in records} == {("denied", "deny")}
    told = str(run.output) if style == "raw_thread" else f"{run.error and run.error.type}: {run.error}"
    assert "DeniedError" in told
    assert "because of no-tools" in told


@pytest.mark.parametrize("style", CALLED)
async def test_a_rule_stops_each_call_that_a_model_asked_for_and_the_model_is_told(house: House, style: str) -> None:
    house.rules(DENY_TOOLS)

    async with house.open(f"styles:{style}") as service:
        run = await house.finish(service, given(style))

    assert run.status == "succeeded", run.error
    assert {name for name, _what in house.done} <= {"fake"}
    answers = [message for message in run.output["messages"] if message["type"] == "tool"]
    assert answers
    assert {answer["content"] for answer in answers} == {"Denied: because of no-tools"}


@pytest.mark.parametrize("style", MODELS + ["agent"])
async def test_a_rule_stops_each_model_call(house: House, style: str) -> None:
    house.rules(DENY_MODELS)

    async with house.open(f"styles:{style}") as service:
        run = await house.finish(service, given(style))

    assert house.done == []
    assert run.error is not None and run.error.type == "DeniedError"


async def test_rules_see_and_change_what_a_program_adds_to_the_arguments_of_a_model(house: House) -> None:
    house.rules({"id": "own", "on": {"hook": "tool.before"}, "then": "modify", "set": {"args.account": "a-2"}})

    async with house.open("styles:tool_bound") as service:
        run = await house.finish(service, {"amount": 1})
        [record] = await house.effects(service, run)

    assert house.done == [["bound", "1 from a-2 by object"]]
    assert record["args"] == {"amount": 1, "account": "a-2"}
    assert record["wished"] == {"amount": 1, "account": "a-1"}


def test_the_graphs_import_nothing_of_gatewright() -> None:
    from tests.runtime.conftest import GRAPHS

    tree = ast.parse((GRAPHS / "styles.py").read_text("utf-8"))
    imported = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imported
    assert not {name for name in imported if name.startswith("gatewright")}
