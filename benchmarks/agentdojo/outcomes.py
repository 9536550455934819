"""What came of a round of episodes, in numbers and by task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from . import attackers
from .episodes import Episode
from .suites import Pair

Review = Literal["none", "refusing", "correct"]
"""`none`: no rules at all · `refusing`: with rules, and whatever they ask is refused · `correct`: with rules, and a
reviewer who approves exactly the calls of the user's own task."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """A set of episodes under one condition. `template` and `structured`: see `episodes.episode`."""

    name: str
    review: Review
    pairs: tuple[Pair, ...]
    template: str = attackers.OFFICIAL
    structured: bool = False


class Asked(NamedTuple):
    """A question of the rules. `own`: about a call of the user's own task."""

    tool: str
    rules: tuple[str, ...]
    own: bool


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one episode.

    `useful` and `reached` are AgentDojo's verdicts on user and attacker. `complete`: every call of the user's task was
    performed. `leaked`: the attacker's calls that changed the environment. `bitten`: the agent read the injected text.
    """

    pair: Pair
    useful: bool
    reached: bool
    complete: bool
    bitten: bool
    asked: tuple[Asked, ...]
    leaked: tuple[str, ...]
    problem: str

    @classmethod
    def of(cls, episode: Episode) -> Outcome:
        """The outcome of an episode that was held."""
        return cls(
            pair=episode.pair,
            useful=episode.useful,
            reached=episode.reached,
            complete=all(episode.hostile(position) for position in episode.refused),
            bitten=episode.bitten is not None,
            asked=tuple(Asked(ask.call.name, ask.rules, ask.own) for ask in episode.asks),
            leaked=tuple(call.name for call in episode.leaked),
            problem=episode.problem,
        )


def share(outcomes: Sequence[Outcome], what: Callable[[Outcome], object]) -> float:
    """How many of the outcomes something is true of, in percent; NaN of none."""
    return 100 * sum(bool(what(outcome)) for outcome in outcomes) / len(outcomes) if outcomes else float("nan")


def of_suite(outcomes: Sequence[Outcome], suite: str) -> list[Outcome]:
    """The outcomes of one suite."""
    return [outcome for outcome in outcomes if outcome.pair.suite == suite]
