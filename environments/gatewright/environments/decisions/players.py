"""Players: a thread that plays cases, and stops at a decision point until somebody else has chosen.

A team's graph is ordinary code that calls `decide`; an environment wants to be stepped. So the graph works in a thread
of its own, and only one of the two is ever awake: the thread sleeps while a decision is pending, and who steps sleeps
while the graph works.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any, NamedTuple

from pydantic import BaseModel

from gatewright.agents.decisions import Choice, DecisionPoint, Policy
from gatewright.agents.errors import UsageError

from .plays import Case, Play

LEARNER = "learner"  # the policy that choices are recorded under


class Pending(NamedTuple):
    """A decision that waits to be made."""

    features: BaseModel
    open_options: Sequence[str]
    answer: SimpleQueue[str | None]


class Ended(NamedTuple):
    """A case that is over. `error`: what the team failed with."""

    error: BaseException | None


class _Abandoned(BaseException):
    """The case is given up. Not an `Exception`, so that agents that catch those do not go on."""


class Player:
    """Plays one case at a time. Its thread begins with the first case and ends with `stop`."""

    def __init__(self, point: DecisionPoint[Any], play: Play) -> None:
        self._point = point
        self._play = play
        self._cases: SimpleQueue[Case | None] = SimpleQueue()
        self._news: SimpleQueue[Pending | Ended] = SimpleQueue()
        self._pending: Pending | None = None
        self._playing = False
        self._thread: threading.Thread | None = None
        self._abandoned = False
        self._one_by_one = threading.Lock()  # decisions of parallel steps

    def begin(self, case: Case) -> Pending | Ended:
        """Give up the case that is being played, and play this one up to its first decision."""
        self.abandon()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"player of {self._point.name}", daemon=True)
            self._thread.start()
        self._abandoned = False
        case.policies = {**case.policies, self._point.name: self}
        self._playing = True
        self._cases.put(case)
        return self._next()

    def choose(self, option: str) -> Pending | Ended:
        """Make the decision that is pending, and play on to the next one.

        Raises:
            UsageError: none is pending.
        """
        if self._pending is None:
            raise UsageError("no decision is pending; begin a case")
        self._pending.answer.put(option)
        return self._next()

    def abandon(self) -> None:
        """Give up the case that is being played; returns when the team does nothing more."""
        self._abandoned = True
        while self._playing:
            if self._pending is not None:
                self._pending.answer.put(None)
            self._next()

    def stop(self) -> None:
        """Give up the case, and end the thread."""
        self.abandon()
        if self._thread is not None:
            self._cases.put(None)
            self._thread.join()
            self._thread = None

    def _next(self) -> Pending | Ended:
        self._pending = None
        news = self._news.get()
        self._pending = news if isinstance(news, Pending) else None
        self._playing = self._pending is not None
        return news

    # In the player's thread, or in those that the graph's parallel steps run in

    def at(self, point: DecisionPoint[Any]) -> Policy[Any]:
        """Whoever steps, as the policy of `point`.

        Raises:
            UsageError: the team has another decision point under this name.
        """
        if point.options != self._point.options or point.features is not self._point.features:
            raise UsageError(
                f"the team's decision point {point.name!r} has the options {list(point.options)} and the features "
                f"{point.features.__name__}; the environment was made for {list(self._point.options)} and "
                f"{self._point.features.__name__}"
            )
        return self._decide

    def _decide(self, features: BaseModel, open_options: Sequence[str]) -> Choice:
        with self._one_by_one:
            if self._abandoned:
                raise _Abandoned
            pending = Pending(features, open_options, SimpleQueue())
            self._news.put(pending)
            option = pending.answer.get()
        if option is None:
            raise _Abandoned
        return Choice(option=option, policy=LEARNER)

    def _work(self) -> None:
        while (case := self._cases.get()) is not None:
            try:
                self._play(case)
                ended = Ended(None)
            except BaseException as error:  # told to whoever steps
                ended = Ended(error)
            self._news.put(ended)
