"""Domains: worlds made of a data set, a catalogue of tools and a way to judge what was done with them.

A domain can be worked in memory (`gatewright.scenarios.replay`) or deployed with durable cases (`DomainWorld`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from langchain_core.tools import BaseTool

from gatewright.agents import Conversation, current, idempotency_key
from gatewright.agents.errors import UsageError

from . import recordings
from .casestore import CaseOverlay, CaseStore, Written
from .catalogue import Catalogue, catalogue_tools
from .recordings import Recording
from .rows import Change, Overlay, digest
from .worlds import RecordedUser, User


class Case(Protocol):
    """One case's view of a data set."""

    def changes(self) -> list[Change]:
        """All rows that this case changed or added."""
        ...

    def customers(self) -> set[str]:
        """The ids of the customers that the case was about so far."""
        ...


@dataclass(frozen=True, kw_only=True)
class Called:
    """A tool call. `by`: who made it."""

    name: str
    args: Mapping[str, Any]
    by: str = "assistant"


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a conversation left behind: changed rows, the texts the team said, and its calls where they are known."""

    changes: Sequence[Change]
    replies: Sequence[str]
    calls: Sequence[Called] | None = None


D = TypeVar("D")
C = TypeVar("C", bound=Case)


@dataclass(frozen=True, kw_only=True)
class Domain(Generic[D, C]):
    """What the worlds of one kind have in common.

    `load` reads the data set in a folder, `open` begins a case on it. `perform` gives the text that a call answers
    with, never an exception. `solution` is the case that a task's own actions lead to, and `reward` the final reward
    in [0, 1] of a conversation beside it. `parse` reads the JSON value of a file of recorded episodes. `file` tells
    a folder with a data set; `built_in` are the recorded conversations that come along. Every case begins at `began`.
    """

    name: str
    catalogue: Catalogue
    began: datetime
    load: Callable[[Path], D]
    open: Callable[[D, Overlay], C]
    perform: Callable[[C, Called], str]
    solution: Callable[[D, Mapping[str, Any]], C]
    reward: Callable[[D, Mapping[str, Any], Held, C], float]
    parse: Callable[[object], list[Recording]]
    file: str
    built_in: Path | None = None

    def recordings(self, path: Path) -> list[Recording]:
        """The episodes in a recorded file.

        Raises:
            NotFoundError: there is no such file.
            UsageError: it holds something else.
        """
        return recordings.read(path, self.parse)

    def beside(self, path: Path) -> Path | None:
        """The folder of a recorded file if it holds a data set of this domain."""
        folder = path.resolve().parent
        return folder if (folder / self.file).is_file() else None


AnyDomain = Domain[Any, Any]


class DomainWorld(Generic[D, C]):
    """Each case works on the data set that its thread's setting `world.data` names, and keeps its own changes."""

    def __init__(self, domain: Domain[D, C], state: Path, data: Path | None) -> None:
        """Keep the cases' changes in `state`; `data` is for threads that name no data set.

        Raises:
            UnavailableError: the state cannot be opened.
        """
        self._domain = domain
        self._data = data
        self._store = CaseStore(state / "world.sqlite")
        self._tools: Sequence[BaseTool] = catalogue_tools(domain.catalogue, self._perform)

    def tools(self) -> Sequence[BaseTool]:
        """The tools of the catalogue, in its order."""
        return self._tools

    def conversations(self, path: Path | None) -> list[Conversation]:
        """The conversations in a recorded file; without one, the small set that comes along, if any.

        They are held on the data set beside the file, if there is one.

        Raises:
            UsageError: the file is absent or holds something else.
        """
        given = path or self._domain.built_in
        if given is None:
            raise UsageError(f"no {self._domain.name} conversations come along; name a file of recorded ones")
        data = None if path is None else self._domain.beside(path)
        return [recording.conversation(data) for recording in self._domain.recordings(given)]

    def score(self, conversation: Conversation, case_id: str, replies: Sequence[str]) -> float:
        """The final reward in [0, 1] of a conversation that was held as `case_id`.

        Raises:
            UsageError: the conversation's task is not one of this domain, or asks for more than state and replies.
        """
        data = self._domain.load(self._folder(conversation.settings))
        held = Held(changes=self._store.changes(case_id), replies=replies)
        solution = self._domain.solution(data, conversation.task)
        return self._domain.reward(data, conversation.task, held, solution)

    def reset(self, case_id: str, seed: int) -> None:
        """Make the case as if nothing had happened in it; nothing here is left to chance."""
        self._store.forget(case_id)

    def digest(self, case_id: str) -> str:
        """SHA-256 (hex) of the rows that the case changed; see `rows.digest`."""
        return digest(self._store.changes(case_id))

    def now(self, case_id: str) -> datetime:
        """When every case begins: the clock of a recorded domain stands still."""
        return self._domain.began

    def user(self, conversation: Conversation, seed: int) -> User:
        """The recorded customer."""
        return RecordedUser(conversation)

    def close(self) -> None:
        """Close the state; no tool can be used afterwards."""
        self._store.close()

    def _folder(self, settings: Mapping[str, Any]) -> Path:
        world: object = settings.get("world", {})
        named: object = world.get("data") if isinstance(world, Mapping) else world
        if named is None and self._data is not None:
            return self._data
        if not isinstance(named, str) or not Path(named).is_absolute():
            raise UsageError(f"the thread's setting `world.data` is {named!r}; it must be an absolute path")
        return Path(named)

    def _perform(self, tool: str, args: Mapping[str, Any]) -> str:
        context = current()
        domain, call = self._domain, Called(name=tool, args=args)
        data = domain.load(self._folder(context.settings))
        overlay = CaseOverlay(self._store, context.case_id)
        if "reads" in domain.catalogue[tool].labels:
            return domain.perform(domain.open(data, overlay), call)

        def operation() -> Written:
            case = domain.open(data, overlay)
            return Written(domain.perform(case, call), case.changes())

        return self._store.write(context.case_id, idempotency_key(), operation)


def data_option(name: str, options: Mapping[str, Any]) -> Path | None:
    """The option `data` of a world that has no other: an absolute path, None where it is not given.

    Raises:
        UsageError: there are other options.
    """
    unknown = sorted(set(options) - {"data"})
    if unknown:
        raise UsageError(f"the {name} has no option {unknown[0]!r}; it has ['data']")
    return Path(options["data"]).resolve() if options.get("data") else None
