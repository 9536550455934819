"""What the desk forbids, and what its rules want, claim by claim."""

from __future__ import annotations

from typing import Any

import pytest

from gatewright.agents.claims import (
    INVESTIGATE,
    TRIAGE,
    InvestigateFeatures,
    TriageFeatures,
    closed_at_investigation,
    closed_at_triage,
)

CLAIM: dict[str, Any] = {
    "claim_type": "motor",
    "amount": 1_500.0,
    "policy_age_months": 60,
    "prior_claims": 0,
    "channel": "agent",
    "documents_complete": True,
    "reported_after_days": 2,
    "coverage": "inside",
    "fraud_score": 0,
    "unit_busy": False,
}
WORK: dict[str, Any] = {
    "claim_type": "motor",
    "amount": 1_500.0,
    "documents_complete": True,
    "coverage": "inside",
    "risk": 0,
    "lane": "standard",
    "assessment": "clear",
    "documents": "not_requested",
    "inspection": "not_done",
}


@pytest.mark.parametrize(
    ("changed", "closed"),
    [
        ({}, {"reject"}),
        ({"amount": 4_000.0}, {"fast_track", "reject"}),
        ({"documents_complete": False}, {"fast_track", "reject"}),
        ({"coverage": "outside"}, {"fast_track"}),
        ({"coverage": "edge"}, set()),
        ({"amount": 500.0}, {"special_unit", "reject"}),
    ],
)
def test_the_desk_s_limits_close_lanes(changed: dict[str, Any], closed: set[str]) -> None:
    assert set(closed_at_triage(TriageFeatures(**CLAIM | changed))) == closed


@pytest.mark.parametrize(
    ("changed", "closed"),
    [
        ({}, {"deny"}),
        ({"documents_complete": False}, {"approve", "deny"}),
        ({"documents_complete": False, "documents": "consistent"}, {"request_documents", "deny"}),
        ({"documents": "inconsistent"}, {"request_documents"}),
        ({"inspection": "damaging"}, {"inspect"}),
        ({"claim_type": "travel", "assessment": "doubtful"}, {"inspect"}),
        ({"coverage": "outside"}, set()),
    ],
)
def test_nothing_is_paid_without_documents_nor_refused_without_evidence(
    changed: dict[str, Any], closed: set[str]
) -> None:
    assert set(closed_at_investigation(InvestigateFeatures(**WORK | changed))) == closed


@pytest.mark.parametrize(
    ("changed", "lane"),
    [
        ({}, "standard"),
        ({"amount": 500.0}, "fast_track"),
        ({"amount": 500.0, "documents_complete": False}, "standard"),
        ({"coverage": "outside"}, "reject"),
        ({"fraud_score": 2}, "special_unit"),
        ({"fraud_score": 2, "amount": 500.0}, "standard"),
        ({"fraud_score": 1, "prior_claims": 2}, "special_unit"),
    ],
)
def test_the_rules_choose_lanes(changed: dict[str, Any], lane: str) -> None:
    features = TriageFeatures(**CLAIM | changed)
    closed = closed_at_triage(features)
    assert TRIAGE.policy(features, [each for each in TRIAGE.options if each not in closed]).option == lane


@pytest.mark.parametrize(
    ("changed", "option"),
    [
        ({}, "approve"),
        ({"documents_complete": False}, "request_documents"),
        ({"assessment": "unclear"}, "request_documents"),
        ({"coverage": "edge"}, "request_documents"),
        ({"assessment": "doubtful"}, "inspect"),
        ({"assessment": "doubtful", "claim_type": "travel"}, "request_documents"),
        ({"documents": "consistent"}, "approve"),
        ({"documents": "inconsistent"}, "deny"),
        ({"documents": "inconsistent", "amount": 4_000.0}, "inspect"),
        ({"inspection": "clean"}, "approve"),
        ({"inspection": "damaging"}, "deny"),
    ],
)
def test_the_rules_gather_one_piece_of_evidence_and_follow_it(changed: dict[str, Any], option: str) -> None:
    features = InvestigateFeatures(**WORK | changed)
    closed = closed_at_investigation(features)
    open_options = [each for each in INVESTIGATE.options if each not in closed]
    assert INVESTIGATE.policy(features, open_options).option == option
