"""The numbers of the claims desk's model.

They describe no insurer: they are ours, made up in the shape that the trade describes (most claims are small and
honest, one in eight or so is not, suspicion comes from a scorecard, evidence costs time and is wrong now and then).
"""

from __future__ import annotations

from dataclasses import dataclass

Row = tuple[float, ...]

UNIT = 1_000.0  # euros; rewards are counted in thousands


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Probabilities and prices. A `Row` of probabilities is in the order of the levels in `grid` and adds up to 1.

    Money is in thousands of euros, time of the customer's waiting in days, that of the desk's people in minutes.
    Rows over the truth are in the order legitimate, not covered, fraudulent.
    """

    # What comes in. Everything but amount and documents is independent of the rest.
    claim_type: Row = (0.5, 0.3, 0.2)
    amount_by_type: tuple[Row, ...] = (
        (0.30, 0.38, 0.22, 0.10),
        (0.22, 0.32, 0.28, 0.18),
        (0.50, 0.35, 0.12, 0.03),
    )
    policy_age: Row = (0.3, 0.7)
    prior_claims: Row = (0.6, 0.25, 0.15)
    channel: Row = (0.5, 0.5)
    complete_by_channel: Row = (0.8, 0.65)
    late: Row = (0.7, 0.3)
    coverage: Row = (0.72, 0.18, 0.10)
    fraud_score: Row = (0.60, 0.27, 0.13)
    unit_busy: Row = (0.6, 0.4)

    # What is true, given that. Points of the scorecard: of policy age, prior claims, channel, late report and score.
    age_points: tuple[int, ...] = (2, 0)
    channel_points: tuple[int, ...] = (0, 1)
    score_points: tuple[int, ...] = (0, 2, 4)
    not_covered_by_coverage: Row = (0.01, 0.30, 0.88)
    fraud_intercept: float = -4.8  # log-odds of fraud among covered claims of no points
    fraud_slope: float = 0.75  # log-odds a point
    fraud_by_type: Row = (0.2, 0.0, -0.3)

    # What is found out, by truth.
    assessment_standard: tuple[Row, ...] = ((0.64, 0.28, 0.08), (0.20, 0.40, 0.40), (0.30, 0.38, 0.32))
    assessment_special: tuple[Row, ...] = ((0.82, 0.15, 0.03), (0.05, 0.20, 0.75), (0.07, 0.21, 0.72))
    documents_consistent: Row = (0.93, 0.25, 0.45)
    inspection_clean: Row = (0.96, 0.30, 0.14)

    # What it is worth. A share is of the claimed amount.
    service_share: float = 0.10
    service_fixed: float = 0.10
    wrong_denial_share: float = 0.50
    wrong_denial_fixed: float = 0.50
    minute: float = 0.001
    day_fixed: float = 0.006
    day_share: float = 0.001
    payout_limit: float = 5.0  # a person approves payouts above it
    approval_minutes: float = 25.0
    approval_days: float = 1.0

    # What the steps cost: fees, minutes and days.
    fast_track: Row = (0.004, 0.0, 0.5)
    reject: Row = (0.010, 5.0, 1.0)
    standard: Row = (0.010, 40.0, 3.0)
    special_unit: Row = (0.080, 240.0, 7.0)
    unit_queue_days: float = 7.0
    request_documents: Row = (0.005, 10.0, 6.0)
    inspect: Row = (0.180, 30.0, 4.0)


DEFAULT = Parameters()
