"""JSON on the command line."""

import io
from pathlib import Path

import click
import pytest

from gatewright.runtime.cli.inputs import JSONText


def convert(text: str) -> object:
    return JSONText().convert(text, None, None)


def test_json_is_taken_as_it_is_written() -> None:
    assert convert('{"a": [1, null]}') == {"a": [1, None]}


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text('"ä"', "utf-8")

    assert convert(f"@{tmp_path / 'input.json'}") == "ä"


def test_a_dash_reads_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("[1]"))

    assert convert("-") == [1]


@pytest.mark.parametrize(("text", "said"), [("yes", "a text needs quotes"), ("@/nowhere.json", "cannot read")])
def test_what_is_not_json_is_told_with_the_remedy(text: str, said: str) -> None:
    with pytest.raises(click.BadParameter, match=said):
        convert(text)
