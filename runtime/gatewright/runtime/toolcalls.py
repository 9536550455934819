"""Tool calls as effects: what is wished, how it is performed, and what a model is told when it is refused."""

from __future__ import annotations

import functools
import json
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple, cast

import orjson
from langchain_core.messages import ToolMessage
from langchain_core.messages.tool import ToolOutputMixin
from langchain_core.tools import BaseTool, InjectedToolArg

from gatewright.agents.effects import ACTIVE, Effect, RunContext
from gatewright.agents.errors import DeniedError
from gatewright.agents.labels import labels_of
from gatewright.safety import canonical

from .identity import WITHIN


class _Entry(NamedTuple):
    """An entry point of a tool. `invoke` leads to `run`, a subclass's to its base's, and either colour to the other."""

    level: Literal["run", "invoke"]
    depth: int
    colour: Literal["sync", "async"]

    @classmethod
    def of(cls, owner: type, level: Literal["run", "invoke"], colour: Literal["sync", "async"]) -> _Entry:
        return cls(level, len(owner.__mro__), colour)

    @property
    def last(self) -> bool:
        """Whether what follows is the tool's own code."""
        return self.level == "run" and self.depth == len(BaseTool.__mro__)

    def leads_to(self, other: _Entry) -> bool:
        if self.level != other.level:
            return self.level == "invoke"
        return other.depth < self.depth or (other.depth == self.depth and other.colour != self.colour)


class _Entered(NamedTuple):
    """The entry point that a call has passed already, so that those it leads to are part of the same call."""

    tool: int
    entry: _Entry
    within: str


_ENTERED: ContextVar[_Entered | None] = ContextVar("gatewright_entered", default=None)


class _Arguments(NamedTuple):
    """The argument names of a tool: those a caller gives, and those that LangGraph injects."""

    declared: frozenset[str]
    injected: frozenset[str]


def _forget(key: int) -> Callable[[Any], None]:
    def forget(_: Any) -> None:
        _arguments.pop(key, None)

    return forget


_arguments: dict[int, tuple[weakref.ref[BaseTool], _Arguments]] = {}


def _arguments_of(tool: BaseTool) -> _Arguments:
    """Worked out once for each tool: LangChain builds a pydantic model whenever it is asked."""
    known = _arguments.get(id(tool))
    if known is not None and known[0]() is tool:
        return known[1]
    declared = frozenset(tool.args)
    accepted: Mapping[str, Any] = getattr(tool.get_input_schema(), "model_fields", {})
    found = _Arguments(declared, frozenset(name for name in accepted.keys() - declared if not _bound(accepted[name])))
    _arguments[id(tool)] = (weakref.ref(tool, _forget(id(tool))), found)
    return found


def _bound(field: Any) -> bool:
    """Whether the program that calls the tool gives this argument, such as on whose account it acts.

    Models are not told of it, but a program may hand on what one made up: rules see it, unless it is no JSON value.
    """
    marks = [mark if isinstance(mark, type) else type(mark) for mark in field.metadata]
    return InjectedToolArg in marks


def _json(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def _tool_effect(tool: BaseTool, tool_input: Any, call_id: str | None) -> tuple[Effect, Mapping[str, Any]]:
    """The wish, and the arguments that LangGraph injects (state, store, runtime), which are no part of it."""
    if isinstance(tool_input, Mapping):
        names = _arguments_of(tool)
        injected = {
            key: value
            for key, value in tool_input.items()
            if key in names.injected or (key not in names.declared and not _json(value))
        }
        shown = {str(key): value for key, value in tool_input.items() if key not in injected}
    else:
        injected, shown = {}, {"input": tool_input}
    effect = Effect(
        kind="tool",
        name=tool.name,
        args=cast("dict[str, Any]", canonical.json_value(shown)),
        labels=labels_of(tool),
        call_id=call_id,
        schema=functools.partial(tool_schema, tool),
    )
    return effect, injected


def tool_schema(tool: BaseTool) -> dict[str, Any]:
    """The JSON Schema of the arguments that a caller gives to a tool."""
    schema: Any = tool.tool_call_schema
    return cast("dict[str, Any]", schema if isinstance(schema, dict) else schema.model_json_schema())


def _governed(tool: BaseTool, entry: _Entry) -> RunContext | None:
    """The active run, unless this is the way from one entry point to the next within one call."""
    entered = _ENTERED.get()
    if entered is not None and entered.tool == id(tool) and entered.within == WITHIN.get():
        if entered.entry.leads_to(entry):
            return None
    return ACTIVE.get()


class _Way:
    """Marks what is entered by a call on its way to the tool's own code."""

    def __init__(self, tool: BaseTool, entry: _Entry) -> None:
        self._entered = None if entry.last else _Entered(id(tool), entry, WITHIN.get())

    def __enter__(self) -> None:
        self._token = _ENTERED.set(self._entered)

    def __exit__(self, *_: object) -> None:
        _ENTERED.reset(self._token)


def _all_messages(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, ToolOutputMixin) for item in value)


class _Call:
    """One call of a tool at an entry point, as a wish and as the act that fulfils it."""

    def __init__(self, tool: BaseTool, given: Any, call_id: str | None, entry: _Entry) -> None:
        self.tool = tool
        self.call_id = call_id
        self.effect, self._injected = _tool_effect(tool, given, call_id)
        self._given = given
        self._entry = entry

    def way(self) -> _Way:
        return _Way(self.tool, self._entry)

    def given(self, args: Mapping[str, Any]) -> Any:
        """What the tool is called with: its own input, unless a rule or a person changed the arguments."""
        if args is self.effect.args or args == self.effect.args:
            return self._given
        return {**args, **self._injected} if isinstance(self._given, Mapping) else args["input"]

    def result(self, value: Any) -> Any:
        """What the caller gets: as LangChain, a message where the call has an id, also of what a person answered."""
        if self.call_id is None or isinstance(value, ToolOutputMixin) or _all_messages(value):
            return value
        content = value if isinstance(value, str) else orjson.dumps(value).decode()
        return ToolMessage(content=content, name=self.tool.name, tool_call_id=self.call_id)

    def refused(self, denied: DeniedError) -> ToolMessage:
        """What a model is told that asked for the call: the refusal as the call's result."""
        if self.call_id is None:
            raise denied
        return ToolMessage(content=f"Denied: {denied}", name=self.tool.name, tool_call_id=self.call_id, status="error")


def _perform(context: RunContext, call: _Call, original: Callable[[Any], Any]) -> Any:
    def act(arguments: Mapping[str, Any]) -> Any:
        with call.way():
            return original(call.given(arguments))

    try:
        return call.result(context.chain.perform(call.effect, act))
    except DeniedError as denied:
        return call.refused(denied)


async def _aperform(context: RunContext, call: _Call, original: Callable[[Any], Any]) -> Any:
    async def act(arguments: Mapping[str, Any]) -> Any:
        with call.way():
            return await original(call.given(arguments))

    try:
        return call.result(await context.chain.aperform(call.effect, act))
    except DeniedError as denied:
        return call.refused(denied)


def _run(original: Any, owner: type) -> Any:
    entry = _Entry.of(owner, "run", "sync")

    def run(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        context = _governed(self, entry)
        if context is None:
            with _Way(self, entry):
                return original(self, tool_input, *args, **kwargs)
        call = _Call(self, tool_input, kwargs.get("tool_call_id"), entry)
        return _perform(context, call, lambda given: original(self, given, *args, **kwargs))

    return run


def _arun(original: Any, owner: type) -> Any:
    entry = _Entry.of(owner, "run", "async")

    async def arun(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        context = _governed(self, entry)
        if context is None:
            with _Way(self, entry):
                return await original(self, tool_input, *args, **kwargs)
        call = _Call(self, tool_input, kwargs.get("tool_call_id"), entry)
        return await _aperform(context, call, lambda given: original(self, given, *args, **kwargs))

    return arun


def _asked(input: Any) -> tuple[Any, str | None, Callable[[Any], Any]]:
    """The arguments in the input of `invoke`, its tool-call id, and how to write other arguments in the same form."""
    if isinstance(input, Mapping):
        call = cast("Mapping[str, Any]", input)
        if call.get("type") == "tool_call":
            return call["args"], call["id"], lambda given: {**call, "args": given}
    return input, None, lambda given: given


def _invoke(original: Any, owner: type) -> Any:
    entry = _Entry.of(owner, "invoke", "sync")

    def invoke(self: BaseTool, input: Any, *args: Any, **kwargs: Any) -> Any:
        context = _governed(self, entry)
        if context is None:
            return original(self, input, *args, **kwargs)
        given, call_id, form = _asked(input)
        call = _Call(self, given, call_id, entry)
        return _perform(context, call, lambda given: original(self, form(given), *args, **kwargs))

    return invoke


def _ainvoke(original: Any, owner: type) -> Any:
    entry = _Entry.of(owner, "invoke", "async")

    async def ainvoke(self: BaseTool, input: Any, *args: Any, **kwargs: Any) -> Any:
        context = _governed(self, entry)
        if context is None:
            return await original(self, input, *args, **kwargs)
        given, call_id, form = _asked(input)
        call = _Call(self, given, call_id, entry)
        return await _aperform(context, call, lambda given: original(self, form(given), *args, **kwargs))

    return ainvoke


ENTRIES = {"run": _run, "arun": _arun, "invoke": _invoke, "ainvoke": _ainvoke}
"""What the public entry points of a tool are wrapped with."""
