"""Values on their way to the disk and back: exactly what an agent passed or got, and readable where JSON can say it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from gatewright.agents.errors import UsageError
from gatewright.safety.canonical import json_value

_SERDE = JsonPlusSerializer()
_STRANGE = JsonPlusSerializer(allowed_msgpack_modules=None)  # gives only types that are known to do no harm


class Encoded(NamedTuple):
    """A value as bytes. `type` is `json`, `llm` (a model's answer), `tuples` or a type of LangGraph's serializer."""

    type: str
    value: bytes


def _is_json(value: Any) -> bool:
    """Whether JSON gives back exactly this value (types included)."""
    kind = type(value)
    if kind in (str, bool) or value is None:
        return True
    if kind is int:
        return bool(-(2**53) < value < 2**53)
    if kind is float:
        return bool(math.isfinite(value))
    if kind is list:
        return all(map(_is_json, value))
    if kind is dict:
        return all(type(key) is str and _is_json(item) for key, item in value.items())
    return False


def encode(value: Any) -> Encoded:
    """Encode for the journal.

    Raises:
        UsageError: the value cannot be recorded, so it could not be given again after a restart.
    """
    if _is_json(value):
        return Encoded("json", orjson.dumps(value))
    try:
        if isinstance(value, LLMResult):
            plain = {
                "generations": [[_generation(item) for item in batch] for batch in value.generations],
                "llm_output": value.llm_output,
            }
            return Encoded("llm", _SERDE.dumps_typed(plain)[1])
        if _has_tuple(value):
            return Encoded("tuples", _SERDE.dumps_typed(_without_tuples(value))[1])
        return Encoded(*_SERDE.dumps_typed(value))
    except Exception as error:
        raise UsageError(
            f"a value of type {type(value).__qualname__!r} cannot be recorded: {error}; return JSON values, messages "
            "or pydantic models from effects"
        ) from error


def decode(encoded: Encoded, *, trusted: bool = True) -> Any:
    """The value again, equal to what was encoded.

    Args:
        trusted: it comes from our own database; else classes that LangGraph does not know as safe are not made, since
            making one may call anything.
    """
    serde = _SERDE if trusted else _STRANGE
    if encoded.type == "json":
        return orjson.loads(encoded.value)
    if encoded.type == "llm":
        plain = serde.loads_typed(("msgpack", encoded.value))
        batches = [[_restore(item) for item in batch] for batch in plain["generations"]]
        return LLMResult(generations=batches, llm_output=plain["llm_output"])
    if encoded.type == "tuples":
        return _with_tuples(serde.loads_typed(("msgpack", encoded.value)))
    if not trusted and encoded.type not in _PLAIN:
        raise UsageError(f"a value of type {encoded.type!r} is not read from files of others; {sorted(_PLAIN)} are")
    return serde.loads_typed((encoded.type, encoded.value))


_PLAIN = frozenset({"msgpack", "bytes", "bytearray", "null"})  # of LangGraph's serializer, without pickle

_TUPLE = "$gatewright.tuple"  # LangGraph's serializer gives lists for tuples


def _has_tuple(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return any(map(_has_tuple, value.values()))
    return kind is tuple or (kind is list and any(map(_has_tuple, value)))


def _without_tuples(value: Any) -> Any:
    kind = type(value)
    if kind is tuple:
        return {_TUPLE: [_without_tuples(item) for item in value]}
    if kind is list:
        return [_without_tuples(item) for item in value]
    if kind is dict:
        return {key: _without_tuples(item) for key, item in value.items()}
    return value


def _with_tuples(value: Any) -> Any:
    if type(value) is list:
        return [_with_tuples(item) for item in value]
    if type(value) is dict:
        if value.keys() == {_TUPLE}:
            return tuple(_with_tuples(item) for item in value[_TUPLE])
        return {key: _with_tuples(item) for key, item in value.items()}
    return value


def _generation(generation: Any) -> dict[str, Any]:
    if isinstance(generation, ChatGeneration):
        return {"message": generation.message, "info": generation.generation_info}
    return {"text": generation.text, "info": generation.generation_info}


def _restore(plain: Mapping[str, Any]) -> Generation:
    if "message" in plain:
        return ChatGeneration(message=plain["message"], generation_info=plain["info"])
    return Generation(text=plain["text"], generation_info=plain["info"])


def message_json(message: BaseMessage) -> dict[str, Any]:
    """A message as the rules and the auditors see it: its role, its content, its tool calls.

    Without its id: LangGraph gives a random one to a message that has none, whenever the step is executed.
    """
    plain: dict[str, Any] = {"type": message.type, "content": message.content}
    if calls := getattr(message, "tool_calls", None):
        plain["tool_calls"] = [{"name": c["name"], "args": c["args"], "id": c["id"]} for c in calls]
    if call_id := getattr(message, "tool_call_id", None):
        plain["tool_call_id"] = call_id
    if message.name:
        plain["name"] = message.name
    return plain


def text_of(content: Any) -> str:
    """The text of a message's content, which may be a string or a list of blocks."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part if isinstance(part, str) else part.get("text", "") for part in content)
        return "".join(map(str, parts))
    return ""


def plain(value: Any) -> Any:
    """JSON for people and programs outside: what the API shows of states, inputs and results. Not for decoding."""
    if isinstance(value, BaseMessage):
        return {**message_json(value), **({"id": value.id} if value.id else {})}
    if isinstance(value, LLMResult):
        answers = [_generation(item) for batch in value.generations for item in batch]
        shown = [message_json(a["message"]) if "message" in a else a["text"] for a in answers]
        return shown[0] if len(shown) == 1 else shown
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if _is_json(value):
        return value
    return json_value(value)


def shown(value: Any) -> bytes:
    """`plain` as JSON bytes, fast: orjson walks the value and asks back only for what it does not know."""
    try:
        return orjson.dumps(value, default=plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS)
    except (TypeError, orjson.JSONEncodeError):
        return orjson.dumps(plain(value))
