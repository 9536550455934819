"""Performing a tool call on a case: whatever a model asks for gives a text, never an exception."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatewright.agents.errors import GatewrightError
from gatewright.environments.arguments import mismatch

from .case import Case
from .catalogue import CATALOGUE, TRANSFER


def _class_name(tool: str) -> str:
    return "".join(part.capitalize() for part in tool.split("_"))


def _mismatch(tool: str, args: Mapping[str, Any]) -> str | None:
    function = f"{_class_name(tool)}.invoke()"
    if "data" in args:
        return f"tau_bench.envs.airline.tools.{tool}.{function} got multiple values for keyword argument 'data'"
    return mismatch(function, CATALOGUE[tool].parameters, args)


def perform(case: Case, tool: str, args: Mapping[str, Any]) -> str:
    """The text that `tool` answers with; what it changed is in `case`. `args` may end up in the case's rows.

    Raises:
        UnavailableError: the case's rows cannot be read.
    """
    if tool not in CATALOGUE:
        return f"Unknown action {tool}"
    if tool == TRANSFER:  # the customer is gone even if the arguments were wrong
        case.transfers["last"] = {"args": dict(args)}
    wrong = _mismatch(tool, args)
    if wrong is not None:
        return f"Error: {wrong}"
    try:
        return CATALOGUE[tool].perform(case, **args)
    except GatewrightError:
        raise
    except Exception as error:
        return f"Error: {error}"
