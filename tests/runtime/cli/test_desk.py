"""Output: results on stdout, words on stderr, and nobody's data in command of the terminal."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.runtime.cli.desk import Desk, aligned, clean, facts, progress_bar


@given(st.text())
def test_no_control_character_reaches_the_terminal(text: str) -> None:
    assert all(character in "\t\n" or character.isprintable() or ord(character) > 0x9F for character in clean(text))


def test_escape_sequences_in_data_are_shown_and_not_obeyed() -> None:
    assert clean("\x1b[2Jgone") == "�[2Jgone"


@given(st.lists(st.lists(st.text(alphabet="ab c", max_size=9), min_size=3, max_size=3), min_size=1, max_size=5))
def test_a_plain_table_has_a_line_for_each_row_and_whole_values(rows: list[list[str]]) -> None:
    lines = aligned(("one", "two", "three"), rows).split("\n")

    assert len(lines) == len(rows) + 1
    for row, line in zip(rows, lines[1:], strict=True):
        assert all(" ".join(value.split()) in line for value in row)


def test_facts_leave_out_what_is_not_known() -> None:
    assert facts({"id": "r1", "error": None, "status": "failed"}) == "id      r1\nstatus  failed"


def test_json_mode_prints_the_value_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk(as_json=True)

    desk.table([{"id": "ä"}], ("id",), [("ä",)], empty="nothing")
    desk.table([], ("id",), [], empty="nothing")

    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [[{"id": "ä"}], []]


def test_an_empty_table_is_said_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    Desk().table([], ("id",), [], empty="nothing here")

    assert capsys.readouterr() == ("", "nothing here\n")


def test_data_is_not_read_as_markup_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")

    Desk().table([], ("id", "reason"), [("r1", "[red]not markup[/red]")], empty="")

    assert "[red]not markup[/red]" in capsys.readouterr().out


def test_progress_without_a_terminal_is_a_line_at_every_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(Desk(), 40) as step:
        for _ in range(40):
            step(1)

    assert capsys.readouterr().err.splitlines() == [f"{n} of 40" for n in range(4, 41, 4)]
