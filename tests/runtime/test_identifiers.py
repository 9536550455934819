"""Names are unique, ordered and, where derived, always the same."""

import re
import time

from gatewright.runtime import identifiers


def test_new_names_differ() -> None:
    assert len({identifiers.new("run") for _ in range(10_000)}) == 10_000


def test_new_names_sort_by_the_time_they_were_made() -> None:
    first = identifiers.new("run")
    made = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == made:
        pass
    assert first < identifiers.new("run")


def test_a_derived_name_follows_from_all_its_parts() -> None:
    assert identifiers.derived("run", "a", "b") == identifiers.derived("run", "a", "b")
    assert len({identifiers.derived("run", *parts) for parts in (["a", "b"], ["ab"], ["b", "a"], ["a"])}) == 4


def test_names_have_no_letters_that_are_mistaken_for_digits() -> None:
    for name in (identifiers.new("x"), identifiers.derived("x", "y")):
        assert re.fullmatch(r"x-[0-9a-hjkmnp-tv-z]{20}", name), name
