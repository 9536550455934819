"""Complete mediation: while a run is active, every tool and model call passes the run's chain.

The public entry points of LangChain's base classes are wrapped once per process, as instrumentation libraries do,
and so is every override of them, also in classes that are made later. Outside a run (no active context) the wrappers
call straight through. Threads and executors carry the context of the code that hands them work, so that a tool called
from a thread is governed like any other.

Not seen are calls of what LangChain keeps private (`_run`, `_generate`), of the function inside a tool, and work
handed to threads in other ways than `threading.Thread`, `ThreadPoolExecutor` and asyncio.
"""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.tools import BaseTool

from gatewright.agents.effects import ACTIVE

from . import modelcalls, toolcalls

Wrapper = Callable[[Any, type], Any]  # of the original and the class that has it

_ENTRIES: Mapping[type, Mapping[str, Wrapper]] = {
    BaseTool: toolcalls.ENTRIES,
    BaseChatModel: modelcalls.ENTRIES,
    BaseLLM: modelcalls.ENTRIES,
}
_WRAPPED = "__gatewright_wrapped__"
_lock = threading.Lock()


def install() -> None:
    """Wrap the entry points, and every override of them. Idempotent, cheap."""
    with _lock:
        for root, entries in _ENTRIES.items():
            _wrap_tree(root, entries)
            _wrap(root, "__init_subclass__", functools.partial(_subclassing, entries))
        _wrap(threading.Thread, "start", _thread_start)
        _wrap(ThreadPoolExecutor, "submit", _executor_submit)


def _wrap_tree(root: type, entries: Mapping[str, Wrapper]) -> None:
    pending = [root]
    seen: set[type] = set()
    while pending:
        owner = pending.pop()
        if owner not in seen:
            seen.add(owner)
            _wrap_class(owner, entries)
            pending.extend(type.__subclasses__(owner))


def _wrap_class(owner: type, entries: Mapping[str, Wrapper]) -> None:
    for name, wrapper in entries.items():
        # LangChain's own `invoke` leads to `run` or `generate`; somebody else's need not
        if name in owner.__dict__ and not (name.endswith("invoke") and owner.__module__.startswith("langchain_core.")):
            _wrap(owner, name, wrapper)


def _wrap(owner: type, name: str, wrapper: Wrapper) -> None:
    original = getattr(owner, name) if name == "__init_subclass__" else owner.__dict__[name]
    if getattr(original, _WRAPPED, False):
        return
    wrapped = wrapper(original, owner)
    inner: Any = getattr(wrapped, "__func__", None) or wrapped
    functools.update_wrapper(inner, original)
    setattr(inner, _WRAPPED, True)
    setattr(owner, name, wrapped)


def _subclassing(entries: Mapping[str, Wrapper], original: Any, root: type) -> Any:
    """Wraps the entry points of a class when it is made."""
    plain = getattr(original, "__func__", None)

    def __init_subclass__(cls: type, /, **kwargs: Any) -> None:
        if plain is not None:
            plain(cls, **kwargs)
        else:
            original(**kwargs)
        _wrap_class(cls, entries)

    return classmethod(__init_subclass__)


def _thread_start(original: Any, owner: type) -> Any:
    def start(self: threading.Thread) -> None:
        if ACTIVE.get() is not None:
            self.run = functools.partial(contextvars.copy_context().run, self.run)  # type: ignore[method-assign]
        original(self)

    return start


def _executor_submit(original: Any, owner: type) -> Any:
    def submit(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if ACTIVE.get() is not None:
            fn = functools.partial(contextvars.copy_context().run, fn)
        return cast("Future[Any]", original(self, fn, *args, **kwargs))

    return submit
