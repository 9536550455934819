"""What holds the files for operators to the program tells what does not exist from what does."""

from collections.abc import Callable, Mapping, Sequence

import click
import pytest

from gatewright.agents.errors import UsageError


@pytest.mark.parametrize("words", [["serves"], ["db", "down"], ["serve", "--hosts", "0.0.0.0"], ["worker", "more"]])
def test_words_that_the_program_does_not_take_are_found(
    words: list[str], takes: Callable[[Sequence[str]], None]
) -> None:
    with pytest.raises(click.UsageError):
        takes(words)


@pytest.mark.parametrize("name", ["GATEWRIGHT_WORKER__DRAINS", "GATEWRIGHT_DATABASES"])
def test_a_variable_that_sets_nothing_is_found(name: str, configures: Callable[[Mapping[str, str]], None]) -> None:
    with pytest.raises((UsageError, AssertionError)):
        configures({name: "30"})
