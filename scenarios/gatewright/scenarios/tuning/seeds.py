"""Seeds: which cases are learnt from, compared on while searching, and held out. No two of these overlap, by number."""

from __future__ import annotations

from typing import Literal

from gatewright.agents.errors import UsageError

Purpose = Literal["logged", "learning", "validation", "held-out"]
"""`logged`: cases that the rules have worked on · `learning`: of one training · `validation`: settings are compared on
them · `held-out`: seen by nothing that chooses."""

PURPOSES: tuple[Purpose, ...] = ("logged", "learning", "validation", "held-out")
MOST_COPIES = 2**14  # seeds of one training
MOST_TRAININGS = 2**10
LARGEST = 2**20 - 1  # of the seed that the user gives


def worlds(seed: int, purpose: Purpose, number: int = 0) -> int:
    """The first of `MOST_COPIES` seeds of simulated worlds, for the training `number`.

    Raises:
        UsageError: the seed, or the number, is beyond what is told apart.
    """
    if not 0 <= seed <= LARGEST:
        raise UsageError(f"the seed {seed!r} must be from 0 to {LARGEST}")
    if not 0 <= number < MOST_TRAININGS:
        raise UsageError(f"training {number} is beyond the {MOST_TRAININGS} of one seed; search with fewer seeds")
    return ((PURPOSES.index(purpose) * (LARGEST + 1) + seed) * MOST_TRAININGS + number) * MOST_COPIES
