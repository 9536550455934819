"""Waivers: for a time and within a scope, somebody answers for it that a rule does not count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from gatewright.agents.errors import UsageError

from .events import Event, aware


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a waiver is for: all that is given must agree with the event; `tool` is its name, of whatever kind it is."""

    deployment: str | None = None
    agent: str | None = None
    thread: str | None = None
    tool: str | None = None

    def covers(self, event: Event) -> bool:
        """Whether the event is within it."""
        return all(
            wanted is None or wanted == actual
            for wanted, actual in (
                (self.deployment, event.deployment),
                (self.agent, event.agent),
                (self.thread, event.thread_id),
                (self.tool, event.name),
            )
        )


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """Matches of the rule `rule_id` within `scope` do not count before `until`. What goes wrong with the rule does.

    `rule_id` is as decisions name it: with several packs, `pack/rule`.

    Raises:
        UsageError: an empty id, rule, name or reason, an empty scope, or an `until` without a time zone.
    """

    id: str
    rule_id: str
    scope: Scope
    by: str
    reason: str
    until: datetime

    def __post_init__(self) -> None:
        for field in ("id", "rule_id", "by", "reason"):
            if not getattr(self, field).strip():
                raise UsageError(f"the waiver {self.id!r} has no {field!r}; a waiver says what, who and why")
        if self.scope == Scope():
            raise UsageError(f"the waiver {self.id!r} is for everything; name a deployment, agent, thread or tool")
        if self.until.tzinfo is None:
            raise UsageError(f"the waiver {self.id!r} ends at {self.until.isoformat()!r}; add a time zone")

    def covers(self, rule_id: str, event: Event) -> bool:
        """Whether it holds for a match of this rule on this event."""
        return self.rule_id == rule_id and aware(event.time) < self.until and self.scope.covers(event)


def covering(waivers: Iterable[Waiver], rule_id: str, event: Event) -> Waiver | None:
    """The waiver that holds for a match, the one that ends last; None if there is none."""
    return max(
        (waiver for waiver in waivers if waiver.covers(rule_id, event)),
        key=lambda waiver: (waiver.until, waiver.id),
        default=None,
    )
