"""Explanations for the plots of `shap`: `shap.plots.waterfall(to_shap(found, ...))`. Needs the extra `audit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gatewright.agents.errors import MissingExtraError, UsageError

from .attributions import Attribution

if TYPE_CHECKING:
    import shap


def to_shap(
    found: Attribution | Sequence[Attribution],
    option: str,
    against: str,
    shown: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
) -> shap.Explanation:
    """One explanation (for a waterfall) or several (for a beeswarm) of `option` rather than `against`.

    Args:
        shown: the features' values as they are to be shown, by name; for several explanations, one each.

    Raises:
        MissingExtraError: `shap` is not installed.
        UsageError: explanations are of different features, or one of the options is none.
    """
    try:
        import shap
    except ImportError as error:
        raise MissingExtraError("a plot of an explanation", "audit", error) from error
    several = [found] if isinstance(found, Attribution) else list(found)
    if not several or len({each.features for each in several}) != 1:
        raise UsageError("explanations of the same features are shown together, at least one")
    values, errors, bases = zip(*(_columns(each, option, against) for each in several), strict=True)
    given = [shown] if isinstance(shown, Mapping) else list(shown or [])
    names = list(several[0].features)
    data = _table([[each[name] for name in names] for each in given]) if given else None
    one = isinstance(found, Attribution)
    return shap.Explanation(
        values=values[0] if one else np.array(values),
        base_values=bases[0] if one else np.array(bases),
        data=data if data is None or not one else data[0],
        error_std=errors[0] if one else np.array(errors),
        feature_names=names,
    )


def _columns(found: Attribution, option: str, against: str) -> tuple[Any, Any, float]:
    told = found.contrast(option, against)
    bars = {bar.feature: bar for bar in told.bars}
    ordered = [bars[name] for name in found.features]
    return np.array([bar.value for bar in ordered]), np.array([bar.error for bar in ordered]), told.base


def _table(rows: list[list[Any]]) -> Any:
    """What is shown, as floats where all of it is numbers: some plots colour by it (violin) and take no objects."""
    numbers = all(isinstance(value, int | float) for row in rows for value in row)
    return np.array(rows, dtype=np.float64 if numbers else object)
