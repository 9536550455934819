"""The support team in the world outside: its tools call another process, which counts them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from langchain_core.tools import BaseTool

from gatewright.agents import Conversation, current, idempotency_key, labelled, support
from gatewright.agents.effects import Label
from gatewright.agents.labels import labels_of
from gatewright.environments.airline.catalogue import CATALOGUE
from gatewright.environments.catalogue import catalogue_tools

from . import outside
from .history import KEYLESS
from .processes import NAME


class Outside:
    """The airline at a Unix socket."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._tools: list[BaseTool] = [_truthful(tool) for tool in catalogue_tools(CATALOGUE, self._perform)]

    def tools(self) -> Sequence[BaseTool]:
        """The airline's tools; those whose provider knows no keys are not labelled idempotent."""
        return self._tools

    def conversations(self, path: Path | None) -> list[Conversation]:
        """None: clients bring them."""
        return []

    def score(self, conversation: Conversation, case_id: str, replies: Sequence[str]) -> float:
        """Nothing is scored here."""
        raise NotImplementedError("what the airline noted is examined instead")

    def close(self) -> None:
        """There is nothing to close: each call connects anew."""

    def _perform(self, tool: str, args: Mapping[str, Any]) -> str:
        context = current()
        question = {
            "asks": "call",
            "tool": tool,
            "args": dict(args),
            "case": context.case_id,
            "key": idempotency_key() or "",
            "run": context.run_id,
            "by": os.environ.get(NAME, ""),
        }
        return str(outside.asked(self._place, question))


def _truthful(tool: BaseTool) -> BaseTool:
    if tool.name not in KEYLESS:
        return tool
    return labelled(tool, cast("frozenset[Label]", labels_of(tool) - {"idempotent"}))


def airline(state: Path, options: Mapping[str, Any]) -> Outside:
    """Open the world; `options["socket"]` is where it listens."""
    return Outside(Path(options["socket"]))


def rules() -> str:
    """The support team's rule pack, without its word that keyless tools may be repeated."""
    assert support.team.rules is not None
    pack = support.team.rules.read_text("utf-8")
    for name in sorted(KEYLESS):
        labels = f"  {name}: {{labels: [idempotent, "
        assert pack.count(labels) == 1, f"the support team's rules label {name!r} otherwise by now"
        pack = pack.replace(labels, f"  {name}: {{labels: [")
    return pack


team = dataclasses.replace(support.team, world="benchmarks.chaos.team:airline")
