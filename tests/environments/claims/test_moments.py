from __future__ import annotations

import numpy as np
import pytest

from gatewright.environments.claims.moments import CLOSED, PAID_WRONGLY, REFUSED_WRONGLY
from gatewright.environments.claims.optimum import rules, solver
from gatewright.environments.claims.simulator import INVESTIGATE, TRIAGE
from gatewright.environments.claims.within import best_within


def test_claims_are_wronged_as_often_as_the_model_says() -> None:
    copies = TRIAGE.copies(500)
    copies.reset(range(500))
    moments = [copies.step(copies.ruled) for _ in range(80)]
    exact = solver().worth(rules())
    for kind, share in ((PAID_WRONGLY, exact.wrongly_paid), (REFUSED_WRONGLY, exact.wrongly_denied)):
        counted = np.mean([moment.violations[kind].mean() for moment in moments])
        assert counted == pytest.approx(share, abs=4 * (share / 40_000) ** 0.5)
    assert not any(moment.violations[CLOSED].any() for moment in moments)


def test_a_claim_is_wronged_once_at_most_and_not_before_it_is_settled() -> None:
    copies = INVESTIGATE.copies(300)
    copies.reset(range(300))
    for _ in range(20):
        moment = copies.step(copies.ruled)
        wronged = moment.violations[PAID_WRONGLY] + moment.violations[REFUSED_WRONGLY]
        assert set(wronged) <= {0, 1}
        assert not wronged[~moment.settled].any()


def test_a_closed_option_wrongs_nobody_because_nothing_is_done() -> None:
    copies = TRIAGE.copies(300)
    copies.reset(range(300))
    moment = copies.step((~copies.masks).argmax(axis=1))
    closed = moment.violations[CLOSED] == 1
    assert closed.any()
    assert not moment.violations[PAID_WRONGLY][closed].any()
    assert not moment.violations[REFUSED_WRONGLY][closed].any()


def test_the_best_within_limits_keeps_them_and_is_as_good_as_any_that_does() -> None:
    exact, found = solver(), best_within()
    worth, own = exact.worth(found.policies), exact.worth(rules())
    assert worth.wrongly_paid <= own.wrongly_paid and worth.wrongly_denied <= own.wrongly_denied
    assert own.value < worth.value < found.bound < exact.worth(exact.best("triage")).value
    assert found.bound - worth.value < 5e-4
