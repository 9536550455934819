"""The two decision points of the claims desk: what is known at each, what may be chosen, and what the desk forbids.

`triage` says who works on a claim, once. `investigate` is asked after triage as often as evidence is gathered, until
it says to pay or to refuse. Sizes are in euros.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

FAST_TRACK_LIMIT = 3_000.0  # nobody looks at what is paid on the fast track
SPECIAL_UNIT_MINIMUM = 1_000.0  # less is not worth a day of an investigator

ClaimType = Literal["motor", "home", "travel"]
Coverage = Literal["inside", "edge", "outside"]
"""How the loss lies to the policy's terms: `inside` the cover · at its `edge`, a matter of wording · `outside`."""
Lane = Literal["standard", "special_unit"]
Assessment = Literal["clear", "unclear", "doubtful"]
Documents = Literal["not_requested", "consistent", "inconsistent"]
"""What the documents that were asked for say; those that never came count as `inconsistent`."""
Inspection = Literal["not_done", "clean", "damaging"]

TRIAGE_OPTIONS = ("fast_track", "standard", "special_unit", "reject")
INVESTIGATE_OPTIONS = ("approve", "request_documents", "inspect", "deny")


class TriageFeatures(BaseModel):
    """What is known of a claim when it has come in and coverage and fraud were checked."""

    claim_type: ClaimType
    amount: float = Field(ge=0, le=12_000, description="claimed, in euros")
    policy_age_months: int = Field(ge=0, le=60, description="since the policy began; more counts as 60")
    prior_claims: int = Field(ge=0, le=2, description="in the last two years; more counts as two")
    channel: Literal["agent", "online"]
    documents_complete: bool
    reported_after_days: int = Field(ge=0, le=30, description="between loss and report; more counts as 30")
    coverage: Coverage
    fraud_score: int = Field(ge=0, le=2, description="band of the outside scoring service; 2 is worst")
    unit_busy: bool = Field(description="the special unit has a queue, and a claim for it waits longer")


class InvestigateFeatures(BaseModel):
    """What is known of a claim that an adjuster or the special unit works on."""

    claim_type: ClaimType
    amount: float = Field(ge=0, le=12_000, description="claimed, in euros")
    documents_complete: bool = Field(description="when the claim came in")
    coverage: Coverage
    risk: int = Field(ge=0, le=10, description="points of the fraud check's scorecard; 10 is worst")
    lane: Lane
    assessment: Assessment = Field(description="what who works on the claim thinks of it at first sight")
    documents: Documents
    inspection: Inspection


def closed_at_triage(features: TriageFeatures) -> dict[str, str]:
    """The options that the desk forbids for this claim, with reasons; `standard` is always open."""
    closed: dict[str, str] = {}
    if features.amount > FAST_TRACK_LIMIT:
        closed["fast_track"] = f"the fast track ends at {FAST_TRACK_LIMIT:,.0f} euros"
    elif not features.documents_complete:
        closed["fast_track"] = "documents are missing"
    elif features.coverage == "outside":
        closed["fast_track"] = "the loss is outside the cover"
    if features.amount < SPECIAL_UNIT_MINIMUM:
        closed["special_unit"] = f"the special unit begins at {SPECIAL_UNIT_MINIMUM:,.0f} euros"
    if features.coverage == "inside":
        closed["reject"] = "the loss is inside the cover"
    return closed


def closed_at_investigation(features: InvestigateFeatures) -> dict[str, str]:
    """The options that the desk forbids at this point, with reasons; one of approve and request_documents is open."""
    closed: dict[str, str] = {}
    if features.documents != "not_requested":
        closed["request_documents"] = "documents were requested before"
    elif not features.documents_complete:
        closed["approve"] = "documents are missing, and were not requested yet"
    if features.inspection != "not_done":
        closed["inspect"] = "the damage was inspected before"
    elif features.claim_type == "travel":
        closed["inspect"] = "there is nothing to inspect of a journey"
    if not _evidence(features):
        closed["deny"] = "there is no evidence against the claim"
    return closed


def _evidence(features: InvestigateFeatures) -> bool:
    return (
        features.coverage == "outside"
        or features.assessment == "doubtful"
        or features.documents == "inconsistent"
        or features.inspection == "damaging"
    )
