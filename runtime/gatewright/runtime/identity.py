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
from typing import Any
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


class Steps(BaseCallbackHandler):
    """Notes the place of every task of one execution, and how often each (kind, name) has been asked for in it."""

    run_inline = True  # in the task's own flow, before its code runs

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[str, str] = {}
        self._members: dict[UUID, str] = {}
        self._roots: dict[UUID, str] = {}
        self._occurrences: dict[str, dict[tuple[str, str], int]] = defaultdict(lambda: defaultdict(int))
        self.visited: set[str] = set()
        self.finished: set[str] = set()

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
            self._roots[run_id] = namespace
            step = self._path(namespace)
            self._occurrences.pop(step, None)  # a task that starts again counts its effects anew
            self.visited.add(step)
            self.finished.discard(step)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Note that a task came to its end."""
        with self._lock:
            self._members.pop(run_id, None)
            namespace = self._roots.pop(run_id, None)
            if namespace is not None:
                self.finished.add(self._path(namespace))

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Note that a task failed or parked."""
        with self._lock:
            self._members.pop(run_id, None)
            namespace = self._roots.pop(run_id, None)
            if namespace is not None and not isinstance(error, GraphBubbleUp):
                self.failed(self._path(namespace), error)

    def failed(self, step: str, error: BaseException) -> None:
        """Called when a task failed; the chain replaces it to release the effects that failed with it."""

    def _path(self, namespace: str) -> str:
        levels = namespace.split(LEVEL)
        path: list[str] = []
        for depth, level in enumerate(levels):
            place = self._places.get(LEVEL.join(levels[: depth + 1]))
            # a level no task was seen to start at: its name, or LangGraph's count of calls of one sub-graph
            path.append(place if place is not None else level.partition(":")[0])
        return "/".join(path)

    def here(self) -> str:
        """The path of the step that the calling code belongs to."""
        try:
            config = get_config()
        except RuntimeError:  # not inside a runnable
            return OUTSIDE
        metadata = config.get("metadata") or {}
        configurable = config.get("configurable") or {}
        namespace = metadata.get("langgraph_checkpoint_ns") or configurable.get("checkpoint_ns")
        if not namespace:
            return OUTSIDE
        with self._lock:
            return self._path(namespace)

    def occurrence(self, step: str, kind: str, name: str) -> int:
        """How many times this effect has been asked for in this execution of the step, before now."""
        with self._lock:
            counts = self._occurrences[step]
            count = counts[(kind, name)]
            counts[(kind, name)] += 1
            return count
