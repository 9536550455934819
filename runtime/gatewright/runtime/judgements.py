"""Verdicts as they are stored with an effect that is not over: never computed again, only read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from gatewright.safety import canonical, records


class Stored(NamedTuple):
    """What was decided about an effect before it was performed. `args`: what rules or people made of its arguments."""

    judgement: records.Judgement
    args: Mapping[str, Any] | None
    approval: records.ApprovalPart | None


def dump(
    judgement: records.Judgement,
    *,
    args: Mapping[str, Any] | None = None,
    approval: records.ApprovalPart | None = None,
) -> str:
    """For a text column."""
    plain: dict[str, Any] = {
        "verdict": judgement.verdict,
        "pack": judgement.pack,
        "rules": [{"id": rule.id, "verdict": rule.verdict, "reason": rule.reason} for rule in judgement.rules],
    }
    if args is not None:
        plain["args"] = canonical.json_value(dict(args))
    if approval is not None:
        plain["approval"] = {
            "id": approval.id,
            "verdict": approval.verdict,
            "by": approval.by,
            "reason": approval.reason,
        }
    return orjson.dumps(plain).decode()


def load(text: str) -> Stored:
    """From a text column."""
    found = orjson.loads(text)
    rules = tuple(records.RuleOutcome(**rule) for rule in found["rules"])
    approval = found.get("approval")
    return Stored(
        records.Judgement(verdict=found["verdict"], pack=found["pack"], rules=rules),
        found.get("args"),
        None if approval is None else records.ApprovalPart(**approval),
    )
