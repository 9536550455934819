"""Results and failures of effects: as rules see them, as the journal keeps them, as agents get them back."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import LLMResult
from langchain_core.tools import ToolException
from langgraph.graph import END
from langgraph.types import Command, Send

from gatewright.agents.errors import DeniedError, ExpiredError, GatewrightError, TerminatedError
from gatewright.safety.ledger import records

from . import codec
from .prices import PriceBook, Tokens


class RecordedError(GatewrightError):
    """An effect that failed before the process was restarted fails again; the message names the first error."""


class UnfitError(DeniedError):
    """Rules changed a result into something that the agent cannot be given; mend the rule's `set`."""


def failure(error: BaseException) -> dict[str, str]:
    return {"type": type(error).__name__, "message": str(error)}


def revive(failure: Any) -> BaseException:
    """A recorded error as an exception of the class that agents may be catching."""
    kind, message = failure["type"], failure["message"]
    if kind in ("DeniedError", "UnfitError"):
        return DeniedError(message)
    if kind == "TerminatedError":
        return TerminatedError(message)
    if kind == "ExpiredError":
        return ExpiredError(message)
    if kind == "ToolException":
        return ToolException(message)
    if kind == "RecordedError":
        return RecordedError(message)
    found = getattr(builtins, kind, None)
    if isinstance(found, type) and issubclass(found, Exception) and not issubclass(found, UnicodeError | OSError):
        return found(message)
    return RecordedError(f"{kind}: {message}")


_OF_MESSAGES = frozenset(
    "type role content additional_kwargs response_metadata id name tool_calls invalid_tool_calls usage_metadata "
    "tool_call_id status artifact example".split()
)  # what a message has besides what it says


def text(shown: Any) -> str:
    """All text of a message-like value, for rules that look at what was said."""
    if isinstance(shown, str):
        return shown
    if isinstance(shown, Mapping):
        if shown.keys() & {"type", "role"} and isinstance(shown.get("content"), str | list):
            others = [value for key, value in shown.items() if key not in _OF_MESSAGES]
            return "\n".join(filter(None, (codec.text_of(shown["content"]), *map(text, others))))
        return "\n".join(filter(None, map(text, shown.values())))
    if isinstance(shown, Sequence):
        return "\n".join(filter(None, map(text, shown)))
    return ""


def given(value: Any) -> str:
    """All text of what somebody gives: of a run's input, of what a model is asked, of a message."""
    return text(list(value.values()) if isinstance(value, Mapping) else value)


def said(value: Any) -> str:
    """The text of a run's output: of its messages the last, and all else."""
    if isinstance(value, Mapping) and isinstance(messages := value.get("messages"), list):
        value = {**value, "messages": messages[-1:]}
    return given(value)


def judged(value: Any) -> Any:
    """What rules see as the result: the content of a tool's message, not LangChain's wrapping of it.

    Only of a message: data that looks like one is looked at as a whole.
    """
    return codec.plain(value.content if isinstance(value, ToolMessage) else value)


class Handoff(NamedTuple):
    """An agent gives the conversation to another; `update` is what it hands over."""

    to: str
    update: Any


def handoffs(value: Any) -> list[Handoff]:
    """The agents that a tool's result gives the conversation to, as LangGraph's `Command(goto=...)` says it."""
    commands = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, Command)]
    found: list[Handoff] = []
    for command in commands:
        for target in [command.goto] if isinstance(command.goto, str | Send) else command.goto:
            if isinstance(target, Send):
                found.append(Handoff(target.node, codec.plain(target.arg)))
            elif target and target != END:
                found.append(Handoff(target, codec.plain(command.update)))
    return found


def with_result(value: Any, shown: Any, result: Any) -> Any:
    """The result that rules put in the place of `value`, in the shape that the agent expects."""
    if isinstance(value, LLMResult):
        generation = value.generations[0][0]
        message = getattr(generation, "message", None)
        if isinstance(message, BaseMessage) and isinstance(result, Mapping) and "content" in result:
            changed = message.model_copy(update={"content": result["content"]})
            return LLMResult(generations=[[type(generation)(message=changed)]], llm_output=value.llm_output)  # type: ignore[call-arg]
        raise UnfitError("a rule changed a model's answer in a way that cannot be given to the agent; set its content")
    if isinstance(value, ToolMessage):
        content = result if isinstance(result, str) else orjson.dumps(result).decode()
        return value.model_copy(update={"content": content})
    if isinstance(value, str) and not isinstance(result, str):
        return orjson.dumps(result).decode()
    return result


def usage(value: Any, asked: str = "", prices: PriceBook | None = None) -> records.UsagePart | None:
    """The tokens a model says it took, and what they cost.

    Args:
        asked: the model's name as it was asked for.
    """
    if not isinstance(value, LLMResult):
        return None
    taken = [getattr(item, "message", None) for batch in value.generations for item in batch]
    counted = [message for message in taken if isinstance(message, AIMessage) and message.usage_metadata]
    if not counted:
        return None
    tokens = [_tokens(message) for message in counted]
    costs = [_cost(message, taken, asked, prices) for message, taken in zip(counted, tokens, strict=True)]
    return records.UsagePart(
        input_tokens=sum(each.input for each in tokens),
        output_tokens=sum(each.output for each in tokens),
        cost_microusd=None if None in costs else sum(cost or 0 for cost in costs),
        model=_model(counted[0]) or asked or None,
    )


def _tokens(message: AIMessage) -> Tokens:
    usage: Any = message.usage_metadata
    details = usage.get("input_token_details") or {}
    return Tokens(
        usage["input_tokens"],
        usage["output_tokens"],
        cache_read=details.get("cache_read") or 0,
        cache_write=details.get("cache_creation") or 0,
    )


def _model(message: AIMessage) -> str:
    """The model as its provider named it."""
    named = (message.response_metadata.get(key) for key in ("model_name", "model"))
    return next((name for name in named if isinstance(name, str) and name), "")


def _cost(message: AIMessage, tokens: Tokens, asked: str, prices: PriceBook | None) -> int | None:
    if prices is None:
        return None
    names = dict.fromkeys(filter(None, (asked, _model(message))))  # owners give the price of what they configured
    return next((cost for name in names if (cost := prices.cost(name, tokens)) is not None), None)
