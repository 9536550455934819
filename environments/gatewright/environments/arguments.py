"""Calls that do not fit a function's parameters, refused in the words that models were recorded with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def mismatch(function: str, parameters: Iterable[str], args: Mapping[str, Any]) -> str | None:
    """What is wrong with the names of the arguments; None if they fit. All `parameters` are required.

    The texts are those in which CPython 3.10 to 3.12 refuses such a call of `function`; later versions word them
    differently, recorded conversations do not.
    """
    wanted = list(parameters)
    for name in args:
        if name not in wanted:
            return f"{function} got an unexpected keyword argument {name!r}"
    missing = [name for name in wanted if name not in args]
    if missing:
        plural = "" if len(missing) == 1 else "s"
        return f"{function} missing {len(missing)} required positional argument{plural}: {_enumerated(missing)}"
    return None


def _enumerated(names: Sequence[str]) -> str:
    quoted = [repr(name) for name in names]
    if len(quoted) < 3:
        return " and ".join(quoted)
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}"
