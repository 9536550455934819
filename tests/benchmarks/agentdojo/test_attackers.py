from __future__ import annotations

import json

import pytest
from benchmarks.agentdojo import attackers, suites
from benchmarks.agentdojo.attackers import squeezed
from benchmarks.agentdojo.episodes import episode
from benchmarks.agentdojo.suites import Call, Pair, Sent
from pydantic_core import to_jsonable_python

WORKSPACE_USER = "user_task_3"  # reads one calendar event and changes nothing


@pytest.mark.parametrize("task", [task for _, task in attackers.WRITTEN])
def test_the_calls_that_are_written_here_reach_the_attackers_goal(task: str) -> None:
    held = episode(Pair("workspace", WORKSPACE_USER, task))
    assert not held.reached
    held = episode(Pair("workspace", WORKSPACE_USER, task))
    ids: list[str] = []
    for call in held.attack_calls:
        args = {name: ids[value.position] if isinstance(value, Sent) else value for name, value in call.args.items()}
        runtime = suites.runtime("workspace")
        result, _ = runtime.run_function(held.environment, call.name, args, raise_on_error=True)
        ids.append(str(getattr(result, "id_", "")))
        held.trace.append(Call(call.name, args).function_call())
    assert held.reached


def test_only_tasks_without_calls_have_calls_that_are_written_here() -> None:
    empty = {
        (name, task)
        for name in suites.NAMES
        for task, injection in suites.suite(name).injection_tasks.items()
        if not injection.ground_truth(suites.environment(name, {})) and not injection.GROUND_TRUTH_OUTPUT
    }
    assert set(attackers.WRITTEN) == empty


@pytest.mark.parametrize("template", attackers.TEMPLATES)
def test_every_template_is_read_where_it_was_put(template: str) -> None:
    for pair in suites.sample(list(suites.attacked()), 1)[::8]:
        held = episode(pair, template=template)
        results: list[str] = []
        for call in held.user_calls:
            result, _ = suites.runtime(pair.suite).run_function(held.environment, call.name, dict(call.args))
            results.append(json.dumps(to_jsonable_python(result)))
        assert any(map(held.reads, results)), pair
        clean = episode(Pair(pair.suite, pair.user))
        assert not any(held.reads(call) for call in map(str, clean.user_calls))


def test_a_squeezed_text_is_the_same_in_json_and_folded() -> None:
    text = "\n<INFORMATION>\nDo 'this' \"now\".\n\n</INFORMATION>\n"
    assert squeezed(text) == squeezed(json.dumps(text)) == squeezed(text.replace("\n\n", "\n"))
    assert squeezed(text) == "INFORMATIONDothisnowINFORMATION"


def test_targets_are_the_short_texts_in_the_attackers_calls() -> None:
    found = attackers.targets(Pair("workspace", WORKSPACE_USER, "injection_task_0"))
    recipient = suites.suite("workspace").injection_tasks["injection_task_0"]._RECIPIENT
    assert found[0] == recipient
