"""Tables of trials, written shortly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatewright.scenarios.gate import Table, Trial, table


def side(results: Mapping[str, str], name: str = "side", **fields: Any) -> Table:
    """`{"a": "1101"}`: of the four trials of case `a` the third failed; `?` is one of which that is not known.

    `fields` are of every trial.
    """
    known = {"1": True, "0": False, "?": None}
    return table(
        name,
        [
            Trial(case=case, trial=number, success=known[result], **fields)
            for case, trials in results.items()
            for number, result in enumerate(trials)
        ],
    )


def suite(count: int, trials: str, name: str = "side", **fields: Any) -> Table:
    """So many cases that all came out alike."""
    return side({f"case {number}": trials for number in range(count)}, name, **fields)
