from __future__ import annotations

import gzip
import json
from pathlib import Path

from click.testing import CliRunner, Result

from gatewright.runtime.cli import main

LIVE = ("--mode", "tools-live")


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, ["scenario", "replay", *map(str, args)], catch_exceptions=False)


def test_a_replay_that_comes_out_as_recorded_passes(small: Path) -> None:
    result = run(small, *LIVE, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert list(found) == ["episodes", "tool_results", "rewards", "pass_k", "diverged", "seconds"]
    assert found["rewards"] == {"equal": 9, "total": 9}
    assert (found["pass_k"], found["diverged"]) == ({"1": 1.0}, [])


def test_a_replay_that_differs_fails_and_shows_both_texts(small: Path) -> None:
    users = small.with_name("users.json")
    users.write_text(users.read_text().replace('"email":', '"mail":'))
    result = run(small, *LIVE)
    assert result.exit_code == 1
    assert "airline-1-0  answered otherwise: call 0, get_user_details(" in result.stdout
    recorded, actual, *_ = (line for line in result.stdout.splitlines() if line.startswith(("  recorded", "  actual")))
    assert '"email":' in recorded and '"mail":' in actual


def test_the_data_may_be_elsewhere(small: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.json"
    small.rename(moved)
    assert run(moved, *LIVE).exit_code == 2
    assert run(moved, *LIVE, "--data", small.parent).exit_code == 0


def test_two_files_name_the_tasks_that_were_fixed_and_broken(small: Path) -> None:
    episodes = json.loads(small.read_text())
    said = [message for message in episodes[0]["traj"] if message["role"] != "tool" and not message.get("tool_calls")]
    episodes[0] |= {"reward": 0.0, "traj": said}
    candidate = small.with_name("candidate.json")
    candidate.write_text(json.dumps(episodes[:-1]))
    result = run(small, candidate, *LIVE, "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["fixed"], found["broken"], found["unpaired"]) == (0, [], ["1"], ["9"])
    assert (found["baseline"]["episodes"], found["candidate"]["episodes"]) == (9, 8)
    assert "broken  1: 1" in run(small, candidate, *LIVE).stdout


def test_a_file_without_episodes_is_not_taken_for_one_that_passes(small: Path) -> None:
    small.write_text("[]")
    assert run(small, *LIVE).exit_code == 3


def test_a_folder_without_the_data_set_is_named(small: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    result = run(small, *LIVE, "--data", elsewhere)
    assert result.exit_code == 2
    assert f"there is no flights.json in {str(elsewhere)!r}" in result.stderr


def test_a_compressed_file_is_told_from_one_that_is_torn(small: Path) -> None:
    small.write_bytes(gzip.compress(small.read_bytes()))
    result = run(small, *LIVE)
    assert result.exit_code == 2
    assert "is compressed" in result.stderr and "--mode strict or counterfactual" in result.stderr


def test_a_third_file_is_refused(small: Path) -> None:
    result = run(small, small, small, *LIVE)
    assert result.exit_code == 2
    assert "one, or a baseline and a candidate" in result.stderr
