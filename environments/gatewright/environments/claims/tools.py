"""The desk's tools: a catalogue of operations on one claim, and how they are called."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gatewright.agents.claims.points import TRIAGE_OPTIONS
from gatewright.environments.arguments import mismatch
from gatewright.environments.catalogue import Catalogue, Operation, Schema, one_of, string, typed

from . import case as operations
from .case import ClaimCase, RefusedError

ID = string("Such as 'C-1-7'.")


def _operation(name: str, description: str, *labels: Any, **more: Schema) -> Operation:
    perform = getattr(operations, name)
    return Operation(description=description, parameters={"claim_id": ID, **more}, labels=labels, perform=perform)


CATALOGUE: Catalogue = {
    "get_claim": _operation("get_claim", "What the customer has reported.", "reads"),
    "check_coverage": _operation("check_coverage", "How the loss lies to the policy's terms.", "reads"),
    "check_fraud": _operation("check_fraud", "The outside fraud score, and the points of the scorecard.", "reads"),
    "check_workload": _operation("check_workload", "Whether claims for the special unit wait.", "reads"),
    "assign_claim": _operation(
        "assign_claim",
        "Give the claim to a lane, once; says what those who work there think of it.",
        "idempotent",
        lane=one_of(*TRIAGE_OPTIONS),
    ),
    "request_documents": _operation(
        "request_documents", "Ask the customer for documents, once; says whether they fit.", "idempotent"
    ),
    "inspect_damage": _operation(
        "inspect_damage", "Send somebody to look at the damage, once; says what was found.", "idempotent"
    ),
    "pay_claim": _operation(
        "pay_claim",
        "Pay the claimed amount and close the claim.",
        "idempotent",
        "irreversible",
        amount=typed("number", "In euros, as claimed."),
    ),
    "deny_claim": _operation(
        "deny_claim",
        "Refuse the claim and close it.",
        "idempotent",
        "irreversible",
        reason=string("What the customer is told."),
    ),
}


def perform(case: ClaimCase, tool: str, args: Mapping[str, Any]) -> str:
    """The text that a call answers with: a JSON object, or what is wrong after `Error:`."""
    operation = CATALOGUE[tool]
    if problem := mismatch(f"{tool}()", operation.parameters, args):
        return f"Error: {problem}"
    given = dict(args)
    if given.pop("claim_id") != case.claim.id:
        return f"Error: there is no claim {args['claim_id']!r} in this case"
    try:
        found: Any = operation.perform(case, **given)
    except RefusedError as refused:
        return f"Error: {refused}"
    return json.dumps(found)
