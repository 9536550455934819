from __future__ import annotations

from pathlib import Path

import pytest

from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.scenarios.gate import trials
from gatewright.scenarios.gate.trials import Header, Trial
from gatewright.scenarios.suites.results import ResultFile


def header(suite: str = "s", release: str = "r") -> Header:
    return Header(name="base", about={"suite": suite, "release": release})


def row(case: str, number: int = 0) -> Trial:
    return Trial(case=case, trial=number, success=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "base.jsonl"


def test_a_file_that_was_broken_off_is_gone_on_with_and_loses_a_torn_line(path: Path) -> None:
    with ResultFile(path, header()) as file:
        file.add(row("a"))
    whole = path.read_bytes()
    path.write_bytes(whole + row("b").line().encode()[:-9])
    with ResultFile(path, header()) as file:
        assert file.done == [row("a")]
        assert path.read_bytes() == whole
        file.add(row("b"))
    assert trials.read(path).trials == (row("a"), row("b"))


def test_a_file_may_be_torn_in_its_first_line_or_hold_no_more_than_that(path: Path) -> None:
    with ResultFile(path, header()):
        pass
    line = path.read_bytes()
    path.write_bytes(line[:-5])
    with ResultFile(path, header()) as file:
        assert file.done == []
    assert path.read_bytes() == line
    with ResultFile(path, header()) as file:
        assert file.done == []


@pytest.mark.parametrize("other", [header(suite="t"), header(release="q")])
def test_trials_of_another_suite_or_release_are_not_mixed_in(path: Path, other: Header) -> None:
    with ResultFile(path, header()) as file:
        file.add(row("a"))
    with pytest.raises(UsageError, match="holds trials of another (suite|release)"):
        ResultFile(path, other)


def test_a_file_with_something_else_is_left_as_it_is(path: Path) -> None:
    path.write_text("what I wrote\nand have not finished")
    with pytest.raises(UsageError, match="holds no trials, and nothing was changed in it"):
        ResultFile(path, header())
    assert path.read_text() == "what I wrote\nand have not finished"


def test_one_process_writes_at_a_time(path: Path) -> None:
    with ResultFile(path, header()), pytest.raises(UnavailableError, match="another process writes trials"):
        ResultFile(path, header())


def test_a_finished_file_is_in_the_order_of_the_suite(path: Path) -> None:
    with ResultFile(path, header()) as file:
        for one in (row("b", 1), row("a", 1), row("b"), row("a")):
            file.add(one)
        table = file.finish(["a", "b"])
    assert [(each.case, each.trial) for each in table.trials] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert trials.read(path) == table
