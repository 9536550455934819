"""The desk's own rules at both decision points: what an experienced manager would write down, and no more."""

from __future__ import annotations

from collections.abc import Sequence

from gatewright.agents.decisions import Choice, DecisionPoint

from .points import INVESTIGATE_OPTIONS, TRIAGE_OPTIONS, InvestigateFeatures, TriageFeatures

SMALL = 500.0  # euros; up to this, a claim without marks against it is paid at once
LARGE = 3_000.0  # euros; from this on, odd documents are followed by an inspection
POLICY = "desk-rules@1"


def _wanted_at_triage(features: TriageFeatures) -> tuple[str, str]:
    if features.coverage == "outside":
        return "reject", "the loss is outside the cover"
    if features.fraud_score == 2:
        return "special_unit", "the fraud score is in the worst band"
    if features.fraud_score == 1 and features.prior_claims == 2:
        return "special_unit", "a raised fraud score, and several claims before"
    if features.amount <= SMALL and features.fraud_score == 0:
        return "fast_track", "small, and the fraud score is in the best band"
    return "standard", "nothing speaks for another lane"


def _wanted_at_investigation(features: InvestigateFeatures) -> list[tuple[str, str]]:
    """What the rules want, best first."""
    pay = ("approve", "nothing speaks against the claim")
    if features.inspection == "damaging":
        return [("deny", "the inspection speaks against the claim")]
    if features.inspection == "clean":
        return [pay, ("request_documents", "the inspection was clean, and documents are missing")]
    if features.documents == "inconsistent":
        look = [("inspect", "the documents do not fit")] if features.amount >= LARGE else []
        return [*look, ("deny", "the documents do not fit")]
    if features.documents == "consistent":
        return [pay]
    if features.assessment == "doubtful":
        return [("inspect", "the claim is doubtful"), ("request_documents", "the claim is doubtful")]
    if features.assessment == "unclear" or features.coverage == "edge":
        return [("request_documents", "the claim is not clear")]
    return [pay, ("request_documents", "documents are missing")]


def _first_open(wanted: Sequence[tuple[str, str]], open_options: Sequence[str]) -> Choice:
    for option, reason in wanted:
        if option in open_options:
            return Choice(option=option, policy=POLICY, reason=reason)
    return Choice(option=open_options[0], policy=POLICY, reason="what the rules want is closed")


def triage_rules(features: TriageFeatures, open_options: Sequence[str]) -> Choice:
    """Suspicion goes to the special unit, small and clean claims are paid at once, all others to an adjuster."""
    wanted = [_wanted_at_triage(features), ("standard", "the lane that the rules want is closed")]
    return _first_open(wanted, open_options)


def investigation_rules(features: InvestigateFeatures, open_options: Sequence[str]) -> Choice:
    """Doubt asks for one piece of evidence, which decides."""
    return _first_open(_wanted_at_investigation(features), open_options)


TRIAGE = DecisionPoint(name="triage", features=TriageFeatures, options=TRIAGE_OPTIONS, policy=triage_rules)
INVESTIGATE = DecisionPoint(
    name="investigate", features=InvestigateFeatures, options=INVESTIGATE_OPTIONS, policy=investigation_rules
)
