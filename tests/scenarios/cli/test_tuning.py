from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gatewright.agents.claims.points import TRIAGE_OPTIONS, TriageFeatures, closed_at_triage
from gatewright.agents.decisions import Choice
from gatewright.environments.claims.grid import TRIAGE_GRID
from gatewright.environments.claims.simulator import TRIAGE
from gatewright.environments.decisions.logs import Decision
from gatewright.runtime.cli import main
from gatewright.runtime.policies import artefact
from gatewright.scenarios import tuning
from gatewright.scenarios.cli import tuning as tuning_cli
from gatewright.scenarios.cli.logged import Recorded
from gatewright.scenarios.tuning import choosers


def reading(found: Recorded) -> Callable[..., Recorded]:
    """A reader of logs that finds this."""

    def read(*_: object) -> Recorded:
        return found

    return read


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, ["tune", "start", *map(str, args)], catch_exceptions=False)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer cases, which say enough here."""
    order = functools.partial(tuning.Order, log_size=5_000, validation=(64, 4), held_out=(100, 20))
    monkeypatch.setattr(tuning, "Order", order)


def last(seen: Any, masks: Any, own: Any) -> Any:
    """A rule that is beaten at once: the last option that is open, which is a dear one."""
    return 3 - masks[:, ::-1].argmax(axis=1)


def test_rules_that_nothing_beats_stay(tmp_path: Path) -> None:
    output = tmp_path / "triage.policy"
    done = run("claims.triage", "--algo", "q-learning", "--steps", "10000", "-o", output, "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert (found["point"], found["algorithm"], found["proposed"]) == ("triage", "q-learning", "rules")
    assert [each["algorithm"] for each in found["candidates"]] == ["rules", "majority", "logistic", "q-learning"]
    assert len(found["trainings"]) == 3 and found["written"] is None
    assert not output.exists()


def test_a_policy_that_is_proposed_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosers, "ruled", last)
    output = tmp_path / "triage.policy"
    done = run(
        "claims.triage",
        "--algo",
        "logistic",
        "--explore",
        "0.1",
        "-o",
        output,
        "--seed",
        "4",
        "--violations-margin",
        "9",
    )
    assert done.exit_code == 0
    assert "wrote" in done.stderr and "proposed" in done.stdout
    made = artefact.load(output)
    assert made.manifest.point == "triage"
    assert made.manifest.serving.exploration == 0.1
    assert made.version in done.stderr


@pytest.mark.parametrize("name", ["claims.nothing", "json:dumps", "no_such_module:X", "json:nothing"])
def test_a_simulator_that_is_none_is_a_mistake(name: str) -> None:
    done = run(name, "--algo", "logistic")
    assert done.exit_code == 2
    assert "simulator" in done.stderr


def test_without_the_extra_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gatewright.scenarios.tuning.deep", None)
    done = run("claims.triage", "--algo", "maskable-ppo")
    assert done.exit_code == 4
    assert "run: pip install 'gatewright[tune]'" in done.stderr


def test_without_the_extra_a_search_names_the_remedy_and_the_rest_works(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("optuna", "torch", "stable_baselines3", "sb3_contrib", "gymnasium"):
        monkeypatch.setitem(sys.modules, name, None)
    assert run("claims.triage", "--algo", "logistic").exit_code in (0, 1)
    done = run("claims.triage", "--algo", "logistic", "--trials", "2")
    assert done.exit_code == 4
    assert "run: pip install 'gatewright[tune]'" in done.stderr


def test_every_algorithm_has_a_place_in_the_order_of_simplicity() -> None:
    from gatewright.scenarios.tuning.algorithms import SIMPLICITY

    assert set(tuning.ALGORITHMS) < set(SIMPLICITY)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The decisions of twenty claims, ten of which have a reward."""
    features = TRIAGE_GRID.features(0).model_dump()
    closed = closed_at_triage(TriageFeatures.model_validate(features))
    choice = Choice(option="standard", policy="desk-rules@1", propensity=0.9)
    decisions = [
        Decision(
            case_id=f"C-{at}", position=at, features=features, options=TRIAGE_OPTIONS, closed=closed, choice=choice
        )
        for at in range(20)
    ]
    earned = {f"C-{at}": float(at) for at in range(10)}
    monkeypatch.setattr(tuning_cli, "recorded", reading(Recorded(decisions, earned)))
    path = tmp_path / "claims.jsonl"
    path.write_text("episodes", "utf-8")
    return path


def test_the_simple_models_learn_from_a_log_of_cases_whose_reward_is_known(log: Path) -> None:
    rows, data = tuning_cli.logged(TRIAGE, log, None)
    assert rows.rewards.tolist() == [float(at) for at in range(10)]
    assert (data.source, data.decisions, data.first, data.last) == ("claims.jsonl", 10, 0, 9)
    assert data.sha256 == sha256(b"episodes").hexdigest()
    done = run("claims.triage", "--algo", "logistic", "--log", log, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["candidates"][1]["algorithm"] == "majority"


def test_a_log_without_rewards_names_the_remedy(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning_cli, "recorded", reading(Recorded([], {})))
    done = run("claims.triage", "--algo", "logistic", "--log", log)
    assert done.exit_code == 2
    assert "no decision at 'triage' with a known reward" in done.stderr and "--rewards" in done.stderr


def test_a_log_that_never_passes_the_point_names_it(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    done = run("claims.triage", "--algo", "logistic", "--log", tmp_path / "empty.jsonl")
    assert done.exit_code == 2
    assert "has no decision at 'triage' in 0 episodes" in done.stderr


def test_rewards_of_no_log_are_a_mistake(tmp_path: Path) -> None:
    done = run("claims.triage", "--algo", "logistic", "--rewards", tmp_path / "rewards.json")
    assert done.exit_code == 2
    assert "name the episodes with --log" in done.stderr


def test_the_report_shows_every_kind_of_violation_with_its_interval_and_its_limit() -> None:
    done = run("claims.triage", "--algo", "logistic")
    heading, *lines = done.stdout.splitlines()
    assert "PAID WRONGLY" in heading and "REFUSED WRONGLY" in heading
    assert any(line.split()[:3] == ["majority", "paid", "wrongly"] and line.endswith("BROKEN") for line in lines)


def test_a_folder_that_is_not_there_is_told_before_anything_is_learnt(tmp_path: Path) -> None:
    done = run("claims.triage", "--algo", "logistic", "-o", tmp_path / "nowhere" / "triage.policy")
    assert done.exit_code == 2
    assert "nowhere" in done.stderr and "make it first" in done.stderr
