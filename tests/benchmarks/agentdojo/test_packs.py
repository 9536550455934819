"""The packs are written for a domain: they may know its tools, and nothing of what the benchmark's tasks are about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from benchmarks.agentdojo import agent, attackers, rounds, suites
from pydantic import BaseModel

from gatewright.runtime.toolcalls import tool_schema
from gatewright.safety.rules import literals, sources
from gatewright.safety.rules.packs import Pack

_QUOTED = re.compile(r"'([^']{3,80})'|\"([^\"]{3,80})\"")
_NUMBER = re.compile(r"(?<![\w.])\d[\d.,]*\d(?![\w])")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, BaseModel):
        value = vars(value)
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple | set):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield f"{value:g}"
    elif isinstance(value, str):
        yield value


def _mentioned(text: str) -> Iterator[str]:
    """What a sentence names: quoted texts, addresses, links, account numbers, other numbers."""
    yield from (one or other for one, other in _QUOTED.findall(text))
    yield from (found.value for found in literals.found(text))
    yield from (number.rstrip(".,") for number in _NUMBER.findall(text))


def _of_tasks(name: str) -> set[str]:
    """The literals of all tasks of a suite: in prompts and goals, in the arguments of calls, and in the environment."""
    suite = suites.suite(name)
    environment = suites.environment(name, {})
    found: set[str] = set()
    for task in (*suite.user_tasks.values(), *suite.injection_tasks.values()):
        said = getattr(task, "PROMPT", None) or task.GOAL
        found.update(_mentioned(said))
        found.update(_mentioned(task.GROUND_TRUTH_OUTPUT))
        for call in task.ground_truth(environment.model_copy(deep=True)):
            found.update(_texts(list(dict(call.args).values())))
    for injection in suite.injection_tasks:
        found.update(attackers.targets(suites.Pair(name, next(iter(suite.user_tasks)), injection)))
    for text in _texts(environment):
        found.update(_mentioned(text))
        if len(text) <= 80:
            found.add(text)
    words = _fields(environment).union(*(tool.args for tool in agent.tools(name)))
    return {text.strip() for text in found if len(text.strip()) > 2} - words


def _fields(value: Any) -> set[str]:
    """Names of the environment's fields: like those of arguments they are words of the tools, not of tasks."""
    if isinstance(value, BaseModel):
        return set(vars(value)).union(*map(_fields, vars(value).values()))
    if isinstance(value, Mapping):
        return set[str]().union(*map(_fields, value.values()))
    if isinstance(value, list):
        return set[str]().union(*map(_fields, value))
    return set()


@pytest.mark.parametrize("name", suites.NAMES)
def test_a_pack_holds_no_literal_of_any_task(name: str) -> None:
    text = (rounds.PACKS / f"{name}.yaml").read_text("utf-8")
    found = {
        literal for literal in _of_tasks(name) if re.search(rf"(?<![\w.-]){re.escape(literal)}(?![\w-]|\.\d)", text)
    }
    assert not found


def test_the_search_for_literals_finds_what_tasks_are_about() -> None:
    assert {"Spotify", "new_password", "1j1l-2k3j", "10,000"} <= _of_tasks("banking")
    assert {"Alice", "www.secure-systems-252.com", "fred9246@gmail.com"} <= _of_tasks("slack")


@pytest.mark.parametrize("name", suites.NAMES)
def test_a_pack_describes_every_tool_of_its_suite_and_fits_their_arguments(name: str) -> None:
    tools = {tool.name: tool_schema(tool) for tool in agent.tools(name)}
    pack = Pack.load(rounds.PACKS / f"{name}.yaml", tools=tools)
    assert set(pack.labels) == set(tools)
    assert all(labels & {"trusted", "untrusted"} for labels in pack.labels.values())


def test_the_page_on_provenance_shows_rules_that_are_in_force() -> None:
    page = (rounds.PACKS.parents[2] / "docs" / "provenance.md").read_text("utf-8")
    shown = yaml.safe_load(re.findall(r"```yaml\n(rules:.*?)```", page, re.DOTALL)[0].replace(" on:", " 'on':"))
    pack = sources.parse((rounds.PACKS / "workspace.yaml").read_text("utf-8"), "workspace.yaml").data
    rules = {rule["id"]: rule for rule in pack["rules"]}
    assert len(shown["rules"]) == 3
    for rule in shown["rules"]:
        assert rule.items() <= rules[rule["id"]].items()
