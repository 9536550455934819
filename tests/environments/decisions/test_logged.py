from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gatewright.agents import Choice
from gatewright.agents.claims import TRIAGE
from gatewright.agents.errors import UsageError
from gatewright.environments.decisions.checker import check
from gatewright.environments.decisions.logged import LoggedEnv
from gatewright.environments.decisions.logs import Decision, Log, of_episode, of_records
from gatewright.runtime import episodes
from gatewright.runtime.config import Config, Deployment
from gatewright.runtime.service import Service
from gatewright.runtime.store import database

from .desk import SORT


def decision(case: str, option: str, propensity: float = 0.5, **changes: Any) -> Decision:
    facts: dict[str, Any] = {
        "case_id": case,
        "position": 3,
        "features": {"weight": 0.5, "kind": "bill"},
        "options": ["keep", "burn", "frame"],
        "closed": {"frame": "bills are not framed"},
        "choice": Choice(option=option, propensity=propensity, policy="keeps@1"),
    }
    return Decision(**(facts | changes))


def log(*options: str) -> Log:
    rows = [decision(f"case-{at}", option) for at, option in enumerate(options)]
    return Log.of(SORT, rows, {row.case_id: float(at + 1) for at, row in enumerate(rows)})


def test_decisions_become_arrays() -> None:
    found = log("keep", "burn")
    assert len(found) == 2
    assert found.observations.tolist() == [[0.0, 1.0, 0.0]] * 2
    assert found.opened.tolist() == [[True, True, False]] * 2
    assert found.actions.tolist() == [0, 1]
    assert found.propensities.tolist() == [0.5, 0.5]
    assert found.rewards.tolist() == [1.0, 2.0]


def test_the_last_decision_of_a_case_has_its_reward() -> None:
    rows = [decision("a", "keep"), decision("b", "keep"), decision("a", "burn")]
    assert Log.of(SORT, rows, {"a": 5.0, "b": 7.0}).rewards.tolist() == [0.0, 7.0, 5.0]


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([], "no decisions at 'sort' on record"),
        ([decision("a", "keep", options=["keep", "burn"])], "take only records since the options were changed"),
        ([decision("a", "frame")], "chose 'frame', which was not open"),
        ([decision("a", "keep", 0.0)], "has the propensity 0.0"),
        ([decision("b", "keep")], "the reward of case 'b' is not known"),
    ],
)
def test_decisions_that_cannot_be_learnt_from_are_refused(rows: Sequence[Decision], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Log.of(SORT, rows, {"a": 1.0})


def test_the_mean_reward_is_the_inverse_propensity_estimate() -> None:
    found = log("keep", "burn", "keep", "burn")
    env = LoggedEnv(found)
    rewards: list[float] = []
    for at in range(len(found)):
        env.reset(seed=4 if at == 0 else None)
        rewards.append(env.step(np.int64(0))[1])
    matched = found.actions == 0
    assert np.mean(rewards) == pytest.approx(np.mean(matched * found.rewards / found.propensities))
    assert sorted(rewards) == [0.0, 0.0, 2.0, 6.0]  # each decision once


def test_a_closed_option_is_refused() -> None:
    env = LoggedEnv(log("keep"))
    env.reset(seed=1)
    _, reward, ended, _, info = env.step(np.int64(2))
    assert (reward, ended, info["refused"]) == (-1.0, True, True)


def test_the_checker_has_no_findings() -> None:
    found = log("keep", "burn", "keep", "burn", "burn")
    assert check(lambda: LoggedEnv(found), steps=30) == []


async def test_decisions_are_read_from_the_ledger_and_from_episodes(tmp_path: Path) -> None:
    """Of the real claims team, whose rules explore."""
    batch = tmp_path / "batch.json"
    batch.write_text(json.dumps({"seed": 5, "claims": 3}))
    deployment = Deployment.model_validate({"team": "claims", "policies": {"triage": {"explore": 0.2}}})
    async with await Service.open(Config(data_dir=tmp_path / "data", deployments={"claims": deployment})) as service:
        rewards: dict[str, float] = {}
        for talk in await service.conversations("claims", batch):
            given = {"messages": [{"role": "user", "content": talk.customer[0]}]}
            thread = await service.create_thread("claims", settings=talk.settings)
            run = await service.start_run("claims", given, thread_id=thread.id)
            await service.wait(run.id, timeout=30)
            rewards[run.case_id] = await service.score("claims", talk, run.case_id, [])
        records = await service.records(kind="effect", limit=1000)
    found = list(of_records(records, "triage"))
    assert [row.case_id for row in found] == list(rewards)
    engine = database.of("", tmp_path / "data").connect()
    with engine.connect() as connection:
        read = [row for case in rewards for row in of_episode(episodes.read(connection, case), "triage")]
    engine.dispose()
    assert read == found
    together = Log.of(TRIAGE, found, rewards)
    assert together.rewards.tolist() == list(rewards.values())
    assert set(together.policies) == {"desk-rules@1+explore=0.2"}
    explored = 0.2 / together.opened.sum(axis=1)
    assert all(min(abs(p - e), abs(p - (0.8 + e))) < 1e-9 for p, e in zip(together.propensities, explored, strict=True))
