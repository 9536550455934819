"""External guards: whatever can say how bad a text looks (NeMo Guardrails, Guardrails AI, a classifier).

They give scores and never verdicts: `scores["injection.score"] > 0.9` in a rule decides, so that what is refused and
why stands in the rule pack, is tried on examples and can be back-tested. (`gatewright.safety.Guard` is another thing:
it asks the rules.)
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from gatewright.agents.errors import UsageError
from gatewright.safety import verdicts
from gatewright.safety.rules.events import Event, Hook
from gatewright.safety.verdicts import Decision, Finding

MAX_SCORES = 32  # of one guard for one event
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Content:
    """What an external guard is shown of an event.

    `text` is what there is to judge: what people or models said, else the result, else the arguments; texts in them
    as they are, one a line. `said_by_agent` tells what an agent is about to say or do from what it is given.
    """

    hook: Hook
    name: str
    agent: str
    deployment: str
    text: str
    said_by_agent: bool
    args: Mapping[str, Any] = field(default_factory=dict)
    result: Any = None

    @classmethod
    def of(cls, event: Event) -> Content:
        """What to show of `event`."""
        return cls(
            hook=event.hook,
            name=event.name,
            agent=event.agent,
            deployment=event.deployment,
            text=event.text or "\n".join(_texts(event.result if event.result is not None else event.args)),
            said_by_agent=event.hook not in _GIVEN,
            args=event.args,
            result=event.result,
        )


_GIVEN: frozenset[Hook] = frozenset({"input", "tool.after", "model.before", "function.after", "message.receive"})


@runtime_checkable
class Scorer(Protocol):
    """What an external guard implements. Called from several threads at once; may be a coroutine function instead."""

    def score(self, content: Content) -> Mapping[str, float] | Awaitable[Mapping[str, float]]:
        """How much of each thing is in the content, from 0 (nothing) to 1 (certainly).

        Whatever it raises, a score outside of 0 to 1, and no answer in time refuse the effect.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What the guards said about an event: scores by `guard.name`, and which guards said nothing that can be used."""

    scores: Mapping[str, float] = field(default_factory=dict)
    findings: Sequence[Finding] = ()

    def joined(self, decision: Decision) -> Decision:
        """The decision of the rules, where a guard failed at least `deny`."""
        if not self.findings:
            return decision
        return dataclasses.replace(
            decision,
            verdict=verdicts.strongest([decision.verdict, "deny"]),
            args=None,
            result=None,
            terms=None,
            findings=(*decision.findings, *self.findings),
        )


NOTHING = Scored()


def checked(scores: object) -> dict[str, float]:
    """What a guard gave, if it can be used.

    Raises:
        UsageError: it gave no mapping, no score at all, a name that rules could not write, or no number from 0 to 1.
    """
    if not isinstance(scores, Mapping) or not 0 < len(scores) <= MAX_SCORES:
        raise UsageError(f"it gave {scores!r:.100}; give 1 to {MAX_SCORES} scores by their names")
    plain: dict[str, float] = {}
    for name, score in scores.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UsageError(f"it named a score {name!r:.100}; names are letters, digits, '_', '.' and '-', 64 at most")
        if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
            raise UsageError(f"it gave {name!r} the score {score!r:.100}; give a number from 0 to 1")
        if not 0 <= score <= 1:
            raise UsageError(f"it gave {name!r} the score {score!r}, which is not from 0 to 1")
        plain[name] = float(score)
    return plain


def failure(guard: str, message: str) -> Finding:
    """That a guard could not be asked: a finding of its own, which denies."""
    return Finding(rule_id=f"guard:{guard}", kind="guard", message=f"external guard {guard!r}: {message}")


def _texts(value: Any) -> list[str]:
    """The texts in a JSON value, keys left out, numbers written out."""
    found: list[str] = []
    pending: list[Any] = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, Mapping):
            pending.extend(reversed(list(one.values())))
        elif isinstance(one, (list, tuple)):
            pending.extend(reversed(one))
        elif one is not None:
            found.append(one if isinstance(one, str) else str(one))
    return found
