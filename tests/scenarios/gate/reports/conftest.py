"""Tables whose every text is hostile."""

from __future__ import annotations

import pytest

from gatewright.scenarios.gate import Gate, Trial, Verdict, judge, table

HOSTILE = "</td><script>alert(1)</script> & \"']]> |`*_ \x1b[31m\x00\u202e{{ 7*7 }}\ufffe"


@pytest.fixture
def hostile() -> str:
    """Markup of every kind, control characters, a reordering, a template, and what XML cannot hold."""
    return HOSTILE


@pytest.fixture
def attacked(hostile: str) -> Verdict:
    """A verdict on tables that say this everywhere."""

    def side(name: str, succeeds: bool) -> list[Trial]:
        return [
            Trial(
                case=f"{hostile} {number}",
                trial=trial,
                success=succeeds,
                latency=1.5,
                note="" if succeeds else hostile,
                tags=(hostile,),
                episode=hostile,
                severity="block" if number == 0 else "warn",
            )
            for number in range(25)
            for trial in range(2)
        ]

    base = table(f"base {hostile}", side("base", True), {hostile: hostile})
    candidate = table(f"candidate {hostile}", side("candidate", False), {hostile: hostile})
    return judge(base, candidate, Gate())
