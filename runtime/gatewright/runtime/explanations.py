"""Explanations in the ledger: that one was given is public, its numbers are sealed like the features they tell of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatewright.agents.errors import UsageError
from gatewright.safety.canonical import canonical
from gatewright.safety.ledger import records

from . import leaves
from .clock import moment
from .store.appending import Seal
from .store.writer import Transaction
from .views import RecordView

FIELD = "explanation"
_PUBLIC = ("policy", "contrast", "method", "reference", "code")


def note(transaction: Transaction, decision: RecordView, said: Mapping[str, Any], *, by: str, now: int) -> None:
    """Record an explanation of a decision.

    Args:
        said: as `gatewright.scenarios.explanations.record` gives it.

    Raises:
        UsageError: it is about another record, or the record is no decision.
    """
    effect = decision.record["effect"] or {}
    if effect.get("kind") != "decision" or said.get("decision") != decision.index:
        raise UsageError(
            f"record {decision.index} is a {effect.get('kind') or decision.kind}, and the explanation is of record "
            f"{said.get('decision')!r}; name the decision that was explained"
        )
    sealed = records.seal(value := canonical(dict(said)))
    record = records.Record(
        kind="explanation",
        time=records.timestamp(moment(now)),
        deployment=decision.record["deployment"],
        agent=decision.record["agent"],
        run_id=decision.record["run_id"],
        thread_id=decision.record["thread_id"],
        case_id=decision.record["case_id"],
        sealed={FIELD: sealed.commitment},
        detail={"decision": decision.index, "by": by, **{name: said[name] for name in _PUBLIC if name in said}},
    )
    transaction.append(*leaves.written(record, [Seal(FIELD, "json", value, sealed.salt)]))
