"""A world's tools as data: what a model is told of each, its labels, and what it does to a case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.tools import BaseTool
from pydantic import PrivateAttr

from gatewright.agents import labelled
from gatewright.agents.effects import Label

Schema = dict[str, Any]
Perform = Callable[[str, Mapping[str, Any]], str]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One tool: `parameters` is the JSON schema of each argument in order, all of them required.

    `perform` is called with the case and the arguments by name.
    """

    description: str
    parameters: dict[str, Schema]
    labels: tuple[Label, ...]
    perform: Callable[..., str]

    @property
    def schema(self) -> Schema:
        return {"type": "object", "properties": self.parameters, "required": list(self.parameters)}


Catalogue = Mapping[str, Operation]


class CatalogueTool(BaseTool):
    """One tool of a catalogue.

    Its arguments are described by a JSON schema and not checked against it: the world answers wrong ones itself, and
    a check that turned `1` into `1.0` would change what is done.
    """

    _perform: Perform = PrivateAttr()

    def __init__(self, name: str, operation: Operation, perform: Perform) -> None:
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


def catalogue_tools(catalogue: Catalogue, perform: Perform) -> list[CatalogueTool]:
    """All tools, in the order of the catalogue; each call goes to `perform(name, arguments)`."""
    return [CatalogueTool(name, operation, perform) for name, operation in catalogue.items()]


def typed(kind: str, description: str = "") -> Schema:
    """The schema of an argument of that type."""
    return {"type": kind, "description": description} if description else {"type": kind}


def string(description: str = "") -> Schema:
    """The schema of a text."""
    return typed("string", description)


def one_of(*values: str) -> Schema:
    """The schema of a text that is one of `values`."""
    return {"type": "string", "enum": list(values)}
