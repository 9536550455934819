"""Explanations: what sampled Shapley values cost and how far they are off, beside `shap.ExactExplainer`.

A policy of 9 numbers and 3 categories (21 columns), 4 options, two layers of 64 tanh. Ours are sampled over 1,000
reference rows, shap's enumerate all coalitions with 100 of them. Truth is our own enumeration with all 1,000, which
agrees with shap's where both have the same rows (`exact_difference`).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatewright.scenarios.explanations import Game, Group, Reference, enumerate_coalitions, sample

from .figures import Bar, Figure, Turn, compare, say, take_turns
from .program import Setting, main

Array = NDArray[np.float64]

NUMBERS, CATEGORIES, VALUES = 9, 3, 4
OPTIONS = ("approve", "reject", "investigate", "ask")
GROUPS = [Group(f"number{n}", (n,)) for n in range(NUMBERS)] + [
    Group(f"category{n}", tuple(range(NUMBERS + VALUES * n, NUMBERS + VALUES * (n + 1)))) for n in range(CATEGORIES)
]
ROWS, FEW = 1_000, 100  # reference rows: ours, shap's


def one_hot(codes: Array) -> Array:
    """Nine numbers and three codes as 21 columns."""
    parts = [np.eye(VALUES)[codes[:, NUMBERS + n].astype(int)] for n in range(CATEGORIES)]
    return np.concatenate([codes[:, :NUMBERS], *parts], axis=1)


def decisions(count: int, generator: np.random.Generator) -> Array:
    """Decisions with features that go together, as shap takes them: shape `(count, 12)`."""
    mixed = np.eye(NUMBERS) + 0.3 * np.random.default_rng(1).normal(size=(NUMBERS, NUMBERS))
    numbers = generator.normal(size=(count, NUMBERS)) @ mixed
    codes = generator.integers(VALUES, size=(count, CATEGORIES))
    codes[:, 0] = np.clip(np.round(numbers[:, 0] + 1), 0, VALUES - 1)
    return np.concatenate([numbers, codes.astype(np.float64)], axis=1)


def policy(dtype: type[np.floating[Any]]) -> Callable[[Array], Array]:
    """The logits of a network with weights as training leaves them."""
    generator = np.random.default_rng(2)
    sizes = ((21, 64), (64, 64), (64, 4))
    first, second, last = (generator.normal(size=size) * 1.5 / np.sqrt(size[0]) for size in sizes)
    layers = [np.asarray(weights, dtype=dtype) for weights in (first, second, 2 * last)]

    def logits(rows: Array) -> Array:
        hidden = np.asarray(rows, dtype=dtype)
        for weights in layers[:-1]:
            hidden = np.tanh(hidden @ weights)
        return np.asarray(hidden @ layers[-1], dtype=np.float64)

    return logits


def _exact_of_shap(game: Game, usual: Array) -> Callable[[Array], Array]:
    """shap's exact values of decisions, shape `(n, 12, 4)`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # matplotlib's, of what will change in pyparsing
        import shap
    from shap.maskers import Independent

    def worth(codes: Array) -> Array:
        return game.worth(one_hot(codes))

    explainer = shap.ExactExplainer(worth, Independent(usual, max_samples=len(usual)))
    return lambda cases: np.asarray(explainer(cases).values, dtype=np.float64)


def _rate(work: Callable[[int], object], each: int) -> Turn:
    """Explanations in a second of CPU."""
    turns = iter(range(1_000_000))

    async def turn() -> float:
        began = time.process_time()
        work(next(turns) * each)
        return each / (time.process_time() - began)

    return turn


async def measure(setting: Setting) -> Sequence[Figure]:
    """Costs in turns; then errors against the truth."""
    generator = np.random.default_rng(3)
    usual, cases = decisions(ROWS, generator), decisions(200, generator)
    rows = one_hot(cases)
    game = Game(policy(np.float32), GROUPS, Reference(rows=one_hot(usual), query="synthetic"), OPTIONS)
    theirs = _exact_of_shap(game, usual[:FEW])
    ours_each, theirs_each = setting.size(40, 2), setting.size(4, 1)

    def explain_ours(start: int) -> None:
        for place in range(start, start + ours_each):
            sample(game, rows[place % len(rows)], seed=place)

    def explain_theirs(start: int) -> None:
        theirs(cases[np.arange(start, start + theirs_each) % len(cases)])

    say("explanations: cost, in turns")
    pairs = await take_turns(_rate(explain_ours, ours_each), _rate(explain_theirs, theirs_each), setting.size(5, 1))
    cost = compare("sampled_cost", "/CPU s", pairs, Bar(value=15, sense="at least"))
    return [cost, *_errors(setting, game, rows, cases, theirs), _difference(usual, cases)]


def _errors(setting: Setting, game: Game, rows: Array, cases: Array, theirs: Callable[[Array], Array]) -> list[Figure]:
    """Mean absolute errors beside the mean absolute value, and how often two standard errors cover the truth."""
    count, seeds = setting.size(12, 1), setting.size(20, 3)
    say(f"explanations: the truth of {count} decisions")
    truth = np.array([enumerate_coalitions(game, row).values for row in rows[:count]])
    found = [
        [sample(game, row, seed=1000 * place + seed) for seed in range(seeds)] for place, row in enumerate(rows[:count])
    ]
    off = np.array([[each.values for each in own] for own in found]) - truth[:, None]
    errors = np.array([[each.errors for each in own] for own in found])
    size = np.abs(truth).mean()
    ours, reference = np.abs(off).mean() / size, np.abs(theirs(cases[:count]) - truth).mean() / size
    covered = float((np.abs(off) <= 2 * errors).mean())
    say(f"explanations: {off.size} values, of which {covered:.4f} were covered")
    return [
        Figure(
            name="sampled_error",
            unit="of |phi|",
            ours=float(ours),
            reference=float(reference),
            ratio=float(ours / reference),
            bar=Bar(value=1, sense="at most"),
        ),
        Figure(name="coverage", unit="share", ours=covered, bar=Bar(value=0.93, sense="at least", of="ours")),
        Figure(name="coverage_not_above", unit="share", ours=covered, bar=Bar(value=0.97, sense="at most", of="ours")),
    ]


def _difference(usual: Array, cases: Array) -> Figure:
    """How far exact values are from shap's with the same rows, in double precision."""
    few = Game(policy(np.float64), GROUPS, Reference(rows=one_hot(usual[:FEW]), query="synthetic"), OPTIONS)
    theirs = _exact_of_shap(few, usual[:FEW])(cases[:2])
    ours = np.array([enumerate_coalitions(few, row).values for row in one_hot(cases[:2])])
    difference = float(np.abs(ours - theirs).max())
    bar = Bar(value=1e-6, sense="at most", of="ours")
    return Figure(name="exact_difference", unit="logits", ours=difference, bar=bar)


if __name__ == "__main__":
    main(measure, __doc__)
