from __future__ import annotations

import math
from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.scenarios.gate.tables import side

from gatewright.agents.errors import NotFoundError, UsageError
from gatewright.scenarios.gate import Trial, read, table, write

HEADER = '{"format": "gatewright.trials", "version": 1, "name": "base"}'
GOOD = '{"case": "a", "trial": 0, "success": true}'


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_a_table_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    given = side({"a": "10?", "ü|<b>": "0"}, cost=0.0, tags=("x",), group="g", severity="block", note="n")
    write(tmp_path / "a.jsonl", given)
    assert read(tmp_path / "a.jsonl") == given


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"case": "a", "trial": 1, "reward": NaN}', "line 3: reward: "),
        ('{"case": "a", "trial": 1, "cost": Infinity}', "line 3: cost: "),
        ('{"case": "a", "trial": 1, "cost": -1}', "line 3: cost: "),
        ('{"case": "a", "trial": 1, "costs": 1}', "line 3: costs: "),
        ('{"case": "a"', "line 3: "),
        ("[]", "line 3: "),
        (GOOD, "line 3: trial 0 of case 'a' is in line 2 already"),
    ],
)
def test_a_line_that_is_no_trial_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = written(tmp_path / "bad.jsonl", HEADER, GOOD, line)
    with pytest.raises(UsageError) as caught:
        read(path)
    assert said in str(caught.value) and "bad.jsonl" in str(caught.value)


def test_a_file_without_trials_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no trials"):
        read(written(tmp_path / "empty.jsonl", HEADER, ""))


def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"version: .*first line must be"):
        read(written(tmp_path / "later.jsonl", HEADER.replace("1", "2"), GOOD))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"absent\.jsonl"):
        read(tmp_path / "absent.jsonl")


@pytest.mark.parametrize("content", ["", "nothing", "{}", '[{"task_id": 1}]', '{"simulations": 3}', "\x00\xff"])
def test_a_file_of_something_else_is_named_with_what_there_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError, match=r"other\.json.*gatewright\.trials"):
        read(path)


@pytest.mark.parametrize("name", ["reward", "cost", "latency", "human_load"])
def test_what_is_not_a_number_is_no_value(name: str) -> None:
    with pytest.raises(ValidationError):
        Trial.model_validate({"case": "a", "trial": 0, name: math.nan})


def test_a_trial_that_is_there_twice_is_refused() -> None:
    trial = Trial(case="a", trial=0)
    with pytest.raises(UsageError, match="trial 0 of case 'a' twice"):
        table("base", [trial, trial])


def test_no_trials_are_no_table() -> None:
    with pytest.raises(UsageError, match="holds no trials"):
        table("base", [])
