"""Words for people."""

from __future__ import annotations

from gatewright.agents.wording import counted


def test_one_of_something_has_no_plural() -> None:
    assert [counted(number, "case") for number in (0, 1, 2)] == ["0 cases", "1 case", "2 cases"]
