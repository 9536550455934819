"""What agents write cannot rewrite, reorder or hide what people read."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest

from gatewright.runtime import display
from gatewright.runtime.cli import desk
from gatewright.runtime.notices import messages

TURNING = [
    letter
    for letter in map(chr, range(0x110000))
    if unicodedata.bidirectional(letter) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
]


@pytest.mark.parametrize("clean", [display.clean, desk.clean, messages.line])
@pytest.mark.parametrize("hidden", [*"\x00\x07\x1b\x7f\x9b\u200b\u200e\u061c\u2060\ufeff\u00ad\U000e0041"])
def test_what_misleads_is_not_shown_as_it_is(clean: Callable[[str], str], hidden: str) -> None:
    assert hidden not in clean(f"pay {hidden}100")


def test_every_character_that_turns_text_around_is_among_them() -> None:
    assert len(TURNING) == 9
    assert display.clean("".join(TURNING)) == "�" * 9


@pytest.mark.parametrize("text", ["naïve", "a\tb\nc", "می‌خواهم", "👩‍💻", "שלום", "12.50 €"])
def test_text_of_all_languages_stays_as_it_is(text: str) -> None:
    assert display.clean(text) == text
