from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gatewright.runtime.cli import main
from gatewright.runtime.policies import artefact
from gatewright.scenarios import tuning
from gatewright.scenarios.tuning import choosers


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
    done = run("claims.triage", "--algo", "logistic", "--explore", "0.1", "-o", output, "--seed", "4")
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
