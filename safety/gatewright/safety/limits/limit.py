"""What budgets and breakers share: which effects they look at, and how what they say joins what the rules say."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

from pydantic import BeforeValidator, Field, StringConstraints

from gatewright.agents.effects import Kind
from gatewright.safety import verdicts
from gatewright.safety.approvals.terms import ApprovalTerms
from gatewright.safety.approvals.terms import joined as joined_terms
from gatewright.safety.rules.fields import Duration, Names, Part, listed, near
from gatewright.safety.rules.sources import Path
from gatewright.safety.verdicts import Decision, Finding, RuleHit, Verdict

Limited = Literal["tool", "model", "function", "message", "decision"]
"""The kinds of effects that limits look at: all that agents cause."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


def _united(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} has no unit; write for example '{value}s' or '{value}m' (s, m, h or d)")
    return value


Span = Annotated[Duration, BeforeValidator(_united)]
"""Seconds, written with a unit: `90s`, `15m`, `4h`, `2d`."""


def written(span: float) -> str:
    """Seconds as they are written in a file.

    >>> written(86_400.0), written(90.0)
    ('1d', '90s')
    """
    seconds = int(span)
    found = next((unit for unit in (("d", 86_400), ("h", 3_600), ("m", 60)) if seconds % unit[1] == 0), ("s", 1))
    return f"{seconds // found[1]}{found[0]}"


class On(Part):
    """Which effects: of these kinds, with these names; what is left out matches all."""

    kinds: Annotated[list[Limited], BeforeValidator(listed), Field(min_length=1)] | None = None
    names: Names | None = None

    def includes(self, kind: Kind, name: str) -> bool:
        """Whether such an effect is meant."""
        return (self.kinds is None or kind in self.kinds) and (self.names is None or name in self.names)


class Limit(Protocol):
    """A budget or a breaker, as far as its place in a file is checked."""

    @property
    def id(self) -> str: ...
    @property
    def on(self) -> On | None: ...


def mistakes(field: str, limits: Sequence[Limit], tools: Mapping[str, Any] | None) -> Iterator[tuple[Path, str]]:
    """What is well formed but cannot be meant: ids given twice, tools that do not exist.

    Args:
        field: the name of the list in the rule pack.
        tools: of the deployment; None where they are not known.
    """
    taken: set[str] = set()
    for at, limit in enumerate(limits):
        if limit.id in taken:
            yield (field, at, "id"), f"the id {limit.id!r} is taken by another one of the {field}; choose another"
        taken.add(limit.id)
        on = limit.on
        if tools is None or on is None or on.names is None or (on.kinds is not None and "tool" not in on.kinds):
            continue
        for place, name in enumerate(on.names):
            if name in tools:
                continue
            remedy = near(name, list(tools))
            if on.kinds == ["tool"]:
                yield (field, at, "on", "names", place), f"there is no tool {name!r}; {remedy}"
            elif remedy.startswith("did you mean"):
                other = "if it is a model, a function or an agent, say so with `kinds:`"
                yield (field, at, "on", "names", place), f"there is no tool {name!r}; {remedy} ({other})"


def joined(
    decision: Decision,
    hits: Sequence[RuleHit],
    *,
    findings: Sequence[Finding] = (),
    terms: Iterable[ApprovalTerms] = (),
) -> Decision:
    """What the rules and the limits say together: the strongest verdict, all hits and findings.

    Args:
        findings: what is wrong with a limit; it denies.
        terms: what an approval must satisfy that limits ask for.
    """
    said: list[Verdict] = [decision.verdict, *(hit.verdict for hit in hits)]
    verdict = verdicts.strongest([*said, "deny"] if findings else said)
    asked = [*terms] if decision.terms is None else [decision.terms, *terms]
    goes_on = verdict in ("modify", "ask")
    return dataclasses.replace(
        decision,
        verdict=verdict,
        hits=tuple(sorted((*decision.hits, *hits), key=lambda hit: hit.rule_id)),
        findings=(*decision.findings, *findings),
        args=decision.args if goes_on else None,
        result=decision.result if goes_on else None,
        terms=joined_terms(asked) if verdict == "ask" else None,
    )
