"""The loop goes round: rules at work, policies learnt, one of them put in place."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gatewright.runtime.config import load
from gatewright.runtime.policies import artefact, networks

FOLDER = Path(__file__).parents[2] / "examples" / "claims-loop"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the example."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


async def test_the_real_team_leaves_a_log_that_others_can_be_judged_by(tmp_path: Path, example: Any) -> None:
    config = tmp_path / "gatewright.toml"
    config.write_text((FOLDER / config.name).read_text("utf-8"))
    told: list[int] = []
    worked = await example("office").work(config, [(3, number) for number in range(6)], told.append)
    log = worked.log
    assert (len(log), sum(told)) == (6, 6)
    assert worked.policies == {"desk-rules@1+explore=0.2": 6}
    assert log.opened[np.arange(6), log.actions].all()
    expected = 0.2 / log.opened.sum(axis=1)
    own = log.propensities > 0.2
    assert log.propensities == pytest.approx(np.where(own, expected + 0.8, expected))
    assert len(set(log.rewards.tolist())) > 1


async def test_a_deployed_policy_is_what_the_team_works_with(tmp_path: Path, example: Any) -> None:
    course, office = example("course"), example("office")
    config, policy = tmp_path / "gatewright.toml", tmp_path / "policies" / "triage.policy"
    config.write_text((FOLDER / config.name).read_text("utf-8"))
    simulator = course.TRIAGE
    made = artefact.compose(
        networks.majority(len(simulator.encoding.columns), [0, 1, 0, 0]),
        point="triage",
        options=simulator.point.options,
        encoding=simulator.encoding,
        origin=artefact.Origin(algorithm="majority"),
    )
    policy.parent.mkdir()
    made.save(policy)
    course.deploy(config, policy, made)
    chooser = load(config, environ={}).deployments["claims"].policies["triage"]
    assert (chooser.file, chooser.version, chooser.explore) == (policy, made.version, 0)
    told: list[int] = []
    worked = await office.work(config, [(3, number) for number in range(3)], told.append)
    assert sum(told) == 3
    assert worked.policies == {f"majority@{made.version}": 3}
    assert (worked.log.actions == 1).all()


@pytest.mark.slow
def test_the_quick_loop_puts_a_better_policy_in_place_and_one_seed_gives_one_policy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "loop.py", str(tmp_path), "--quick", "--twice", "--jobs", "1"],
        cwd=FOLDER,
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the policies are equal" in done.stdout
    assert "8 of 8 claims earned the same with the real team as in the simulator" in done.stdout
    chooser = load(tmp_path / "gatewright.toml", environ={}).deployments["claims"].policies["triage"]
    assert chooser.file is not None
    found = artefact.load(chooser.file, version=chooser.version)
    assert found.manifest.origin.metrics["held_out_gain_low"] > 0
