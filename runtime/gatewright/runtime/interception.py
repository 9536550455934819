"""Complete mediation: while a run is active, every tool and model call passes the run's chain.

The public entry points of LangChain's base classes are wrapped once per process, as instrumentation libraries do.
Outside a run (no active context) the wrappers call straight through. Threads and executors that agents start carry
the context with them, so that a tool called from a thread is governed like any other.
"""

from __future__ import annotations

import contextvars
import functools
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import BaseLanguageModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tools import BaseTool

from gatewright.agents.effects import ACTIVE, Effect, RunContext
from gatewright.agents.errors import DeniedError, UsageError
from gatewright.safety import canonical

from . import codec

F = TypeVar("F", bound=Callable[..., Any])

_WRAPPED = "__gatewright_wrapped__"
_ANSWERING: ContextVar[frozenset[int]] = ContextVar("gatewright_answering", default=frozenset())
_lock = threading.Lock()


def install() -> None:
    """Wrap the entry points, and every override of them in the subclasses that exist by now. Idempotent, cheap."""
    with _lock:
        _wrap_tree(BaseTool, {"run": _tool_run, "arun": _tool_arun})
        for base in (BaseChatModel, BaseLLM):
            _wrap_tree(
                base,
                {
                    "generate": _model_generate,
                    "agenerate": _model_agenerate,
                    "stream": _model_stream,
                    "astream": _model_astream,
                    "stream_events": _model_stream_events,
                    "astream_events": _model_astream_events,
                },
            )
        _wrap(threading.Thread, "start", _thread_start)
        _wrap(ThreadPoolExecutor, "submit", _executor_submit)


def _wrap_tree(root: type, wrappers: Mapping[str, Callable[[Any], Any]]) -> None:
    pending = [root]
    seen: set[type] = set()
    while pending:
        cls = pending.pop()
        if cls in seen:
            continue
        seen.add(cls)
        for name, wrapper in wrappers.items():
            if name in cls.__dict__:
                _wrap(cls, name, wrapper)
        pending.extend(type.__subclasses__(cls))


def _wrap(owner: type, name: str, wrapper: Callable[[Any], Any]) -> None:
    original = owner.__dict__.get(name)
    if original is None or getattr(original, _WRAPPED, False):
        return
    wrapped = functools.wraps(original)(wrapper(original))
    setattr(wrapped, _WRAPPED, True)
    setattr(owner, name, wrapped)


# Tools


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
    accepted = getattr(tool.get_input_schema(), "model_fields", {})
    found = _Arguments(declared, frozenset(accepted) - declared)
    _arguments[id(tool)] = (weakref.ref(tool, _forget(id(tool))), found)
    return found


def _tool_effect(tool: BaseTool, tool_input: Any, call_id: str | None) -> tuple[Effect, Mapping[str, Any]]:
    """The wish, and the arguments that LangGraph injects (state, store, runtime), which are no part of it."""
    if isinstance(tool_input, Mapping):
        names = _arguments_of(tool)
        injected = {key: value for key, value in tool_input.items() if key in names.injected}
        shown = {str(key): value for key, value in tool_input.items() if key not in injected}
    else:
        injected, shown = {}, {"input": tool_input}
    marks = (tool.metadata or {}).get("gatewright", {})
    effect = Effect(
        kind="tool",
        name=tool.name,
        args=cast("dict[str, Any]", canonical.json_value(shown)),
        labels=frozenset(marks.get("labels", ())),
        call_id=call_id,
        schema=functools.partial(tool_schema, tool),
    )
    return effect, injected


def tool_schema(tool: BaseTool) -> dict[str, Any]:
    """The JSON Schema of the arguments that a caller gives to a tool."""
    schema: Any = tool.tool_call_schema
    return cast("dict[str, Any]", schema if isinstance(schema, dict) else schema.model_json_schema())


def _tool_input(original: Any, effect: Effect, args: Mapping[str, Any], injected: Mapping[str, Any]) -> Any:
    """What the tool is called with: its own input, unless a rule or a person changed the arguments."""
    if args is effect.args or args == effect.args:
        return original
    return {**args, **injected} if isinstance(original, Mapping) else args["input"]


def _refusal(tool: BaseTool, call_id: str | None, denied: DeniedError) -> ToolMessage:
    """What a model is told that asked for the call: the refusal as the call's result."""
    if call_id is None:
        raise denied
    return ToolMessage(content=f"Denied: {denied}", name=tool.name, tool_call_id=call_id, status="error")


def _tool_run(original: Any) -> Any:
    def run(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        context = ACTIVE.get()
        if context is None:
            return original(self, tool_input, *args, **kwargs)
        call_id = kwargs.get("tool_call_id")
        effect, injected = _tool_effect(self, tool_input, call_id)

        def act(arguments: Mapping[str, Any]) -> Any:
            return original(self, _tool_input(tool_input, effect, arguments, injected), *args, **kwargs)

        try:
            return context.chain.perform(effect, act)
        except DeniedError as denied:
            return _refusal(self, call_id, denied)

    return run


def _tool_arun(original: Any) -> Any:
    async def arun(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        context = ACTIVE.get()
        if context is None:
            return await original(self, tool_input, *args, **kwargs)
        call_id = kwargs.get("tool_call_id")
        effect, injected = _tool_effect(self, tool_input, call_id)

        async def act(arguments: Mapping[str, Any]) -> Any:
            return await original(self, _tool_input(tool_input, effect, arguments, injected), *args, **kwargs)

        try:
            return await context.chain.aperform(effect, act)
        except DeniedError as denied:
            return _refusal(self, call_id, denied)

    return arun


# Models


def model_name(model: BaseLanguageModel[Any]) -> str:
    """The provider's name of the model where it has one, else what kind of model it is."""
    for attribute in ("model_name", "model"):
        if isinstance(found := getattr(model, attribute, None), str) and found:
            return found
    return str(getattr(model, "_llm_type", type(model).__name__))


def _governed(model: Any) -> RunContext | None:
    """The active run, unless this call is part of a call of the same model that already passes the chain."""
    context = ACTIVE.get()
    return None if context is None or id(model) in _ANSWERING.get() else context


def _latest(messages: Sequence[BaseMessage]) -> int:
    """Where the messages begin that the model has not answered yet."""
    return next((at + 1 for at in reversed(range(len(messages))) if isinstance(messages[at], AIMessage)), 0)


def _model_effect(model: Any, prompts: Sequence[Any], options: Mapping[str, Any]) -> Effect:
    """A model call as a wish: in full what is new since the model's last turn, the rest as count and digest."""
    batches = []
    for prompt in prompts:
        if isinstance(prompt, str):
            batches.append({"messages": [{"type": "human", "content": prompt}], "earlier": 0})
            continue
        new = _latest(prompt)
        batch: dict[str, Any] = {"messages": [codec.message_json(message) for message in prompt[new:]], "earlier": new}
        if new:
            batch["earlier_digest"] = canonical.digest(
                canonical.json_value([codec.message_json(message) for message in prompt[:new]])
            )
        batches.append(batch)
    shown = {key: value for key, value in options.items() if value is not None}
    args: dict[str, Any] = batches[0] if len(batches) == 1 else {"batches": batches}
    if shown:
        args = {**args, "options": shown}
    return Effect(
        kind="model",
        name=model_name(model),
        args=cast("dict[str, Any]", canonical.json_value(args)),
        labels=frozenset({"idempotent"}),
    )


_CALL_DETAILS = frozenset({"callbacks", "tags", "metadata", "run_name", "run_id", "config"})


def _options(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in kwargs.items() if key not in _CALL_DETAILS}


def _edited(prompts: Sequence[Any], effect: Effect, args: Mapping[str, Any]) -> list[Any]:
    """The prompts with the contents that rules changed (redaction)."""
    if args is effect.args or args == effect.args:
        return list(prompts)
    batches = args["batches"] if "batches" in args else [args]
    edited: list[Any] = []
    for prompt, batch in zip(prompts, batches, strict=True):
        contents = [message["content"] for message in batch["messages"]]
        if isinstance(prompt, str):
            edited.append(contents[0])
            continue
        new = len(prompt) - len(contents)
        changed = [
            message.model_copy(update={"content": content})
            for message, content in zip(prompt[new:], contents, strict=True)
        ]
        edited.append([*prompt[:new], *changed])
    return edited


class _Answering:
    """Marks the calls that a model makes of itself while it answers (stream to invoke to generate)."""

    def __init__(self, model: Any) -> None:
        self._id = id(model)

    def __enter__(self) -> None:
        self._token = _ANSWERING.set(_ANSWERING.get() | {self._id})

    def __exit__(self, *_: object) -> None:
        _ANSWERING.reset(self._token)


def _model_generate(original: Any) -> Any:
    def generate(self: Any, messages: Sequence[Any], stop: Any = None, *args: Any, **kwargs: Any) -> LLMResult:
        context = _governed(self)
        if context is None:
            return cast("LLMResult", original(self, messages, stop, *args, **kwargs))
        effect = _model_effect(self, messages, {"stop": stop, **_options(kwargs)})

        def act(arguments: Mapping[str, Any]) -> LLMResult:
            with _Answering(self):
                result = original(self, _edited(messages, effect, arguments), stop, *args, **kwargs)
            return cast("LLMResult", result)

        return context.chain.perform(effect, act)

    return generate


def _model_agenerate(original: Any) -> Any:
    async def agenerate(self: Any, messages: Sequence[Any], stop: Any = None, *args: Any, **kwargs: Any) -> LLMResult:
        context = _governed(self)
        if context is None:
            return cast("LLMResult", await original(self, messages, stop, *args, **kwargs))
        effect = _model_effect(self, messages, {"stop": stop, **_options(kwargs)})

        async def act(arguments: Mapping[str, Any]) -> LLMResult:
            with _Answering(self):
                result = await original(self, _edited(messages, effect, arguments), stop, *args, **kwargs)
            return cast("LLMResult", result)

        return await context.chain.aperform(effect, act)

    return agenerate


def _prompt_of(model: Any, prompt: Any) -> Any:
    """The input of `stream` as the messages (or text) that the model sees."""
    if isinstance(prompt, str):
        value: Any = prompt
    elif hasattr(prompt, "to_messages"):
        value = prompt.to_messages()
    else:
        from langchain_core.messages import convert_to_messages

        value = convert_to_messages(prompt)
    if isinstance(model, BaseChatModel) and isinstance(value, str):
        from langchain_core.messages import HumanMessage

        value = [HumanMessage(value)]
    return value


def _joined(chunks: Sequence[Any]) -> LLMResult:
    """The chunks of one answer as the answer they make up."""
    if not chunks:
        raise UsageError("the model streamed no chunk at all")
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    if isinstance(whole, str):
        from langchain_core.outputs import Generation

        return LLMResult(generations=[[Generation(text=whole)]])
    message = message_chunk_to_message(whole) if isinstance(whole, AIMessageChunk) else whole
    return LLMResult(generations=[[ChatGeneration(message=message)]])


def _as_chunk(model: Any, result: LLMResult) -> Any:
    """A recorded answer as the single chunk of a stream."""
    generation = result.generations[0][0]
    if not isinstance(generation, ChatGeneration):
        return generation.text
    message = generation.message
    if isinstance(message, AIMessageChunk) or not isinstance(message, AIMessage):
        return message
    return AIMessageChunk(
        content=message.content,
        id=message.id,
        name=message.name,
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
        tool_calls=message.tool_calls,
        invalid_tool_calls=message.invalid_tool_calls,
        chunk_position="last",
    )


def _model_stream(original: Any) -> Any:
    """Streams pass the chain as one answer: rules see it whole before the agent sees any of it.

    Token callbacks still fire while the model speaks; the agent's own loop gets the answer as one chunk.
    """

    def stream(self: Any, input: Any, config: Any = None, *, stop: Any = None, **kwargs: Any) -> Iterator[Any]:
        context = _governed(self)
        if context is None:
            yield from original(self, input, config, stop=stop, **kwargs)
            return
        prompt = _prompt_of(self, input)
        effect = _model_effect(self, [prompt], {"stop": stop, **_options(kwargs)})

        def act(arguments: Mapping[str, Any]) -> LLMResult:
            (edited,) = _edited([prompt], effect, arguments)
            with _Answering(self):
                return _joined(list(original(self, edited, config, stop=stop, **kwargs)))

        yield _as_chunk(self, context.chain.perform(effect, act))

    return stream


def _model_astream(original: Any) -> Any:
    async def astream(
        self: Any, input: Any, config: Any = None, *, stop: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        context = _governed(self)
        if context is None:
            async for chunk in original(self, input, config, stop=stop, **kwargs):
                yield chunk
            return
        prompt = _prompt_of(self, input)
        effect = _model_effect(self, [prompt], {"stop": stop, **_options(kwargs)})

        async def act(arguments: Mapping[str, Any]) -> LLMResult:
            (edited,) = _edited([prompt], effect, arguments)
            with _Answering(self):
                return _joined([chunk async for chunk in original(self, edited, config, stop=stop, **kwargs)])

        yield _as_chunk(self, await context.chain.aperform(effect, act))

    return astream


def _refuse_events(model: Any, kwargs: Mapping[str, Any]) -> None:
    if kwargs.get("version") == "v3" and _governed(model) is not None:
        raise UsageError(
            "a model's event stream of version 'v3' does not pass the effect chain; inside a run use invoke, stream "
            "or astream_events(version='v2')"
        )


def _model_stream_events(original: Any) -> Any:
    def stream_events(self: Any, *args: Any, **kwargs: Any) -> Any:
        _refuse_events(self, kwargs)
        return original(self, *args, **kwargs)

    return stream_events


def _model_astream_events(original: Any) -> Any:
    def astream_events(self: Any, *args: Any, **kwargs: Any) -> Any:
        _refuse_events(self, kwargs)
        return original(self, *args, **kwargs)

    return astream_events


# Threads


def _thread_start(original: Any) -> Any:
    def start(self: threading.Thread) -> None:
        if ACTIVE.get() is not None:
            self.run = functools.partial(contextvars.copy_context().run, self.run)  # type: ignore[method-assign]
        original(self)

    return start


def _executor_submit(original: Any) -> Any:
    def submit(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if ACTIVE.get() is not None:
            fn = functools.partial(contextvars.copy_context().run, fn)
        return cast("Future[Any]", original(self, fn, *args, **kwargs))

    return submit
