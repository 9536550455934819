"""A learned policy in place of a decision point's own, through the service."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, Field

from gatewright.agents.errors import IntegrityError, UnavailableError, UsageError
from gatewright.runtime.config import load
from gatewright.runtime.policies import networks
from gatewright.runtime.policies.artefact import Artefact, Origin, Serving, compose
from gatewright.runtime.policies.encoding import Encoding

if TYPE_CHECKING:
    from tests.runtime.conftest import House

TEAM = "teams:choosing"


class Features(BaseModel):
    """As the team of `graphs/teams.py` has them."""

    amount: int


class Bounded(BaseModel):
    amount: int = Field(ge=0, le=100)


def policy(
    *,
    point: str = "size",
    options: tuple[str, ...] = ("small", "large"),
    features: type[BaseModel] = Features,
    serving: Serving | None = None,
) -> Artefact:
    """The opposite of the team's own rule: what is more than 10 is small."""
    network = networks.table([[10.5]], {0: [0, 1, 0][: len(options)]}, [1, 0, 0][: len(options)])
    origin = Origin(algorithm="q-learning", seeds=(1,))
    return compose(
        network, point=point, options=options, encoding=Encoding.of(features), origin=origin, serving=serving
    )


def put(house: House, artefact: Artefact, **chooser: Any) -> Path:
    file = house.folder / "size.policy"
    artefact.save(file)
    house.deployment(policies={"size": {"file": str(file), **chooser}})
    return file


async def decisions(house: House, service: Any) -> list[dict[str, Any]]:
    return [effect for effect in await house.effects(service) if effect["effect"]["kind"] == "decision"]


async def test_a_deployments_policy_decides_in_place_of_the_rule(house: House) -> None:
    made = policy()
    put(house, made, version=made.version)
    async with house.open(TEAM) as service:
        run = await house.finish(service, {"amount": 50})
        [decision] = await decisions(house, service)
    assert run.output["out"][0] == "small"
    assert house.counts["chosen:50"] == 0  # its own rule was not asked
    assert decision["args"] == {"features": {"amount": 50}, "options": ["small", "large"], "closed": {}}
    assert decision["result"] == {
        "option": "small",
        "propensity": 1.0,
        "policy": f"q-learning@{made.version}",
        "reason": "",
    }


async def test_exploring_leaves_the_exact_propensity_in_the_record(house: House) -> None:
    put(house, policy(serving=Serving(mode="epsilon-greedy", exploration=0.2)))
    async with house.open(TEAM) as service:
        for _ in range(30):
            await house.finish(service, {"amount": 50})
        seen = [decision["result"] for decision in await decisions(house, service)]
    assert {(made["option"], made["propensity"], made["reason"]) for made in seen} <= {
        ("small", 0.9, ""),
        ("large", 0.1, "explored instead of 'small'"),
    }


async def test_a_rule_can_explore(house: House) -> None:
    house.deployment(policies={"size": {"explore": 0.2}})
    async with house.open(TEAM) as service:
        for _ in range(30):
            await house.finish(service, {"amount": 50})
        seen = Counter(made["result"]["propensity"] for made in await decisions(house, service))
    assert seen.keys() <= {0.9, 0.1}
    assert house.counts["chosen:50"] == 30


async def test_a_choice_that_was_made_is_not_drawn_again(house: House) -> None:
    """Signing waits for a person, and the step that decided is executed again afterwards."""
    put(house, policy(serving=Serving(mode="epsilon-greedy", exploration=0.2)))
    house.rules({"id": "ask", "on": {"hook": "tool.before", "name": "sign"}, "then": "ask"})
    async with house.open(TEAM) as service:
        run = await house.decide(service, await house.finish(service, {"amount": 50}), "approve")
        [decision] = await decisions(house, service)
    assert run.output["out"][0] == decision["result"]["option"]


@pytest.mark.parametrize(
    ("artefact", "complaint"),
    [
        (policy(point="route"), "made for 'route'.*not for 'size'"),
        (policy(options=("small", "large", "huge")), "with the options"),
        (policy(features=Bounded), "the features of Features are not those that were encoded"),
    ],
)
async def test_a_policy_that_does_not_fit_stops_the_service_from_starting(
    house: House, artefact: Artefact, complaint: str
) -> None:
    put(house, artefact)
    with pytest.raises(UsageError, match=complaint):
        async with house.open(TEAM):
            pass


async def test_a_policy_for_an_unknown_point_stops_the_service_from_starting(house: House) -> None:
    house.deployment(policies={"sise": {"explore": 0.1}})
    with pytest.raises(UsageError, match="no decision point of the team; did you mean 'size'"):
        async with house.open(TEAM):
            pass


async def test_another_version_than_the_configured_one_is_refused(house: House) -> None:
    put(house, policy(), version="0" * 64)
    with pytest.raises(IntegrityError, match="deployment 'x': .*fetch the one that is meant"):
        async with house.open(TEAM):
            pass


async def test_a_missing_file_is_named(house: House) -> None:
    house.deployment(policies={"size": "nowhere.policy"})
    with pytest.raises(UnavailableError, match=r"cannot read the policy 'nowhere\.policy'"):
        async with house.open(TEAM):
            pass


_PLAIN = """
from typing import TypedDict
from langgraph.graph import START, StateGraph
from pydantic import BaseModel
from gatewright.agents import Choice, DecisionPoint, decide

class State(TypedDict, total=False):
    amount: int

class Features(BaseModel):
    amount: int

def rule(features, open_options):
    return Choice(option=open_options[0], policy="rule@1")

SIZE = DecisionPoint(name="size", features=Features, options=("small", "large"), policy=rule)
graph = StateGraph(State)
graph.add_node("choose", lambda state: {"amount": len(decide(SIZE, Features(amount=state["amount"])).option)})
graph.add_edge(START, "choose")
"""


async def test_in_a_plain_graph_a_policy_that_does_not_fit_fails_at_the_decision(house: House) -> None:
    put(house, policy(features=Bounded))
    graph = house.folder / "agent.py"
    graph.write_text(_PLAIN, "utf-8")
    async with house.open(f"{graph.with_suffix('')}:graph") as service:
        run = await house.finish(service, {"amount": 50})
    assert run.status == "failed"
    assert run.error is not None and "the features of Features are not those" in run.error.message


def test_policy_files_are_relative_to_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "gatewright.toml").write_text(
        '[deployments.desk]\nteam = "support"\n[deployments.desk.policies]\ntriage = "policies/triage.policy"\n',
        "utf-8",
    )
    found = load(cwd=tmp_path, environ={}).deployments["desk"].policies["triage"]
    assert found.file == tmp_path / "policies" / "triage.policy"


@pytest.mark.parametrize(
    "written", ["{}", '{file = "a", explore = 0.1}', '{explore = 0.1, version = "' + "0" * 64 + '"}']
)
def test_a_chooser_is_a_file_or_explores(tmp_path: Path, written: str) -> None:
    (tmp_path / "gatewright.toml").write_text(
        f'[deployments.desk]\nteam = "support"\n[deployments.desk.policies]\ntriage = {written}\n', "utf-8"
    )
    with pytest.raises(UsageError, match="needs either `file`"):
        load(cwd=tmp_path, environ={})


_SERVING = """
import asyncio, sys
from gatewright.runtime.config import Config
from gatewright.runtime.service import Service

async def main():
    async with await Service.open(Config.model_validate_json(sys.argv[1])) as service:
        run = await service.start_run("x", {"amount": 50})
        run = await service.wait(run.id, timeout=30)
        print(run.output["out"][0])

asyncio.run(main())
heavy = {"torch", "shap", "gymnasium", "stable_baselines3", "sb3_contrib", "optuna", "matplotlib", "pandas", "scipy"}
print(sorted(heavy & set(sys.modules)))
"""


def test_a_service_with_a_learned_policy_imports_nothing_that_trains(house: House) -> None:
    put(house, policy())
    config = house.config(TEAM).model_dump_json()
    done = subprocess.run([sys.executable, "-c", _SERVING, config], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["small", "[]", ""]


def test_a_service_without_a_policy_does_not_import_numpy() -> None:
    code = "import sys, gatewright.runtime.service, gatewright.runtime.api.application; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


CLOSING = {"on": {"hook": "decision.before", "name": "size"}, "when": "args.features.amount > 20", "then": "modify"}


def closing(*options: str) -> dict[str, Any]:
    match, passes = ({"args": {"features": {"amount": amount}}} for amount in (50, 5))
    return {"id": "careful", **CLOSING, "close": options, "examples": {"match": [match], "pass": [passes]}}


async def test_rules_close_options_before_a_policy_chooses(house: House) -> None:
    put(house, policy())
    house.rules(closing("small"))
    async with house.open(TEAM) as service:
        closed = await house.finish(service, {"amount": 50})
        opened = await house.finish(service, {"amount": 5})
        first, second = await decisions(house, service)
    assert (closed.output["out"][0], opened.output["out"][0]) == ("large", "large")
    assert (first["args"]["closed"], second["args"]["closed"]) == ({"small": "careful"}, {})
    assert first["wished"]["closed"] == {}
    assert first["guard"]["before"]["verdict"] == "modify"
    assert [rule["id"] for rule in first["guard"]["before"]["rules"]] == ["careful"]


async def test_where_rules_leave_no_option_the_decision_is_refused(house: House) -> None:
    house.rules(closing("small", "large"))
    async with house.open(TEAM) as service:
        run = await house.finish(service, {"amount": 50})
    assert run.status == "failed"
    assert run.error is not None
    assert run.error.type == "DeniedError"
    assert (
        "every option of decision point 'size' is closed: {'small': 'careful', 'large': 'careful'}" in run.error.message
    )


async def test_whoever_lets_a_decision_pass_opens_no_option_that_rules_close(house: House) -> None:
    budget = {"id": "few", "of": "calls", "limit": 1, "per": "deployment", "within": "1d", "then": "ask"}
    house.rules(closing("small"), budgets=[{**budget, "on": {"kinds": ["decision"]}}])
    put(house, policy())
    async with house.open(TEAM) as service:
        await house.finish(service, {"amount": 50})
        run = await house.finish(service, {"amount": 50})
        edited = {"features": {"amount": 40}, "options": ["small", "large"], "closed": {}}
        run = await house.decide(service, run, "edit", edited)
        decision = (await decisions(house, service))[-1]
    assert run.output["out"][0] == "large"
    assert decision["args"] == {**edited, "closed": {"small": "careful"}}


async def test_rules_about_choices_are_not_asked_where_none_was_made(house: House) -> None:
    large = {"id": "large", "on": {"hook": "decision", "name": "size"}, "when": "result.option == 'large'"}
    match, passes = ({"result": {"option": option}} for option in ("large", "small"))
    house.rules(closing("small", "large"), {**large, "then": "deny", "examples": {"match": [match], "pass": [passes]}})
    async with house.open(TEAM) as service:
        run = await house.finish(service, {"amount": 50})
        [decision] = await decisions(house, service)
    assert run.error is not None
    assert "every option of decision point 'size' is closed" in run.error.message
    assert decision["guard"]["after"] is None


async def test_a_rule_that_closes_an_unknown_option_stops_the_service_from_starting(house: House) -> None:
    house.rules(closing("smal"))
    with pytest.raises(UsageError, match="closes 'smal', which is no option of .* 'size'; did you mean 'small'"):
        async with house.open(TEAM):
            pass
