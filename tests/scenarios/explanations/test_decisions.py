"""Recorded decisions of a learned policy, explained from the ledger alone."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from gatewright.runtime import config
from gatewright.runtime.cli import main
from gatewright.runtime.cli.clients import connect
from gatewright.runtime.evidence import verify
from gatewright.runtime.policies import artefact
from gatewright.runtime.policies.artefact import Origin
from gatewright.runtime.policies.encoding import Encoding
from gatewright.runtime.policies.networks import Mlp
from gatewright.runtime.search import Search
from gatewright.scenarios.explanations.decisions import explain_decision, reproduce_logged

AGENT = """
from typing import Any, Literal
from langgraph.graph import StateGraph
from pydantic import BaseModel, Field
from typing_extensions import TypedDict
from gatewright.agents import Agent, Choice, DecisionPoint, Team, decide

class Claim(BaseModel):
    amount: float = Field(ge=0, le=1000)
    age: int = Field(ge=18, le=90, json_schema_extra={"actionable": False})
    kind: Literal["car", "home"]

POINT = DecisionPoint(
    name="triage", features=Claim, options=("pay", "inspect", "refuse"),
    policy=lambda features, options: Choice(option=options[0], policy="first@1"),
)

class State(TypedDict, total=False):
    claim: dict[str, Any]
    closed: dict[str, str]
    option: str

def triage(state: State) -> State:
    choice = decide(POINT, Claim.model_validate(state["claim"]), closed=state.get("closed"))
    return {"option": choice.option}

def build(resources):
    graph = StateGraph(State)
    graph.add_node("triage", triage)
    graph.set_entry_point("triage")
    return graph

team = Team(name="desk", agents=(Agent(name="desk", build=build),), entry="desk", points=(POINT,))
"""


class Desk:
    """A folder with a service's data, and the command line in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *args: str) -> Any:
        result = CliRunner().invoke(main, [*args, "--json"], catch_exceptions=False)
        return json.loads(result.stdout) | {"code": result.exit_code}

    def told(self, *args: str) -> str:
        return CliRunner().invoke(main, list(args), catch_exceptions=False).stdout


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Generator[Desk]:
    """Fourteen decisions of a network on record, `refuse` closed in the last."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "claims_desk_agent.py").write_text(AGENT)
    generator = np.random.default_rng(0)
    before = Path.cwd()
    os.chdir(folder)
    try:
        namespace: dict[str, Any] = {"__name__": "claims_desk_agent"}
        exec(compile(AGENT, "claims_desk_agent", "exec", dont_inherit=True), namespace)
        policy = artefact.compose(
            Mlp(
                (
                    np.asarray(generator.normal(size=(4, 8)), np.float32),
                    np.asarray(generator.normal(size=(8, 3)), np.float32),
                ),
                (np.zeros(8, np.float32), np.zeros(3, np.float32)),
            ),
            point="triage",
            options=("pay", "inspect", "refuse"),
            encoding=Encoding.of(namespace["Claim"]),
            origin=Origin(algorithm="ppo"),
        )
        policy.save(folder / "triage.policy")
        (folder / "gatewright.toml").write_text(
            'python_path = ["."]\n[deployments.desk]\nteam = "claims_desk_agent:team"\n'
            '[deployments.desk.policies]\ntriage = "triage.policy"\n'
        )
        made = Desk(folder)
        for number in range(14):
            claim = {
                "amount": float(generator.uniform(0, 1000)),
                "age": int(generator.integers(18, 90)),
                "kind": "car" if number % 3 else "home",
            }
            closed = {"refuse": "refuse-only-after-inspection"} if number == 13 else {}
            assert made("run", "start", "desk", "--input", json.dumps({"claim": claim, "closed": closed}))["code"] == 0
        yield made
    finally:
        os.chdir(before)


def newest(desk: Desk) -> int:
    index: int = desk("audit", "search", "--point", "triage", "--limit", "1")["records"][0]["index"]
    return index


def test_a_decision_is_explained_by_the_features_it_was_made_on(desk: Desk) -> None:
    found = desk("audit", "explain", str(newest(desk)), "--exact")
    policy = artefact.load(desk.folder / "triage.policy")
    logits = policy.network.logits(policy.manifest.encoding.encode(found["features"])).astype(float).tolist()
    options = policy.manifest.options
    margin = logits[options.index(found["option"])] - logits[options.index(found["against"])]
    assert found["base"] + sum(bar[1] for bar in [list(bar.values()) for bar in found["bars"]]) == pytest.approx(margin)
    assert {bar["feature"] for bar in found["bars"]} == {"amount", "age", "kind"}


def test_a_search_that_finds_nothing_names_what_may_be_misspelt(desk: Desk) -> None:
    def said(*args: str) -> str:
        return CliRunner().invoke(main, ["audit", "search", *args]).stderr

    assert "14 decisions is of a point 'triag'; did you mean 'triage'?" in said("--point", "triag")
    assert "has a feature 'amont'; did you mean 'amount'?" in said("--point", "triage", "--feature", "amont>5")
    assert "with an option 'inspekt'; did you mean 'inspect'?" in said("--option", "inspekt")
    assert "decisions is of deployment 'desc'; did you mean 'desk'?" in said("--deployment", "desc")
    assert "decisions is of agent 'clerc'; known here: desk" in said("--agent", "clerc")
    assert said("--point", "triage", "--feature", "amount>5000") == "nothing found\n"
    assert said("--option", "inspect", "--feature", "amount>5000") == "nothing found\n"


def test_what_was_closed_is_told_with_its_reason_and_has_no_chance(desk: Desk) -> None:
    found = desk("audit", "explain", str(newest(desk)))
    assert found["closed"] == {"refuse": "refuse-only-after-inspection"}
    assert found["chances"]["refuse"] == 0
    assert found["against"] != "refuse"
    assert "closed    refuse: refuse-only-after-inspection" in desk.told("audit", "explain", str(newest(desk)))


def test_another_option_can_be_asked_about(desk: Desk) -> None:
    assert desk("audit", "explain", str(newest(desk)), "--against", "refuse")["against"] == "refuse"
    assert desk("audit", "explain", str(newest(desk)), "--against", "bribe")["code"] == 2


def test_what_the_team_says_nobody_can_change_is_not_changed(desk: Desk) -> None:
    indices = [view["index"] for view in desk("audit", "search", "--point", "triage", "--limit", "8")["records"]]
    changes = [desk("audit", "explain", str(index))["change"] for index in indices]
    steps = [step["feature"] for change in changes if change for step in change["steps"]]
    assert steps and "age" not in steps


def test_an_explanation_in_the_ledger_is_computed_again_and_goes_into_the_pack(desk: Desk) -> None:
    index = newest(desk)
    found = desk("audit", "explain", str(index), "--log", "--by", "ada", "--seed", "7")
    (entry,) = desk("audit", "search", "--kind", "explanation")["records"]
    kept = entry["opened"]["explanation"]
    again = desk("audit", "explain", str(index), "--seed", "7")
    assert kept == found["record"] == again["record"]
    assert (entry["record"]["detail"]["decision"], entry["record"]["detail"]["by"]) == (index, "ada")
    assert "encoded" not in json.dumps(entry["record"])
    assert desk("audit", "verify")["ok"]

    packed = desk("audit", "export", str(index), "--opened", "--pack", "pack.zip")
    assert packed["records"] == 2
    assert list(verify.problems(desk.folder / "pack.zip")) == []
    names = verify.Pack(desk.folder / "pack.zip").names()
    assert {name.split("/")[0] for name in names} > {"explanations", "policies", "proofs"}


def test_the_first_decision_has_nothing_to_be_compared_with(desk: Desk) -> None:
    records = desk("audit", "search", "--point", "triage")["records"]
    assert "nothing to compare with" in desk("audit", "explain", str(records[-1]["index"]))["error"]["message"]


def test_what_is_no_decision_is_refused(desk: Desk) -> None:
    other = desk("audit", "search", "--kind", "run", "--limit", "1")["records"][0]["index"]
    assert desk("audit", "explain", str(other))["code"] == 2


async def test_what_was_recorded_is_reproduced_from_the_ledger_alone(desk: Desk) -> None:
    policies = [artefact.load(desk.folder / "triage.policy")]
    async with connect(config.load(desk.folder / "gatewright.toml")) as client:
        index = (await client.search(Search(point="triage"), limit=1)).records[0].index
        explained = await explain_decision(client, index, policies, seed=3)
        await client.note_explanation(index, explained.record, by="ada")
        entry = (await client.search(Search(kind="explanation"), limit=1)).records[0]
        assert await reproduce_logged(client, entry.index, policies) == (True, 0.0)


def test_features_that_were_changed_since_are_not_explained(desk: Desk) -> None:
    index = newest(desk)
    with sqlite3.connect(desk.folder / ".gatewright" / "gatewright.sqlite", isolation_level=None) as database:
        database.execute("DROP TRIGGER IF EXISTS sealed_no_update")
        where = "leaf = (SELECT leaf FROM place WHERE position = ?) AND field = 'args'"
        ((value,),) = database.execute(f"SELECT value FROM sealed WHERE {where}", (index,)).fetchall()
        changed = value.replace(b'"closed":{', b'"closed":{"pay":"a rule that nobody wrote",')
        assert changed != value
        database.execute(f"UPDATE sealed SET value = ? WHERE {where}", (changed, index))
        found = desk("audit", "explain", str(index))
        database.execute(f"UPDATE sealed SET value = ? WHERE {where}", (value, index))
    database.close()
    assert found["code"] == 5
    assert f"record {index} is not explained: a sealed value does not match" in found["error"]["message"]
