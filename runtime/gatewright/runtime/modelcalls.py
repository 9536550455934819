"""Model calls as effects: what is asked, in which form rules see it, and how an answer is given again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import BaseLanguageModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    convert_to_messages,
    message_chunk_to_message,
)
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from gatewright.agents.effects import ACTIVE, Effect, RunContext
from gatewright.agents.errors import UsageError
from gatewright.safety import canonical

from . import codec, models
from .identity import WITHIN


class _Answering(NamedTuple):
    """A model that answers, within which effect: what it calls of itself then is part of the same call."""

    model: int
    within: str


_ANSWERING: ContextVar[frozenset[_Answering]] = ContextVar("gatewright_answering", default=frozenset())


def model_name(model: BaseLanguageModel[Any]) -> str:
    """The provider's name of the model where it has one, else what kind of model it is."""
    for attribute in ("model_name", "model"):
        if isinstance(found := getattr(model, attribute, None), str) and found:
            return found
    return str(getattr(model, "_llm_type", type(model).__name__))


def _governed(model: Any) -> RunContext | None:
    """The active run, unless this call is part of a call of the same model that already passes the chain."""
    context = ACTIVE.get()
    return None if context is None or _Answering(id(model), WITHIN.get()) in _ANSWERING.get() else context


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


class _Way:
    """Marks the calls that a model makes of itself while it answers (stream to invoke to generate)."""

    def __init__(self, model: Any) -> None:
        self._answering = _Answering(id(model), WITHIN.get())

    def __enter__(self) -> None:
        self._token = _ANSWERING.set(_ANSWERING.get() | {self._answering})

    def __exit__(self, *_: object) -> None:
        _ANSWERING.reset(self._token)


class _Answerer(NamedTuple):
    """Who answers a call, and how: the model that was asked, or the one that a budget lets it go on with."""

    model: Any
    call: Any

    @classmethod
    def of(cls, model: Any, original: Any, entry: str, effect: Effect, args: Mapping[str, Any]) -> _Answerer:
        """`entry`: the public method that was called, of which `original` is the model's own."""
        other = args.get("model")
        if other is None or other == effect.args.get("model"):
            return cls(model, original)
        found = models.substitute(str(other))
        return cls(found, getattr(type(found), entry))


def _generate(original: Any, owner: type) -> Any:
    def generate(self: Any, messages: Sequence[Any], stop: Any = None, *args: Any, **kwargs: Any) -> LLMResult:
        context = _governed(self)
        if context is None:
            return cast("LLMResult", original(self, messages, stop, *args, **kwargs))
        effect = _model_effect(self, messages, {"stop": stop, **_options(kwargs)})

        def act(arguments: Mapping[str, Any]) -> LLMResult:
            answerer = _Answerer.of(self, original, "generate", effect, arguments)
            with _Way(answerer.model):
                result = answerer.call(answerer.model, _edited(messages, effect, arguments), stop, *args, **kwargs)
            return cast("LLMResult", result)

        return context.chain.perform(effect, act)

    return generate


def _agenerate(original: Any, owner: type) -> Any:
    async def agenerate(self: Any, messages: Sequence[Any], stop: Any = None, *args: Any, **kwargs: Any) -> LLMResult:
        context = _governed(self)
        if context is None:
            return cast("LLMResult", await original(self, messages, stop, *args, **kwargs))
        effect = _model_effect(self, messages, {"stop": stop, **_options(kwargs)})

        async def act(arguments: Mapping[str, Any]) -> LLMResult:
            answerer = _Answerer.of(self, original, "agenerate", effect, arguments)
            with _Way(answerer.model):
                result = await answerer.call(
                    answerer.model, _edited(messages, effect, arguments), stop, *args, **kwargs
                )
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
        value = convert_to_messages(prompt)
    if isinstance(model, BaseChatModel) and isinstance(value, str):
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


def _stream(original: Any, owner: type) -> Any:
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
            answerer = _Answerer.of(self, original, "stream", effect, arguments)
            with _Way(answerer.model):
                return _joined(list(answerer.call(answerer.model, edited, config, stop=stop, **kwargs)))

        yield _as_chunk(self, context.chain.perform(effect, act))

    return stream


def _astream(original: Any, owner: type) -> Any:
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
            answerer = _Answerer.of(self, original, "astream", effect, arguments)
            with _Way(answerer.model):
                answer = answerer.call(answerer.model, edited, config, stop=stop, **kwargs)
                return _joined([chunk async for chunk in answer])

        yield _as_chunk(self, await context.chain.aperform(effect, act))

    return astream


def _given_back(result: LLMResult) -> Any:
    """A recorded answer as `invoke` gives it: a message, or text."""
    generation = result.generations[0][0]
    return generation.message if isinstance(generation, ChatGeneration) else generation.text


def _invoke(original: Any, owner: type) -> Any:
    def invoke(self: Any, input: Any, config: Any = None, *, stop: Any = None, **kwargs: Any) -> Any:
        context = _governed(self)
        if context is None:
            return original(self, input, config, stop=stop, **kwargs)
        prompt = _prompt_of(self, input)
        effect = _model_effect(self, [prompt], {"stop": stop, **_options(kwargs)})

        def act(arguments: Mapping[str, Any]) -> LLMResult:
            (edited,) = _edited([prompt], effect, arguments)
            answerer = _Answerer.of(self, original, "invoke", effect, arguments)
            with _Way(answerer.model):
                return _joined([answerer.call(answerer.model, edited, config, stop=stop, **kwargs)])

        return _given_back(context.chain.perform(effect, act))

    return invoke


def _ainvoke(original: Any, owner: type) -> Any:
    async def ainvoke(self: Any, input: Any, config: Any = None, *, stop: Any = None, **kwargs: Any) -> Any:
        context = _governed(self)
        if context is None:
            return await original(self, input, config, stop=stop, **kwargs)
        prompt = _prompt_of(self, input)
        effect = _model_effect(self, [prompt], {"stop": stop, **_options(kwargs)})

        async def act(arguments: Mapping[str, Any]) -> LLMResult:
            (edited,) = _edited([prompt], effect, arguments)
            answerer = _Answerer.of(self, original, "ainvoke", effect, arguments)
            with _Way(answerer.model):
                return _joined([await answerer.call(answerer.model, edited, config, stop=stop, **kwargs)])

        return _given_back(await context.chain.aperform(effect, act))

    return ainvoke


def _refuse_events(model: Any, kwargs: Mapping[str, Any]) -> None:
    if kwargs.get("version") == "v3" and _governed(model) is not None:
        raise UsageError(
            "a model's event stream of version 'v3' does not pass the effect chain; inside a run use invoke, stream "
            "or astream_events(version='v2')"
        )


def _stream_events(original: Any, owner: type) -> Any:
    def stream_events(self: Any, *args: Any, **kwargs: Any) -> Any:
        _refuse_events(self, kwargs)
        return original(self, *args, **kwargs)

    return stream_events


def _astream_events(original: Any, owner: type) -> Any:
    def astream_events(self: Any, *args: Any, **kwargs: Any) -> Any:
        _refuse_events(self, kwargs)
        return original(self, *args, **kwargs)

    return astream_events


ENTRIES = {
    "generate": _generate,
    "agenerate": _agenerate,
    "invoke": _invoke,
    "ainvoke": _ainvoke,
    "stream": _stream,
    "astream": _astream,
    "stream_events": _stream_events,
    "astream_events": _astream_events,
}
"""What the public entry points of a model are wrapped with."""
