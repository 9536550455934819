from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from pydantic import BaseModel

from gatewright.agents.decisions import Choice
from gatewright.environments.decisions import logs
from gatewright.environments.decisions.logs import Decision
from gatewright.runtime.cli import main
from gatewright.runtime.policies import artefact, networks
from gatewright.runtime.policies.encoding import Encoding
from gatewright.scenarios import episodes

OPTIONS = ("approve", "check", "deny")


class Claim(BaseModel):
    amount: float


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, ["tune", "evaluate", *map(str, args)], catch_exceptions=False)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Always checks."""
    encoding = Encoding.of(Claim).fitted([{"amount": 1.0}, {"amount": 9.0}])
    made = artefact.compose(
        networks.majority(len(encoding.columns), [0, 1, 0]),
        point="triage",
        options=OPTIONS,
        encoding=encoding,
        origin=artefact.Origin(algorithm="majority"),
    )
    made.save(tmp_path / "check.policy")
    return tmp_path / "check.policy"


def record(monkeypatch: pytest.MonkeyPatch, earns: Sequence[float], *, known: int = 1_200) -> None:
    """1,200 cases that were triaged at random; each option earns its number, and a little chance."""
    random = np.random.default_rng(4)
    actions = random.integers(0, 3, 1_200)
    rewards = [earns[action] + random.normal() for action in actions]

    def read(path: Path) -> Iterator[Any]:
        assert path == Path("claims.jsonl")
        for number in range(1_200):
            yield SimpleNamespace(
                episode=SimpleNamespace(id=f"case-{number}"), reward=rewards[number] if number < known else None
            )

    def of_episode(episode: Any, point: str) -> Iterator[Decision]:
        assert point == "triage"
        number = int(episode.id.removeprefix("case-"))
        yield Decision(
            case_id=episode.id,
            position=number,
            features={"amount": float(number % 9)},
            options=OPTIONS,
            closed={},
            choice=Choice(option=OPTIONS[actions[number]], propensity=1 / 3, policy="random"),
        )

    monkeypatch.setattr(episodes, "read", read)
    monkeypatch.setattr(logs, "of_episode", of_episode)


def test_a_policy_that_would_have_earned_more_passes(monkeypatch: pytest.MonkeyPatch, policy: Path) -> None:
    record(monkeypatch, [0, 2, 0])
    done = run("claims.jsonl", "--policy", policy)
    assert done.exit_code == 0
    assert "PASS: it gains +1.4" in done.stdout
    assert "none, it only ranks" in done.stdout


def test_one_that_would_have_earned_less_fails(monkeypatch: pytest.MonkeyPatch, policy: Path) -> None:
    record(monkeypatch, [1, 0, 1])
    assert run("claims.jsonl", "--policy", policy).exit_code == 1


def test_one_that_is_no_different_is_inconclusive_unless_a_margin_allows_for_it(
    monkeypatch: pytest.MonkeyPatch, policy: Path
) -> None:
    record(monkeypatch, [1, 1, 1])
    assert run("claims.jsonl", "--policy", policy).exit_code == 3
    assert run("claims.jsonl", "--policy", policy, "--margin", "0.5").exit_code == 0


def test_cases_without_a_reward_are_left_out_and_named(monkeypatch: pytest.MonkeyPatch, policy: Path) -> None:
    record(monkeypatch, [0, 2, 0], known=1_198)
    found = json.loads(run("claims.jsonl", "--policy", policy, "--json").stdout)
    assert found["left_out"] == ["case-1198", "case-1199"]
    assert (found["support"]["cases"], found["outcome"], found["exit_code"]) == (1_198, "pass", 0)
    assert found["estimates"][2]["estimator"] == "dr"


def test_too_few_cases_refuse_with_exit_code_3(monkeypatch: pytest.MonkeyPatch, policy: Path) -> None:
    record(monkeypatch, [0, 2, 0], known=300)
    done = run("claims.jsonl", "--policy", policy)
    assert done.exit_code == 3
    assert "INCONCLUSIVE: the log tells as much as" in done.stdout


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('{"case-1": "much"}', "case 'case-1': Input should be a valid number"),
        ("", "expected {CASE: NUMBER}"),
        (None, "No such file or directory"),
    ],
)
def test_rewards_that_are_none_are_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, policy: Path, tmp_path: Path, written: str | None, told: str
) -> None:
    record(monkeypatch, [0, 2, 0])
    rewards = tmp_path / "rewards.json"
    if written is not None:
        rewards.write_text(written)
    done = run("claims.jsonl", "--policy", policy, "--rewards", rewards)
    assert done.exit_code == 2
    assert told in done.stderr and done.stderr.count("\n") == 1


def test_rewards_may_come_from_elsewhere(monkeypatch: pytest.MonkeyPatch, policy: Path, tmp_path: Path) -> None:
    record(monkeypatch, [0, 0, 0], known=0)
    assert run("claims.jsonl", "--policy", policy).exit_code == 2
    rewards = tmp_path / "rewards.json"
    rewards.write_text(json.dumps({f"case-{number}": number % 7 for number in range(1_200)}))
    done = run("claims.jsonl", "--policy", policy, "--rewards", rewards, "--json")
    assert json.loads(done.stdout)["support"]["cases"] == 1_200
    rewards.write_text("[]")
    assert run("claims.jsonl", "--policy", policy, "--rewards", rewards).exit_code == 2
