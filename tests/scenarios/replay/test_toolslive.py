from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.agents.errors import UsageError
from gatewright.scenarios.replay.toolslive import Divergence, Replay, Report, pass_to_the, replay, turned

Change = Callable[[list[dict[str, Any]]], None]
TRIALS = st.dictionaries(
    st.text(max_size=3), st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=6), min_size=1, max_size=6
)


def changed(path: Path, change: Change) -> Report:
    """The replay of a file's episodes after `change`."""
    episodes = json.loads(path.read_text())
    change(episodes)
    path.write_text(json.dumps(episodes))
    return replay(path).report


def kinds(report: Report) -> list[tuple[str, str]]:
    return [(each.episode, each.kind) for each in report.diverged]


@pytest.mark.parametrize(
    ("file", "calls", "episodes", "pass_k"),
    [
        ("taubench/airline/episodes-gpt-4o.json", 577, 100, [0.49, 0.386667, 0.34, 0.32]),
        ("tau2/retail/episodes-base_retail.json", 147, 20, [0.8]),
        ("tau2/retail/episodes-sft_retail.json", 138, 20, [0.85]),
    ],
)
def test_recorded_episodes_come_out_as_recorded(
    shared: Path, file: str, calls: int, episodes: int, pass_k: list[float]
) -> None:
    report = replay(shared / file).report
    assert (report.tool_results.equal, report.tool_results.total) == (calls, calls)
    assert (report.rewards.equal, report.rewards.total, report.episodes) == (episodes, episodes, episodes)
    assert list(report.pass_k) == [str(k + 1) for k in range(len(pass_k))]
    assert list(report.pass_k.values()) == pytest.approx(pass_k, abs=1e-6)
    assert report.diverged == []


def test_the_small_airlines_conversations_come_out_as_recorded(small: Path) -> None:
    report = replay(small).report
    assert (report.episodes, report.rewards.equal, report.diverged) == (9, 9, [])
    assert report.tool_results.equal == report.tool_results.total > 20


def test_a_renamed_field_of_the_data_lists_exactly_the_calls_that_show_it(small: Path) -> None:
    users = small.with_name("users.json")
    users.write_text(users.read_text().replace('"email":', '"mail":'))
    shown = [
        (f"airline-{episode['task_id']}-{episode['trial']}", message["name"])
        for episode in json.loads(small.read_text())
        for message in episode["traj"]
        if message["role"] == "tool" and '"email"' in message["content"]
    ]
    report = replay(small).report
    assert [(each.episode, each.tool) for each in report.diverged] == shown != []
    assert report.tool_results.total - report.tool_results.equal == len(shown)
    assert '"mail":' in report.diverged[0].actual


def test_a_result_that_was_not_the_tools_is_named_with_its_call(small: Path) -> None:
    def forge(episodes: list[dict[str, Any]]) -> None:
        first = next(message for message in episodes[0]["traj"] if message["role"] == "tool")
        first["content"] = "forged"

    [divergence] = changed(small, forge).diverged
    assert (divergence.episode, divergence.call, divergence.kind) == ("airline-1-0", 0, "tool_result")
    assert (divergence.tool, divergence.args) == ("get_user_details", {"user_id": "hugo_brandt_1008"})
    assert divergence.recorded == "forged" and "Brandt" in divergence.actual


def test_a_reward_that_was_not_earned_is_refuted(small: Path) -> None:
    def forge(episodes: list[dict[str, Any]]) -> None:
        episodes[0]["reward"] = 0.0

    [divergence] = changed(small, forge).diverged
    assert (divergence.kind, divergence.recorded, divergence.actual) == ("reward", 0.0, 1.0)


def test_an_episode_of_other_customers_than_its_tasks_is_refuted_and_names_them(small: Path) -> None:
    def swap(episodes: list[dict[str, Any]]) -> None:
        episodes[0]["info"], episodes[1]["info"] = episodes[1]["info"], episodes[0]["info"]

    named = [each for each in changed(small, swap).diverged if each.kind == "task"]
    assert [each.episode for each in named] == ["airline-1-0", "airline-2-0"]
    assert named[0].recorded == ["hugo_brandt_1008"] == named[1].actual


def test_a_reward_that_was_graded_beside_other_actions_is_refuted(small: Path) -> None:
    def regrade(episodes: list[dict[str, Any]]) -> None:
        action = {"name": "cancel_reservation", "kwargs": {"reservation_id": "GWR001"}}
        episodes[0]["info"]["reward_info"] = {"reward": 1.0, "actions": [action]}

    [divergence] = changed(small, regrade).diverged
    assert (divergence.kind, divergence.recorded, divergence.actual) == (
        "task",
        ["cancel_reservation"],
        ["book_reservation"],
    )


def test_a_trial_with_another_tasks_id_is_refuted_and_names_the_other(small: Path) -> None:
    def relabel(episodes: list[dict[str, Any]]) -> None:
        again = [json.loads(json.dumps(episodes[0])) | {"trial": trial} for trial in (1, 2)]
        again[0]["task_id"] = 2
        episodes.extend(again)

    report = changed(small, relabel)
    assert kinds(report) == [("airline-2-1", "task")]
    assert report.diverged[0].actual == "the task of '1'"


def test_an_episode_that_broke_off_is_worth_nothing_and_no_divergence(small: Path) -> None:
    def break_off(episodes: list[dict[str, Any]]) -> None:
        episodes.append({"task_id": 1, "trial": 1, "reward": 0.0, "info": {"error": "time-out"}, "traj": []})
        cut = json.loads(json.dumps(episodes[1])) | {"trial": 1, "reward": 0.0}
        cut["traj"] = cut["traj"][:5]  # the last is a call that nobody answered
        cut["info"]["reward_info"] = None
        episodes.append(cut)

    report = changed(small, break_off)
    assert (report.diverged, report.rewards.equal, report.episodes) == ([], 11, 11)


def test_an_episode_whose_task_the_file_does_not_hold_is_named(shared: Path, tmp_path: Path) -> None:
    results = json.loads((shared / "tau2/retail/episodes-base_retail.json").read_text())
    first = results["simulations"][0]["task_id"]
    results["tasks"] = [task for task in results["tasks"] if task["id"] != first]
    path = tmp_path / "episodes.json"
    path.write_text(json.dumps(results))
    report = replay(path, shared / "tau2/retail").report
    assert kinds(report) == [(f"retail-{first}-0", "task")]
    assert (report.rewards.equal, report.rewards.total) == (19, 20)


def test_retail_episodes_attached_to_wrong_tasks_are_all_refuted(shared: Path, tmp_path: Path) -> None:
    results = json.loads((shared / "tau2/retail/episodes-base_retail.json").read_text())
    ids = [simulation["task_id"] for simulation in results["simulations"]]
    for simulation, other in zip(results["simulations"], [*ids[1:], ids[0]], strict=True):
        simulation["task_id"] = other
    path = tmp_path / "episodes.json"
    path.write_text(json.dumps(results))
    report = replay(path, shared / "tau2/retail").report
    assert len({each.episode for each in report.diverged}) == 20
    assert report.tool_results.equal == report.tool_results.total
    assert report.rewards.equal == 4


def test_without_a_data_set_the_remedy_is_said(small: Path) -> None:
    small.with_name("flights.json").unlink()
    with pytest.raises(UsageError, match=r"no flights.json beside .* --data"):
        replay(small)


def test_tasks_that_a_candidate_turned_are_named(shared: Path) -> None:
    base, candidate = (replay(shared / f"tau2/retail/episodes-{name}_retail.json") for name in ("base", "sft"))
    found = turned(base, candidate)
    assert (found.fixed, found.broken) == (["55", "62", "79", "101"], ["18", "27", "33"])
    assert found.unpaired == []


@given(TRIALS)
def test_pass_1_is_the_mean_over_tasks_and_more_trials_are_never_easier(rewards: dict[str, list[float]]) -> None:
    found = pass_to_the(rewards)
    shares = [sum(trials) / len(trials) for trials in rewards.values()]
    assert found["1"] == pytest.approx(sum(shares) / len(shares))
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert len(found) == min(map(len, rewards.values()))


def test_pass_k_counts_the_ways_to_choose_k_successes() -> None:
    found = pass_to_the({"a": [1.0, 1.0, 0.0, 1.0], "b": [0.0, 0.0, 0.0, 1.0, 1.0]})
    assert found["2"] == pytest.approx((math.comb(3, 2) / math.comb(4, 2) + math.comb(2, 2) / math.comb(5, 2)) / 2)
    assert list(found) == ["1", "2", "3", "4"]


def test_no_episodes_have_no_pass_k() -> None:
    assert pass_to_the({}) == {}


def test_a_divergence_of_a_task_says_no_call() -> None:
    divergence = Divergence(episode="e", task="t", trial=0, kind="task", recorded=[], actual="x")
    assert "call" not in divergence.model_dump(exclude_none=True)


def test_files_of_different_worlds_are_not_compared() -> None:
    one, other = (Replay(world=name, report=Report(), rewards={"1": [1.0]}) for name in ("airline", "retail"))
    with pytest.raises(
        UsageError, match="the world 'airline', the second of 'retail'; name a baseline and a candidate"
    ):
        turned(one, other)
