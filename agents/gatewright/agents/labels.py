"""What tools do, as the code that makes them says it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from langchain_core.tools import BaseTool

from .effects import Label

T = TypeVar("T", bound=BaseTool)

_KEY = "gatewright"


class Labels(frozenset[str]):
    """Labels that code has given. Metadata that comes as JSON, from a server of tools for example, can never hold one,
    so nobody outside labels their own tools `trusted`."""


def labelled(tool: T, labels: Iterable[Label]) -> T:
    """The tool, with labels; those it had are replaced.

    >>> from langchain_core.tools import tool
    >>> @tool
    ... def exchange_rate(currency: str) -> float:
    ...     "The rate of a currency to the euro."
    ...     return 1.08
    >>> sorted(labels_of(labelled(exchange_rate, {"reads"})))
    ['reads']
    """
    tool.metadata = {**(tool.metadata or {}), _KEY: Labels(labels)}
    return tool


def labels_of(tool: Any) -> frozenset[str]:
    """The labels that code has given to a tool."""
    found = (getattr(tool, "metadata", None) or {}).get(_KEY)
    return found if isinstance(found, Labels) else frozenset()
