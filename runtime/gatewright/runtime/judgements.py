"""Verdicts as they are stored with an effect that is not over: never computed again, only read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import orjson

from gatewright.safety import canonical
from gatewright.safety.ledger import records
from gatewright.safety.verdicts import Verdict


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
    plain: dict[str, Any] = {"judgement": records.plain_judgement(judgement)}
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


def verdict(text: str) -> Verdict:
    """The verdict in a text column."""
    return cast("Verdict", orjson.loads(text)["judgement"]["verdict"])


def load(text: str) -> Stored:
    """From a text column."""
    found = orjson.loads(text)
    approval = found.get("approval")
    return Stored(
        records.judgement_of(found["judgement"]),
        found.get("args"),
        None if approval is None else records.ApprovalPart(**approval),
    )
