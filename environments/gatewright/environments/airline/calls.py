"""Performing a tool call on a case: whatever a model asks for gives a text, never an exception."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gatewright.agents.errors import GatewrightError

from .case import Case
from .catalogue import CATALOGUE, TRANSFER


def _class_name(tool: str) -> str:
    return "".join(part.capitalize() for part in tool.split("_"))


def _enumerated(names: Sequence[str]) -> str:
    quoted = [repr(name) for name in names]
    if len(quoted) < 3:
        return " and ".join(quoted)
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}"


def mismatch(tool: str, args: Mapping[str, Any]) -> str | None:
    """What is wrong with the names of the arguments; None if they fit.

    The texts are those in which CPython 3.10 to 3.12 refuses such a call of tau-bench's function; later versions
    word them differently, recorded conversations do not.
    """
    parameters = CATALOGUE[tool].parameters
    function = f"{_class_name(tool)}.invoke()"
    if "data" in args:
        return f"tau_bench.envs.airline.tools.{tool}.{function} got multiple values for keyword argument 'data'"
    for name in args:
        if name not in parameters:
            return f"{function} got an unexpected keyword argument {name!r}"
    missing = [name for name in parameters if name not in args]
    if missing:
        plural = "" if len(missing) == 1 else "s"
        return f"{function} missing {len(missing)} required positional argument{plural}: {_enumerated(missing)}"
    return None


def perform(case: Case, tool: str, args: Mapping[str, Any]) -> str:
    """The text that `tool` answers with; what it changed is in `case`. `args` may end up in the case's rows.

    Raises:
        UnavailableError: the case's rows cannot be read.
    """
    if tool not in CATALOGUE:
        return f"Unknown action {tool}"
    if tool == TRANSFER:  # the customer is gone even if the arguments were wrong
        case.transfers["last"] = {"args": dict(args)}
    wrong = mismatch(tool, args)
    if wrong is not None:
        return f"Error: {wrong}"
    try:
        return CATALOGUE[tool].perform(case, **args)
    except GatewrightError:
        raise
    except Exception as error:
        return f"Error: {error}"
