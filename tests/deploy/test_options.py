"""What holds the files for operators to the program tells what does not exist from what does."""

import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click
import pytest

from gatewright.agents.errors import UsageError
from gatewright.runtime.config import Ledger
from gatewright.runtime.store.postgresql import CONNECTIONS
from gatewright.safety.ledger.checkpoints import SigningKey

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"


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


def test_the_page_makes_a_key_that_signs() -> None:
    code = re.search(r"python -c '\n(.*?)'", PAGE.read_text("utf-8"), re.DOTALL)
    assert code is not None
    made = subprocess.run([sys.executable, "-c", code[1]], capture_output=True, text=True, timeout=60, check=True)

    assert SigningKey.load(made.stdout).verifier.name == Ledger().origin


def test_the_page_counts_the_connections_that_a_process_takes() -> None:
    assert f"up to {CONNECTIONS} connections" in " ".join(PAGE.read_text("utf-8").split())
