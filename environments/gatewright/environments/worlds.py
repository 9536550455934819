"""Simulated worlds: what a team can be tried in, with cases that begin anew, a state to compare, a clock and users."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol, runtime_checkable

from gatewright.agents import Conversation
from gatewright.agents.worlds import World


class User(Protocol):
    """Who talks to the team in one case: a customer, recorded or simulated."""

    def answer(self, reply: str | None) -> str | None:
        """What the user says to the team's `reply`; None when there is nothing more to say.

        The first word is the answer to None.
        """
        ...


@runtime_checkable
class SimulatedWorld(World, Protocol):
    """A world whose cases are set up, looked at and thrown away. Cases never see each other."""

    def reset(self, case_id: str, seed: int) -> None:
        """Make the case as if nothing had happened in it.

        Whatever the world draws for the case from then on comes from `seed` alone; a world without chance ignores it.
        """
        ...

    def digest(self, case_id: str) -> str:
        """SHA-256 (hex) of the case's state: equal for two cases on one data set exactly if their states are.

        Taken over the rows that the case changed (`gatewright.environments.rows.digest`); no others are read.
        """
        ...

    def now(self, case_id: str) -> datetime:
        """The time in the case, on its own clock; timezone-aware."""
        ...

    def user(self, conversation: Conversation, seed: int) -> User:
        """Who holds the user's side of `conversation`; draws of a simulated one come from `seed` alone."""
        ...


@runtime_checkable
class Generator(Protocol):
    """A world that draws cases of its own."""

    def generate(self, seed: int, *, first: int, count: int) -> list[Conversation]:
        """The conversations of the seed from the number `first` on; each is the same whichever others are drawn."""
        ...


class RecordedUser:
    """Says what was recorded, in its order, whatever the team replies."""

    def __init__(self, conversation: Conversation) -> None:
        self._words: Iterator[str] = iter(conversation.customer)

    def answer(self, reply: str | None) -> str | None:
        return next(self._words, None)
