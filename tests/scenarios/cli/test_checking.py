from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gatewright.runtime.cli import main

BROKEN = """
import gymnasium, numpy
from gymnasium.envs.classic_control import CartPoleEnv

class Broken(CartPoleEnv):
    def action_masks(self):
        return numpy.zeros(2, bool)

gymnasium.register("test/Broken-v1", entry_point=Broken)
"""


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["scenario", "check-env", *args], catch_exceptions=False)


def test_a_good_environment_is_a_yes() -> None:
    done = run("CartPole-v1", "--steps", "20", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"id": "CartPole-v1", "findings": []})


def test_findings_are_a_no_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_environment.py").write_text(BROKEN, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    done = run("broken_environment:test/Broken-v1", "--steps", "20")
    assert (done.exit_code, done.stdout.strip()) == (
        1,
        "mask: no action is open: after reset; end the episode before, or leave one open",
    )


@pytest.mark.parametrize("id", ["Nowhere-v1", "no_such_module:Env-v1"])
def test_an_environment_that_is_not_there_is_a_mistake(id: str) -> None:
    done = run(id)
    assert done.exit_code == 2
    assert f"there is no environment '{id}'" in done.stderr
