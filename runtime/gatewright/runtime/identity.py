"""Which step of a run is executing: an identity that survives executing the step again.

LangGraph names a task by an id derived from its checkpoint's id, which is new on every execution that starts from
the same place (`durability="exit"`). What does not change is the place: the step's number, the node's name, and for
a fan-out the task's position in it, at every level of nested graphs. A callback handler notes the place of each
task when it starts; an effect finds it by the task's checkpoint namespace.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Protocol
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp

LEVEL = "|"
OUTSIDE = "run"  # the step of an effect that no node asked for
WITHIN: ContextVar[str] = ContextVar("gatewright_within", default="")
"""The key of the effect that the running code performs; empty in a node's own code."""


def _positions(path: Any) -> Iterator[str]:
    """The numbers in a task's path: where it stands in a fan-out or among the calls of its parent."""
    if isinstance(path, bool) or path is None:
        return
    if isinstance(path, int):
        yield str(path)
    elif isinstance(path, tuple | list):
        for part in path:
            yield from _positions(part)


class Watcher(Protocol):
    """Who is told how steps go."""

    def begun(self, step: str) -> None:
        """A step begins, or begins again under a retry policy."""

    def ended(self, step: str) -> None:
        """A step came to its end."""

    def failed(self, step: str, error: BaseException) -> None:
        """A step failed."""


class Steps(BaseCallbackHandler):
    """Notes the place of every task of one execution, and how often each (kind, name) has been asked for in it."""

    run_inline = True  # in the task's own flow, before its code runs

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._lock = threading.Lock()
        self._places: dict[str, str] = {}
        self._members: dict[UUID, str] = {}
        self._steps: dict[UUID, str] = {}
        self._calls: dict[str, int] = {}  # by namespace: the highest number of a sub-graph that was invoked in it
        self._earlier: dict[str, int] = {}  # by namespace: how many of those an earlier try of the task invoked
        self._occurrences: dict[str, dict[tuple[str, str], int]] = defaultdict(lambda: defaultdict(int))

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Note where a task stands when it starts, or starts again under a retry policy."""
        namespace = (metadata or {}).get("langgraph_checkpoint_ns")
        if not namespace or metadata is None:
            return
        with self._lock:
            inner = parent_run_id is not None and self._members.get(parent_run_id) == namespace
            self._members[run_id] = namespace
            if inner:  # a runnable inside the task, not the task itself
                return
            place = f"{metadata.get('langgraph_node')}@{metadata.get('langgraph_step')}"
            if positions := ".".join(_positions(metadata.get("langgraph_path"))):
                place += f"#{positions}"
            self._places[namespace] = place
            self._count(namespace)
            step = self._steps[run_id] = self._path(namespace)
        self.begin(step)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Note that a task came to its end."""
        with self._lock:
            self._members.pop(run_id, None)
            step = self._steps.pop(run_id, None)
        if step is not None:
            self._watcher.ended(step)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Note that a task failed or parked."""
        with self._lock:
            self._members.pop(run_id, None)
            step = self._steps.pop(run_id, None)
        if step is not None and not isinstance(error, GraphBubbleUp):
            self._watcher.failed(step, error)

    def begin(self, step: str) -> None:
        """Begin to count the effects of a step (of a task, or of an effect that is made of others) anew."""
        with self._lock:
            self._occurrences.pop(step, None)
        self._watcher.begun(step)

    def _count(self, namespace: str) -> None:
        """LangGraph numbers the sub-graphs that a task invokes, none for the first, and on when it is tried again."""
        if namespace in self._calls:
            self._earlier[namespace] = self._calls[namespace] + 1
        parent, _, _task = namespace.rpartition(LEVEL)
        caller, _, last = parent.rpartition(LEVEL)
        number = int(last) if last.isdigit() else 0
        if parent:
            caller = caller if last.isdigit() else parent
            self._calls[caller] = max(number, self._calls.get(caller, 0))

    def _path(self, namespace: str) -> str:
        levels = namespace.split(LEVEL)
        path: list[str] = []
        for depth, level in enumerate(levels):
            if level.isdigit():
                continue
            caller = LEVEL.join(levels[:depth])
            number = 0
            if depth and levels[depth - 1].isdigit():
                caller, number = LEVEL.join(levels[: depth - 1]), int(levels[depth - 1])
            if number := number - self._earlier.get(caller, 0):
                path.append(str(number))
            place = self._places.get(LEVEL.join(levels[: depth + 1]))
            path.append(place if place is not None else level.partition(":")[0])
        step, within = "/".join(path), WITHIN.get()
        if not within:
            return step
        return within if within.startswith(f"{step}/") else f"{within}>{step}"

    def here(self) -> str:
        """The path of the step that the calling code belongs to: of the effect, where an effect is made of others."""
        try:
            config = get_config()
        except RuntimeError:  # not inside a runnable
            return WITHIN.get() or OUTSIDE
        metadata = config.get("metadata") or {}
        configurable = config.get("configurable") or {}
        namespace = metadata.get("langgraph_checkpoint_ns") or configurable.get("checkpoint_ns")
        if not namespace:
            return WITHIN.get() or OUTSIDE
        with self._lock:
            return self._path(namespace)

    def occurrence(self, step: str, kind: str, name: str) -> int:
        """How many times this effect has been asked for in this execution of the step, before now."""
        with self._lock:
            counts = self._occurrences[step]
            count = counts[(kind, name)]
            counts[(kind, name)] += 1
            return count
