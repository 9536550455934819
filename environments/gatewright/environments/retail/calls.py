"""Performing a tool call on a case: whatever a model asks for gives a text, never an exception."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatewright.agents.errors import GatewrightError
from gatewright.environments.arguments import mismatch
from gatewright.environments.domains import Called

from .case import Case
from .catalogue import CATALOGUE

_CALLING = "Environment.make_tool_call()"
_OWN = "requestor"  # an argument of the recorded environment's own, as are `self` and `tool_name`


def _misnamed(args: Mapping[str, Any]) -> str | None:
    """The error where an argument has a name that the recorded environment's own function uses."""
    if _OWN in args:
        return f"tau2.environment.environment.{_CALLING} got multiple values for keyword argument {_OWN!r}"
    for name in args:
        if name in ("self", "tool_name"):
            return f"{_CALLING} got multiple values for argument {name!r}"
    return None


def _refused(call: Called) -> str | None:
    """Why the recorded environment does not even call the tool; None if it does."""
    if misnamed := _misnamed(call.args):
        return misnamed
    if call.by == "user":
        return "User tools not available"
    if call.name not in CATALOGUE:
        return f"Tool '{call.name}' not found."
    return mismatch(f"RetailTools.{call.name}()", CATALOGUE[call.name].parameters, call.args)


def perform(case: Case, call: Called) -> str:
    """The text that the call is answered with; what it changed is in `case`. Arguments may end up in the case's rows.

    Raises:
        UnavailableError: the case's rows cannot be read.
    """
    if refused := _refused(call):
        return f"Error: {refused}"
    try:
        return CATALOGUE[call.name].perform(case, **call.args)
    except GatewrightError:
        raise
    except Exception as error:
        return f"Error: {error}"
