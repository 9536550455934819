from __future__ import annotations

import json
from pathlib import Path

import pytest

from gatewright.agents.errors import UsageError
from gatewright.scenarios.gate import read
from gatewright.scenarios.gate.reports import of_run


def test_recorded_episodes_have_the_pass_k_of_their_rewards(shared: Path) -> None:
    found = {row.name: row.value for row in of_run(read(shared / "taubench/airline/episodes-gpt-4o.json")).rows}
    names = ("success", "pass^2", "pass^3", "pass^4")
    assert [found[name] for name in names] == pytest.approx([0.49, 0.386667, 0.34, 0.32], abs=1e-6)
    assert "cost" not in found  # not recorded, so there is none


def test_what_a_model_without_a_price_cost_is_unknown_and_not_0(shared: Path) -> None:
    base, tuned = (read(shared / f"tau2/retail/episodes-{name}_retail.json") for name in ("base", "sft"))
    assert all(trial.cost for trial in base.trials)
    assert [trial.cost for trial in tuned.trials] == [None] * 20


def test_a_failure_says_how_it_ended(small: Path) -> None:
    found = read(small)
    assert {trial.note for trial in found.trials if trial.success is False} <= {
        "ended by user_stop",
        "ended by error",
        "",
    }
    assert all(trial.note == "" for trial in found.trials if trial.success)
    assert found.name == small.stem


def test_a_reward_that_is_no_number_is_refused(small: Path) -> None:
    episodes = json.loads(small.read_text())
    episodes[0]["reward"] = float("nan")
    small.write_text(json.dumps(episodes))
    with pytest.raises(UsageError, match="reward"):
        read(small)
