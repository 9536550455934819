"""One claim on the desk: what was done with it, what its tools answer, and what that came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gatewright.agents.claims.points import TRIAGE_OPTIONS, TriageFeatures
from gatewright.environments.rows import Change, Overlay, Rows

from .grid import ASSESSMENTS, DOCUMENTS, INSPECTIONS, LANES, TRIAGE_GRID
from .model import COMPONENTS, OUTCOMES, Floats, Model, claim

TABLE = "claims"
UNTOUCHED: dict[str, Any] = {"lane": None, "documents": False, "inspection": False, "settled": None}


class RefusedError(Exception):
    """A call that the desk does not carry out; its text is what the caller reads."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim of the model: the number `number` of the seed `seed`."""

    model: Model
    seed: int
    number: int
    cell: int
    truth: int
    assessments: tuple[str, str]
    documents: str
    inspection: str
    features: TriageFeatures

    @classmethod
    def of(cls, model: Model, seed: int, number: int) -> Claim:
        """Draw the claim."""
        drawn = dict(zip(OUTCOMES, claim(model, seed, number).tolist(), strict=True))
        features = TRIAGE_GRID.features(drawn["cell"])
        assert isinstance(features, TriageFeatures)
        return cls(
            model=model,
            seed=seed,
            number=number,
            cell=drawn["cell"],
            truth=drawn["truth"],
            assessments=(ASSESSMENTS[drawn["assessment_standard"]], ASSESSMENTS[drawn["assessment_special"]]),
            documents=DOCUMENTS[drawn["documents"]],
            inspection=INSPECTIONS[drawn["inspection"]],
            features=features,
        )

    @property
    def id(self) -> str:
        """How customers and tools name it."""
        return f"C-{self.seed}-{self.number}"

    @property
    def risk(self) -> int:
        """The points of the fraud check's scorecard."""
        return int(self.model.risk[self.cell])


class ClaimCase:
    """A claim with what the desk has done with it, a row of the table `claims`."""

    def __init__(self, claim: Claim, overlay: Overlay) -> None:
        self.claim = claim
        self._rows = Rows(TABLE, {claim.id: UNTOUCHED}, overlay)

    @property
    def done(self) -> dict[str, Any]:
        """What was done: `lane`, whether `documents` and `inspection` were asked for, `settled` as paid or denied."""
        return self._rows[self.claim.id]

    def changes(self) -> list[Change]:
        """The row, if it was changed."""
        return list(self._rows.changes())

    def components(self) -> dict[str, float]:
        """What was earned so far, by component, in thousands of euros."""
        return dict(zip(COMPONENTS, self._earned().tolist(), strict=True))

    def reward(self) -> float:
        """All that was earned so far, in thousands of euros."""
        return float(self._earned().sum())

    def days(self) -> float:
        """How long the customer has waited so far."""
        m, p, done = self.claim.model, self.claim.model.parameters, self.done
        if done["lane"] is None:
            return 0.0
        days = {"fast_track": p.fast_track, "standard": p.standard, "special_unit": p.special_unit, "reject": p.reject}
        waited = days[done["lane"]][2]
        waited += m.busy[self.claim.cell] * p.unit_queue_days * (done["lane"] == "special_unit")
        waited += p.request_documents[2] * done["documents"] + p.inspect[2] * done["inspection"]
        large = self.claim.features.amount > p.payout_limit * 1_000
        return float(waited + p.approval_days * (done["settled"] == "paid" and large))

    def _earned(self) -> Floats:
        m, done = self.claim.model, self.done
        total: Floats = np.zeros(len(COMPONENTS))
        if done["lane"] is None:
            return total
        profile = m.profile[self.claim.cell]
        total += m.lane_cost[m.busy[self.claim.cell], TRIAGE_OPTIONS.index(done["lane"]), profile]
        total += m.evidence_cost[int(done["documents"]), int(done["inspection"]), profile]
        if done["settled"] is not None:
            total += m.settlement[int(done["settled"] == "paid"), profile, self.claim.truth]
        return total


def _working(case: ClaimCase) -> dict[str, Any]:
    """What was done, of a claim that somebody works on."""
    if case.done["lane"] is None:
        raise RefusedError("the claim was not assigned to a lane yet")
    if case.done["settled"] is not None:
        raise RefusedError(f"the claim is settled: it was {case.done['settled']}")
    return case.done


def _investigated(case: ClaimCase) -> dict[str, Any]:
    done = _working(case)
    if done["lane"] not in LANES:
        raise RefusedError(f"nobody investigates on the lane {done['lane']!r}")
    return done


def get_claim(case: ClaimCase) -> dict[str, Any]:
    known = case.claim.features.model_dump(exclude={"coverage", "fraud_score", "unit_busy"})
    return {"claim_id": case.claim.id, **known}


def check_coverage(case: ClaimCase) -> dict[str, Any]:
    return {"coverage": case.claim.features.coverage}


def check_fraud(case: ClaimCase) -> dict[str, Any]:
    return {"fraud_score": case.claim.features.fraud_score, "risk": case.claim.risk}


def check_workload(case: ClaimCase) -> dict[str, Any]:
    return {"unit_busy": case.claim.features.unit_busy}


def assign_claim(case: ClaimCase, lane: str) -> dict[str, Any]:
    if case.done["lane"] is not None:
        raise RefusedError(f"the claim is on the lane {case.done['lane']!r} already")
    if lane not in TRIAGE_OPTIONS:
        raise RefusedError(f"there is no lane {lane!r}; there are {', '.join(TRIAGE_OPTIONS)}")
    case.done["lane"] = lane
    if lane not in LANES:
        return {"lane": lane}
    return {"lane": lane, "assessment": case.claim.assessments[LANES.index(lane)]}


def request_documents(case: ClaimCase) -> dict[str, Any]:
    done = _investigated(case)
    if done["documents"]:
        raise RefusedError("documents were requested before")
    done["documents"] = True
    return {"documents": case.claim.documents}


def inspect_damage(case: ClaimCase) -> dict[str, Any]:
    done = _investigated(case)
    if done["inspection"]:
        raise RefusedError("the damage was inspected before")
    if case.claim.features.claim_type == "travel":
        raise RefusedError("there is nothing to inspect of a journey")
    done["inspection"] = True
    return {"inspection": case.claim.inspection}


def pay_claim(case: ClaimCase, amount: object) -> dict[str, Any]:
    done = _working(case)
    if amount != case.claim.features.amount or isinstance(amount, bool):
        raise RefusedError(f"the claim is for {case.claim.features.amount:g} euros, not for {amount!r}")
    done["settled"] = "paid"
    return {"paid": case.claim.features.amount}


def deny_claim(case: ClaimCase, reason: str) -> dict[str, Any]:
    done = _working(case)
    done["settled"] = "denied"
    return {"denied": str(reason)}
