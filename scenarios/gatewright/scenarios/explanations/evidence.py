"""Explanations as evidence: a record that says how the numbers came about, and their computation anew from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from gatewright.agents.errors import IntegrityError, UsageError

from .attributions import Attribution
from .enumeration import enumerate_coalitions
from .games import Array, Game
from .sampling import MOST, PRECISION, sample

VERSION = 1  # of the methods: goes up when the same seed gives other numbers


class Reproduction(NamedTuple):
    """`equal`: every number is the same to the last bit · `difference`: the largest one, in logits."""

    equal: bool
    difference: float


def explain(
    game: Game,
    features: Array,
    *,
    exact: bool = False,
    seed: int = 0,
    precision: float = PRECISION,
    most: int = MOST,
) -> Attribution:
    """Explain one decision, by sampling unless `exact` is asked for."""
    if exact:
        return enumerate_coalitions(game, features)
    return sample(game, features, seed=seed, precision=precision, most=most)


def record(
    game: Game,
    features: Array,
    found: Attribution,
    *,
    decision: int | None,
    policy: str,
    contrast: tuple[str, str],
    seed: int = 0,
    precision: float = PRECISION,
    most: int = MOST,
) -> dict[str, Any]:
    """What is written down of an explanation, as JSON values.

    Args:
        decision: the index of the decision in the ledger; None if it is not from one.
        policy: the version of the policy, its digest.
        contrast: the option that was explained, and the one it was held against.
        seed: with `precision` and `most`, what `found` was sampled with.
    """
    told = found.contrast(*contrast)
    return {
        "decision": decision,
        "policy": policy,
        "contrast": {"option": told.option, "against": told.against},
        "method": {
            "name": found.method,
            "version": VERSION,
            "pairs": found.pairs,
            "evaluations": found.evaluations,
            "settled": found.settled,
            **({"seed": seed, "precision": precision, "most": most} if found.method == "sampled" else {}),
        },
        "reference": game.reference.entry(),
        "features": list(found.features),
        "options": list(found.options),
        "encoded": game.row(features).tolist(),
        "values": found.values.tolist(),
        "errors": found.errors.tolist(),
        "base": found.base.tolist(),
        "output": found.output.tolist(),
        "residual": found.residual.tolist(),
        "off_support": found.off_support,
        "bars": [bar._asdict() for bar in told.bars],
        "code": f"numpy {np.__version__}",
    }


def reproduce(kept: Mapping[str, Any], game: Game) -> Reproduction:
    """Compute an explanation anew from its record, with the same policy and reference set.

    Bits are equal on the same machine and NumPy; elsewhere, a processor's order of additions may differ in the last.

    Raises:
        IntegrityError: the reference set, the options or the features are not those of the record.
        UsageError: the record is of another version of the methods.
    """
    method = kept["method"]
    if method["version"] != VERSION:
        raise UsageError(f"the explanation is of version {method['version']!r} of the methods; this is {VERSION}")
    if kept["reference"]["sha256"] != game.reference.digest:
        raise IntegrityError(
            f"the explanation has the reference set {kept['reference']['sha256']}, given is {game.reference.digest}"
        )
    if kept["options"] != list(game.options) or kept["features"] != [group.name for group in game.groups]:
        raise IntegrityError("the explanation has other options or features than the policy")
    encoded = np.asarray(kept["encoded"], dtype=np.float64)
    if method["name"] == "exact":
        found = explain(game, encoded, exact=True)
    else:
        found = explain(game, encoded, seed=method["seed"], precision=method["precision"], most=method["most"])
    anew: dict[str, Array] = {
        "values": found.values,
        "errors": found.errors,
        "base": found.base,
        "output": found.output,
        "off_support": np.asarray(found.off_support),
    }
    differences = [np.abs(np.asarray(kept[name], dtype=np.float64) - value).max() for name, value in anew.items()]
    return Reproduction(not any(differences), float(max(differences)))
