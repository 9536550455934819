"""The airline as a world that a team is deployed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool

from gatewright.agents import Conversation, current, idempotency_key
from gatewright.agents.errors import UsageError

from . import calls, dataset, episodes
from .case import Case
from .catalogue import CATALOGUE
from .reward import reward
from .store import CaseStore, Written
from .tools import airline_tools

CONVERSATIONS = dataset.BUILT_IN / "conversations.json"


class _CaseOverlay:
    def __init__(self, store: CaseStore, case_id: str) -> None:
        self._store = store
        self._case_id = case_id

    def fetch(self, table: str, key: str) -> str | None:
        return self._store.row(self._case_id, table, key)


class AirlineWorld:
    """Each case works on the data set that its thread's setting `world.data` names, and keeps its own changes."""

    def __init__(self, state: Path, data: Path) -> None:
        """Keep the cases' changes in `state`; `data` is for threads that name no data set.

        Raises:
            UnavailableError: the state cannot be opened.
        """
        self._data = data
        self._store = CaseStore(state / "world.sqlite")
        self._tools: Sequence[BaseTool] = airline_tools(self._perform)

    def tools(self) -> Sequence[BaseTool]:
        """The fourteen tools."""
        return self._tools

    def conversations(self, path: Path | None) -> list[Conversation]:
        """The conversations in a file of tau-bench's format; without one, those of the small airline.

        They are held on the data set beside the file, if there is one.

        Raises:
            UsageError: the file is absent or holds something else.
        """
        if path is None:
            return episodes.read(CONVERSATIONS, None)
        beside = path.resolve().parent
        return episodes.read(path, beside if (beside / "flights.json").is_file() else None)

    def score(self, conversation: Conversation, case_id: str, replies: Sequence[str]) -> float:
        """The final reward, 0.0 or 1.0, of a conversation that was held as `case_id`; see `reward`.

        Raises:
            UsageError: the conversation's task is not one of the airline's.
        """
        base = dataset.load(self._folder(conversation.settings))
        return reward(conversation.task, base, self._store.changes(case_id), replies)

    def close(self) -> None:
        """Close the state; no tool can be used afterwards."""
        self._store.close()

    def _folder(self, settings: Mapping[str, Any]) -> Path:
        world: object = settings.get("world", {})
        named: object = world.get("data") if isinstance(world, Mapping) else world
        if named is None:
            return self._data
        if not isinstance(named, str) or not Path(named).is_absolute():
            raise UsageError(f"the thread's setting `world.data` is {named!r}; it must be an absolute path")
        return Path(named)

    def _perform(self, tool: str, args: Mapping[str, Any]) -> str:
        context = current()
        base = dataset.load(self._folder(context.settings))
        overlay = _CaseOverlay(self._store, context.case_id)
        if "reads" in CATALOGUE[tool].labels:
            return calls.perform(Case(base, overlay), tool, args)

        def operation() -> Written:
            case = Case(base, overlay)
            return Written(calls.perform(case, tool, args), case.changes())

        return self._store.write(context.case_id, idempotency_key(), operation)


def airline(state: Path, options: Mapping[str, Any]) -> AirlineWorld:
    """Open the airline with its durable state in the folder `state`.

    Args:
        options: `data`, a directory with flights.json, reservations.json and users.json for threads that name none;
            without it, the small airline that comes along.

    Raises:
        UsageError: an option is unknown.
        UnavailableError: the state cannot be opened.
    """
    unknown = sorted(set(options) - {"data"})
    if unknown:
        raise UsageError(f"the airline has no option {unknown[0]!r}; it has ['data']")
    return AirlineWorld(state, Path(options.get("data") or dataset.BUILT_IN).resolve())
