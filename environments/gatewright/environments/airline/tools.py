"""The airline's tools for LangChain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.tools import BaseTool
from pydantic import PrivateAttr

from gatewright.agents import labelled

from .catalogue import CATALOGUE

Perform = Callable[[str, Mapping[str, Any]], str]


class AirlineTool(BaseTool):
    """One tool of the airline.

    Its arguments are described by a JSON schema and not checked against it: the airline answers wrong ones itself, and
    a check that turned `1` into `1.0` would change what is booked.
    """

    _perform: Perform = PrivateAttr()

    def __init__(self, name: str, perform: Perform) -> None:
        operation = CATALOGUE[name]
        super().__init__(
            name=name,
            description=operation.description,
            args_schema=operation.schema,
        )
        labelled(self, operation.labels)
        self._perform = perform

    def _run(self, /, *args: Any, **kwargs: Any) -> str:
        text = self._perform(self.name, kwargs)
        # Half a surrogate pair in a model's argument comes back in an error text; LangChain's messages refuse it.
        return text.encode("utf-8", "backslashreplace").decode()

    # Without this, an asynchronous graph would hop to a thread for well under a millisecond of work.
    async def _arun(self, /, *args: Any, **kwargs: Any) -> str:
        return self._run(**kwargs)


def airline_tools(perform: Perform) -> list[AirlineTool]:
    """All tools, in the order of the catalogue; each call goes to `perform(name, arguments)`."""
    return [AirlineTool(name, perform) for name in CATALOGUE]
