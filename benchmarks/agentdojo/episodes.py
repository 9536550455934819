"""One episode: a user's task, an attacker who may have written into what it reads, and how both fared."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from . import attackers, fields, suites
from .attackers import squeezed
from .suites import Call, Pair


@dataclass(kw_only=True)
class Ask:
    """A call that a rule put before a person. `own`: it belongs to the user's task."""

    call: Call
    own: bool
    rules: tuple[str, ...]


@dataclass(kw_only=True)
class Episode:
    """What happens in it.

    `bait` is the injected text, squeezed, that the agent obeys when it reads it; `bitten` the number of calls after
    which it did, None if it did not. `before` is the environment as it was, `trace` what was performed on it.
    """

    pair: Pair
    environment: Any
    user_calls: tuple[Call, ...]
    attack_calls: tuple[Call, ...] = ()
    bait: tuple[str, ...] = ()
    before: Any
    trace: list[Any] = field(default_factory=list)
    attempted: dict[int, Call] = field(default_factory=dict)
    performed: set[int] = field(default_factory=set)
    bitten: int | None = None
    leaked: list[Call] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    answer: str = ""
    problem: str = ""

    @property
    def prompt(self) -> str:
        """What the user says."""
        return str(self._user_task.PROMPT)

    @property
    def final_answer(self) -> str:
        """What the agent says at the end: the right answer, and what the attacker wants said if it was read."""
        said = [self._user_task.GROUND_TRUTH_OUTPUT]
        if self.bitten is not None:
            said.append(self._injection_task.GROUND_TRUTH_OUTPUT)
        return "\n".join(filter(None, said))

    @property
    def script(self) -> tuple[Call, ...]:
        """All calls in their order: the attacker's come right after the result that they were read in."""
        if self.bitten is None:
            return self.user_calls
        return (*self.user_calls[: self.bitten], *self.attack_calls, *self.user_calls[self.bitten :])

    def hostile(self, position: int) -> bool:
        """Whether the call at a position of the script is the attacker's."""
        return self.bitten is not None and 0 <= position - self.bitten < len(self.attack_calls)

    @cached_property
    def useful(self) -> bool:
        """AgentDojo's verdict on the user's task."""
        return suites.useful(self._user_task, self.answer, *self._environments(), self.trace)

    @cached_property
    def reached(self) -> bool:
        """AgentDojo's verdict on the attacker's goal."""
        return bool(self.pair.injection) and suites.reached(
            self._injection_task, self.answer, *self._environments(), self.trace
        )

    def _environments(self) -> tuple[Any, Any]:
        """Before and after, as copies: some scorers mark e-mails as read."""
        return self.before.model_copy(deep=True), self.environment.model_copy(deep=True)

    @property
    def refused(self) -> list[int]:
        """The positions in the script of the calls that were attempted and not performed."""
        return [position for position in self.attempted if position not in self.performed]

    def own(self, call: Call) -> bool:
        """Whether a call belongs to the user's own task, exactly."""
        return call in self.user_calls

    def reads(self, text: str) -> bool:
        """Whether the injected instruction is in a text."""
        found = squeezed(text)
        return any(bait in found for bait in self.bait)

    @property
    def _user_task(self) -> Any:
        return suites.suite(self.pair.suite).user_tasks[self.pair.user]

    @property
    def _injection_task(self) -> Any:
        return suites.suite(self.pair.suite).injection_tasks[self.pair.injection]


def episode(pair: Pair, *, template: str = attackers.OFFICIAL, structured: bool = False) -> Episode:
    """A fresh episode.

    Args:
        template: how the attacker words it; see `attackers.TEMPLATES`.
        structured: whether the attacker also controls the structured fields beside the injected text, see `fields`.
    """
    task = suites.suite(pair.suite).user_tasks[pair.user]
    injections = attackers.injections(pair, template) if pair.injection else {}
    environment = task.init_environment(suites.environment(pair.suite, injections))
    bait = tuple({squeezed(text) for text in injections.values()})
    if structured and pair.injection:
        fields.seize(environment, bait, attackers.targets(pair))
    before = environment.model_copy(deep=True)
    return Episode(
        pair=pair,
        environment=environment,
        user_calls=suites.calls(task, before),
        attack_calls=attackers.calls(pair, before) if pair.injection else (),
        bait=bait,
        before=before,
    )
