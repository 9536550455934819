"""What policies of the claims desk are worth, exactly, and the best of them.

Nothing is sampled: the model is finite, so values are sums over its cells. Weights are carried unnormalised (the
probability of a profile's truth times that of the evidence seen), so that a value is the expected reward per claim with
that profile *and* that evidence, and sums over evidence are plain sums. The best policy comes from backward induction
(R. Bellman, Dynamic Programming, 1957): an investigation gathers each piece of evidence at most once.

A policy is a table: float64, shape `(n_cells, n_options)`, rows add up to 1, zero where the option is closed.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .grid import INVESTIGATE_GRID, TRIAGE_GRID, Grid
from .model import COMPONENTS, Model, default

Floats = NDArray[np.float64]
Point = Literal["triage", "investigate"]
GRIDS: dict[Point, Grid] = {"triage": TRIAGE_GRID, "investigate": INVESTIGATE_GRID}
PARTS = len(COMPONENTS)


class Policies(NamedTuple):
    """A policy for each decision point."""

    triage: Floats
    investigate: Floats


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What policies are worth per claim that comes in, in thousands of euros.

    `value` is the sum of `components`. `minutes` are those of the desk's people. `lanes` gives the share of each triage
    option. `wrongly_denied` and `wrongly_paid` are shares of all claims.
    """

    value: float
    components: dict[str, float]
    minutes: float
    lanes: dict[str, float]
    wrongly_denied: float
    wrongly_paid: float


def rules() -> Policies:
    """The desk's own rules."""
    return Policies(TRIAGE_GRID.certain(TRIAGE_GRID.rules), INVESTIGATE_GRID.certain(INVESTIGATE_GRID.rules))


def uniform() -> Policies:
    """Any open option alike."""
    return Policies(TRIAGE_GRID.uniform(), INVESTIGATE_GRID.uniform())


def _greedy(values: Floats, masks: NDArray[np.bool_]) -> Floats:
    """The table that takes the open option of the highest value; the first of equals."""
    table: Floats = np.eye(values.shape[-1])[np.where(masks, values, -np.inf).argmax(axis=-1)]
    return table


class Investigation(NamedTuple):
    """What investigations come to; see `Solver.investigation`."""

    start: Floats
    policy: Floats


class Solver:
    """Exact values of one model. Last axes of arrays hold the components, and two shares beside them."""

    def __init__(self, model: Model | None = None) -> None:
        self.model = model or default()
        wrong = np.zeros((*self.model.settlement.shape[:-1], 2))
        wrong[0, :, 0, 0] = 1.0  # denied and legitimate
        wrong[1, :, 1:, 1] = 1.0  # paid and not
        self._settlement = np.concatenate([self.model.settlement, wrong], axis=-1)

    def _weights(self) -> Floats:
        """Shape `(n_profiles, lane 2, assessment 3, documents 3, inspection 3, truth 3)`."""
        m = self.model
        documents = np.concatenate([np.ones((3, 1)), m.documents], axis=1)  # nothing asked for, nothing learnt
        inspection = np.concatenate([np.ones((3, 1)), m.inspection], axis=1)
        weights: Floats = np.einsum("kh,lha,hd,hi->kladih", m.truth, m.assessment, documents, inspection)
        return weights

    def investigation(self, policy: Floats | None) -> Investigation:
        """What investigations with a policy come to, or with the best one.

        `start`: shape `(n_profiles, 2, 8)` by lane, the expected components and shares when a claim reaches that lane
        (without the lane's own cost). `policy`: the table that was followed.
        """
        weights = self._weights()
        paid = np.einsum("kladih,khc->kladic", weights, self._settlement[1])
        denied = np.einsum("kladih,khc->kladic", weights, self._settlement[0])
        reached = weights.sum(axis=-1)
        price = np.zeros((2, weights.shape[0], PARTS + 2))
        price[..., :PARTS] = self.model.evidence_cost[[1, 0], [0, 1]]
        masks = INVESTIGATE_GRID.masks.reshape(*reached.shape, 4)
        table = None if policy is None else policy.reshape(*reached.shape, 4)
        followed = np.zeros((*reached.shape, 4))
        total = np.zeros_like(paid)
        for d, i in ((slice(1, 3), slice(1, 3)), (0, slice(1, 3)), (slice(1, 3), 0), (0, 0)):
            at = (..., d, i)
            options = np.zeros((*paid[:, :, :, d, i].shape, 4))
            options[..., 0] = paid[:, :, :, d, i]
            options[..., 3] = denied[:, :, :, d, i]
            if d == 0:
                more = total[:, :, :, 1:, i].sum(axis=3)
                options[..., 1] = more + _spread(price[0], reached[at])
            if i == 0:
                more = total[:, :, :, d, 1:].sum(axis=-2)
                options[..., 2] = more + _spread(price[1], reached[at])
            here = masks[:, :, :, d, i]
            chosen = _greedy(options[..., :PARTS, :].sum(axis=-2), here) if table is None else table[:, :, :, d, i]
            followed[:, :, :, d, i] = chosen
            total[:, :, :, d, i] = (options * chosen[..., None, :]).sum(axis=-1)
        return Investigation(total[:, :, :, 0, 0].sum(axis=2), followed.reshape(-1, 4))

    def triage_values(self, investigation: Floats) -> Floats:
        """Expected components and shares of each triage option, shape `(n_triage_cells, 4, 8)`.

        Args:
            investigation: `start` of an investigation.
        """
        m = self.model
        lanes = np.zeros((2, 4, m.truth.shape[0], PARTS + 2))
        lanes[..., :PARTS] = m.lane_cost
        lanes[:, 0] += np.einsum("kh,khc->kc", m.truth, self._settlement[1])
        lanes[:, 1] += investigation[:, 0]
        lanes[:, 2] += investigation[:, 1]
        lanes[:, 3] += np.einsum("kh,khc->kc", m.truth, self._settlement[0])
        return lanes.transpose(0, 2, 1, 3)[m.busy, m.profile]

    def worth(self, policies: Policies) -> Worth:
        """What two policies are worth together."""
        options = self.triage_values(self.investigation(policies.investigate).start)
        flow = self.model.weight[:, None] * policies.triage
        parts = np.einsum("no,noc->c", flow, options)
        components = dict(zip(COMPONENTS, parts[:PARTS].tolist(), strict=True))
        return Worth(
            value=float(parts[:PARTS].sum()),
            components=components,
            minutes=-components["human"] / self.model.parameters.minute,
            lanes=dict(zip(TRIAGE_GRID.point.options, flow.sum(axis=0).tolist(), strict=True)),
            wrongly_denied=float(parts[PARTS]),
            wrongly_paid=float(parts[PARTS + 1]),
        )

    def investigated(self, policies: Policies) -> float:
        """What an investigation is worth from where it begins, per claim that comes to one."""
        m = self.model
        flow = (m.weight[:, None] * policies.triage)[:, 1:3]
        start = self.investigation(policies.investigate).start[..., :PARTS].sum(axis=-1)
        return float((flow * start[m.profile]).sum() / flow.sum())

    def best(self, point: Point | None = None, others: Policies | None = None) -> Policies:
        """The best policies: of both points together, or of `point` while the other one follows `others`.

        Without `others` the other point follows the desk's rules.
        """
        others = others or rules()
        investigation = self.investigation(None if point != "triage" else others.investigate)
        if point == "investigate":
            return Policies(others.triage, investigation.policy)
        values = self.triage_values(investigation.start)[..., :PARTS].sum(axis=-1)
        return Policies(_greedy(values, TRIAGE_GRID.masks), investigation.policy)

    def share(self, policies: Policies, point: Point | None = None, others: Policies | None = None) -> float:
        """How much of what can be gained is gained: 0 for picking any open option alike, 1 for the optimum.

        It is `(value - value of uniform) / (best value - value of uniform)`. With `point`, the uniform and the best
        policy differ from `others` (the desk's rules without) at that point alone.
        """
        base = uniform()
        if point is not None:
            base = (others or rules())._replace(**{point: getattr(base, point)})
        low, high = self.worth(base).value, self.worth(self.best(point, others)).value
        return (self.worth(policies).value - low) / (high - low)


def _spread(price: Floats, reached: Floats) -> Floats:
    """A price by profile, paid with the probability of being here."""
    return reached[..., None] * price.reshape(price.shape[0], *([1] * (reached.ndim - 1)), price.shape[1])


@functools.cache
def solver() -> Solver:
    """That of the default model."""
    return Solver()
