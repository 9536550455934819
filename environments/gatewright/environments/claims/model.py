"""The stochastic model of the claims desk: what comes in, what is true, what is found out, and what it is worth.

A claim comes in with features and has a hidden truth: it is legitimate, not covered, or fraudulent. The truth depends
on the features through the coverage check and the points of a scorecard only, so the *profile* of a claim (type,
amount, documents, coverage, points) says all about it that there is to know, until somebody gathers evidence. Evidence
depends on the truth alone. What a claim comes to is a sum over what was done with it; the order does not count.

All that is random about a claim is drawn before anybody touches it, from one row of uniform numbers: whatever is
chosen, the same claim has the same truth, and the same evidence turns up wherever somebody looks for it.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from .grid import AMOUNTS, PROFILES, TRIAGE_GRID
from .parameters import DEFAULT, UNIT, Parameters, Row

TRUTHS = ("legitimate", "not_covered", "fraudulent")
COMPONENTS: tuple[str, ...] = ("avoided_loss", "service", "wrong_denial", "handling", "delay", "human")
"""Parts of the reward, each with its sign, in thousands of euros: what was claimed wrongly and not paid · what a fair
payout is worth to the desk · what refusing a fair claim costs · fees · the customer's waiting · the desk's people."""
OUTCOMES = ("cell", "truth", "assessment_standard", "assessment_special", "documents", "inspection")
"""What is drawn of a claim, as columns: the triage cell, the position in `TRUTHS`, and what each piece of evidence will
say, in the order of the levels in `grid`."""
DRAWS = 14  # uniform numbers a claim

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def _pick(cumulative: Floats, uniform: Floats) -> Integers:
    """Positions drawn from rows of cumulative probabilities (their last entry is not looked at)."""
    found = np.zeros(uniform.shape, np.int64)
    for level in range(cumulative.shape[-1] - 1):  # a sum over so short an axis costs more
        found += uniform >= cumulative[..., level]
    return found


def _table(*rows: Row) -> Floats:
    table = np.array(rows)
    if not np.allclose(table.sum(axis=-1), 1) or (table < 0).any():
        raise ValueError(f"probabilities must not be negative and must add up to 1, and do not in {rows!r}")
    return table


def _binary(row: Row) -> Floats:
    """Rows of (probability, its complement)."""
    return _table(*((share, 1 - share) for share in row))


class Model:
    """The model with its parameters worked out into tables.

    `truth`: float64, shape `(n_profiles, 3)`, the probability of each truth. `weight`: float64, shape
    `(n_triage_cells,)`, that of each cell. `profile` and `busy`: int64, shape `(n_triage_cells,)`.
    `lane_cost`: `(2, 4, n_profiles, 6)` by unit_busy and triage option; `evidence_cost`: `(2, 2, n_profiles, 6)` by
    whether documents were requested and the damage inspected; `settlement`: `(2, n_profiles, 3, 6)` for denying and
    paying, by truth; all in `COMPONENTS`.
    """

    def __init__(self, parameters: Parameters = DEFAULT) -> None:
        """Work the tables out.

        Raises:
            ValueError: a row of probabilities is not one.
        """
        self.parameters = parameters
        self._probabilities()
        self._evidence()
        self._prices()

    def _probabilities(self) -> None:
        p = self.parameters
        self._incoming: tuple[Floats, ...] = (
            _table(p.claim_type)[0],
            _table(*p.amount_by_type),
            _table(p.policy_age)[0],
            _table(p.prior_claims)[0],
            _table(p.channel)[0],
            _binary(p.complete_by_channel)[:, ::-1],
            _table(p.late)[0],
            _table(p.coverage)[0],
            _table(p.fraud_score)[0],
            _table(p.unit_busy)[0],
        )
        kind, amount, age, prior, channel, complete, late, coverage, score, self.busy = TRIAGE_GRID.indices
        tables = self._incoming
        self.weight = tables[0][kind] * tables[1][kind, amount] * tables[5][channel, complete]
        for table, level in zip((*tables[2:5], *tables[6:]), (age, prior, channel, late, coverage, score, self.busy),
                                strict=True):  # fmt: skip
            self.weight = self.weight * table[level]
        risk = np.array(p.age_points)[age] + prior + np.array(p.channel_points)[channel] + late
        risk = risk + np.array(p.score_points)[score]
        self.risk: Integers = risk
        self.profile: Integers = np.ravel_multi_index((kind, amount, complete, coverage, risk), PROFILES)
        kinds, _, _, covers, risks = np.unravel_index(np.arange(np.prod(PROFILES)), PROFILES)
        odds = p.fraud_intercept + p.fraud_slope * risks + np.array(p.fraud_by_type)[kinds]
        uncovered = np.array(p.not_covered_by_coverage)[covers]
        fraud = (1 - uncovered) / (1 + np.exp(-odds))
        self.truth: Floats = np.stack([1 - uncovered - fraud, uncovered, fraud], axis=1)

    def _evidence(self) -> None:
        p = self.parameters
        self.assessment = np.stack([_table(*p.assessment_standard), _table(*p.assessment_special)])
        self.documents = _binary(p.documents_consistent)
        self.inspection = _binary(p.inspection_clean)

    def _prices(self) -> None:
        p = self.parameters
        _, amounts, _, _, _ = np.unravel_index(np.arange(np.prod(PROFILES)), PROFILES)
        amount = np.array(AMOUNTS)[amounts] / UNIT

        def cost(step: Row, more_days: float | Floats = 0.0, more_minutes: float | Floats = 0.0) -> Floats:
            fees, minutes, days = step
            parts = np.zeros((amount.size, len(COMPONENTS)))
            parts[:, 3] = -fees
            parts[:, 4] = -(days + more_days) * (p.day_fixed + p.day_share * amount)
            parts[:, 5] = -(minutes + more_minutes) * p.minute
            return parts

        lanes = [p.fast_track, p.standard, p.special_unit, p.reject]
        queue = [[0.0, 0.0, busy * p.unit_queue_days, 0.0] for busy in (0, 1)]
        self.lane_cost = np.array([[cost(lane, q) for lane, q in zip(lanes, row, strict=True)] for row in queue])
        asked, inspected = cost(p.request_documents), cost(p.inspect)
        self.evidence_cost = np.array([[np.zeros_like(asked), inspected], [asked, asked + inspected]])
        large: Floats = (amount > p.payout_limit).astype(np.float64)
        pay = np.repeat(cost((0.0, 0.0, 0.0), large * p.approval_days, large * p.approval_minutes)[:, None], 3, axis=1)
        pay[:, 0, 1] = p.service_share * amount + p.service_fixed
        deny = np.zeros_like(pay)
        deny[:, 0, 2] = -(p.wrong_denial_share * amount + p.wrong_denial_fixed)
        deny[:, 1:, 0] = amount[:, None]
        self.settlement = np.stack([deny, pay])

    def draw(self, uniforms: Floats) -> Integers:
        """Claims from rows of uniform numbers in [0, 1), shape `(n, DRAWS)`: `OUTCOMES`, shape `(n, 6)`."""
        u = uniforms.T
        cumulative = [table.cumsum(axis=-1) for table in self._incoming]
        kind = _pick(cumulative[0], u[0])
        channel = _pick(cumulative[4], u[4])
        levels = [
            kind,
            _pick(cumulative[1][kind], u[1]),
            _pick(cumulative[2], u[2]),
            _pick(cumulative[3], u[3]),
            channel,
            _pick(cumulative[5][channel], u[5]),
            *(_pick(cumulative[at], u[at]) for at in range(6, 10)),
        ]
        cell: Integers = np.ravel_multi_index(levels, TRIAGE_GRID.shape)
        truth = _pick(self.truth.cumsum(axis=1)[self.profile[cell]], u[10])
        standard, special = (_pick(lane.cumsum(axis=1)[truth], u[11]) for lane in self.assessment)
        documents = _pick(self.documents.cumsum(axis=1)[truth], u[12]) + 1
        inspection = _pick(self.inspection.cumsum(axis=1)[truth], u[13]) + 1
        return np.stack([cell, truth, standard, special, documents, inspection], axis=1)

    def components(
        self, cell: Integers, truth: Integers, lane: Integers, documents: Integers, inspected: Integers, paid: Integers
    ) -> Floats:
        """What claims came to, shape `(n, 6)`, columns `COMPONENTS`; its sum is the reward.

        Args:
            lane: position of the triage option.
            documents: 1 where documents were requested; `inspected` and `paid` likewise, all of shape `(n,)`.
        """
        profile = self.profile[cell]
        parts, profiles = len(COMPONENTS), self.truth.shape[0]
        lanes = (self.busy[cell] * 4 + lane) * profiles + profile
        evidence = (documents * 2 + inspected) * profiles + profile
        end = (paid * profiles + profile) * 3 + truth
        total: Floats = self.lane_cost.reshape(-1, parts).take(lanes, axis=0)
        total += self.evidence_cost.reshape(-1, parts).take(evidence, axis=0)
        total += self.settlement.reshape(-1, parts).take(end, axis=0)
        return total


def stream(seed: int, first: int = 0) -> np.random.Generator:
    """The uniform numbers of the claims of a seed, from the claim number `first` on: `DRAWS` a claim.

    Claims are numbered, so that any one of them can be drawn without those before it.
    """
    bits = np.random.PCG64(np.random.SeedSequence(seed))
    bits.advance(first * DRAWS)
    return np.random.Generator(bits)


def claim(model: Model, seed: int, number: int) -> Integers:
    """One claim of a seed's stream, shape `(6,)`, columns `OUTCOMES`."""
    drawn: Integers = model.draw(stream(seed, number).random((1, DRAWS)))[0]
    return drawn


@functools.cache
def default() -> Model:
    """The model with its default parameters."""
    return Model()
