"""The best triage that wrongs no more claims than the desk's rules do: the most that a policy within limits can reach.

A price on each of the two wrongs makes the constrained problem one of plain maximisation (Lagrange). Whatever the
prices, the priced optimum plus what the rules' own wrongs would cost bounds what can be reached; the best priced policy
that keeps within the limits comes close to it.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from .grid import TRIAGE_GRID
from .optimum import PARTS, Policies, Solver, rules, solver

PRICES = np.linspace(0.0, 1.6, 33)  # thousands of euros for one claim refused, or paid, wrongly


class Within(NamedTuple):
    """`policies` keep within the limits, and no triage that does is worth more than `bound`."""

    policies: Policies
    bound: float


def best_within(exact: Solver | None = None) -> Within:
    """The best triage, beside the desk's rules at investigate, that wrongs no more claims of either kind than these."""
    exact = exact or solver()
    own = rules()
    worth = exact.worth(own)
    allowed = np.array([worth.wrongly_denied, worth.wrongly_paid])
    parts = exact.triage_values(exact.investigation(own.investigate).start) * exact.model.weight[:, None, None]
    values, wrongs = parts[..., :PARTS].sum(axis=-1), parts[..., PARTS:]
    values = np.where(TRIAGE_GRID.masks, values, -np.inf)
    rows, best, bound = np.arange(TRIAGE_GRID.size), -np.inf, np.inf
    found = TRIAGE_GRID.rules
    for prices in itertools.product(PRICES, PRICES):
        priced = values - wrongs @ np.array(prices)
        choice = priced.argmax(axis=1)
        bound = min(bound, float(priced[rows, choice].sum() + allowed @ prices))
        value = float(values[rows, choice].sum())
        if value > best and (wrongs[rows, choice].sum(axis=0) <= allowed).all():
            found, best = choice, value
    return Within(own._replace(triage=TRIAGE_GRID.certain(found)), bound)
