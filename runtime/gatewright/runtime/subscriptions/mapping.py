"""What a subscription makes of a message: the thread that it belongs to, and the agent's input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson
from pydantic import BaseModel

from gatewright.agents.envelopes import Message, Reject
from gatewright.agents.errors import LimitError, UsageError
from gatewright.agents.subscriptions import Subscription
from gatewright.safety.rules import events, expressions
from gatewright.safety.rules.expressions import Bindings, EvaluationError, Expression, ExpressionError

LONGEST_THREAD = 200  # characters of its id

_VARIABLES: expressions.Variables = {"message": "map(string, dyn)", "data": "dyn", "key": "string"}


class Mapped(NamedTuple):
    """A message as it goes on: on which thread, with which input."""

    thread_id: str
    input: Any


class Mapper:
    """The expressions of one subscription, checked."""

    def __init__(self, deployment: str, subscription: Subscription) -> None:
        """Check the expressions.

        Raises:
            UsageError: one of them is none.
        """
        self._deployment = deployment
        self._topic = subscription.topic
        self._read = _READERS[subscription.format]
        self._thread = _compiled("thread", subscription.thread) if subscription.thread else None
        self._input = {field: _compiled(f"input.{field}", text) for field, text in subscription.input.items()}

    def map(self, message: Message, payload: Any) -> Mapped:
        """What becomes of a message, and of its payload as the topic's models read it.

        Raises:
            Reject: it does not fit, with the reason.
        """
        data = self._read(message, payload)
        if self._thread is None and not self._input:
            return Mapped(self._thread_id(message, None), data)
        bindings = _bound(message, data)
        given = {field: _value(f"input.{field}", found, bindings) for field, found in self._input.items()}
        return Mapped(self._thread_id(message, bindings), given if self._input else data)

    def _thread_id(self, message: Message, bindings: Bindings | None) -> str:
        if self._thread is None or bindings is None:
            name = f"{self._topic}:{_quoted(message.key or message.id)}"
        else:
            value = _value("thread", self._thread, bindings)
            if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
                raise Reject(f"`thread` ({self._thread.text}) gives {value!r}; it must be a text or a whole number")
            name = _quoted(str(value))
        thread_id = f"{self._deployment}:{name}"
        if len(thread_id) > LONGEST_THREAD:
            raise Reject(
                f"thread id {thread_id[:60]!r}… has {len(thread_id)} characters, the limit is {LONGEST_THREAD}; give "
                "the subscription a `thread` expression that is shorter"
            )
        return thread_id


def _compiled(place: str, text: str) -> Expression:
    try:
        return expressions.compile_value(text, _VARIABLES)
    except ExpressionError as error:
        raise UsageError(f"`{place}`: {error}") from error


def _bound(message: Message, data: Any) -> Bindings:
    try:
        values = {
            "message": _attributes(message),
            "data": events.presentable(data),
            "key": events.clean(message.key or ""),
        }
    except (UsageError, LimitError) as error:
        raise Reject(f"expressions cannot be given the payload: {error}") from error
    return expressions.bind(values, _VARIABLES)


def _attributes(message: Message) -> dict[str, Any]:
    """The envelope without the payload; what it does not have is left out."""
    found: dict[str, Any] = dict(message.extensions)
    for name in _ATTRIBUTES:
        if (value := getattr(message, name)) is not None:
            found[name] = value if isinstance(value, str | int) else value.isoformat()
    plain: dict[str, Any] = events.presentable(found)
    return plain


_ATTRIBUTES = (
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "key",
    "tenant",
    "run_id",
    "decision_id",
    "correlation_id",
    "causation_id",
    "deadline",
    "attempt",
    "traceparent",
    "policy_version",
)


def _value(place: str, expression: Expression, bindings: Bindings) -> Any:
    try:
        return expression.value(bindings)
    except EvaluationError as error:
        raise Reject(f"`{place}`: {error}") from error


def _quoted(name: str) -> str:
    """As a part of a thread's id, which holds no `/` and nothing invisible; different names stay different."""
    return "".join(char if char.isprintable() and char not in "/%" else quote(char, safe="") for char in name)


def _event(message: Message, data: Any) -> Any:
    if isinstance(data, bytes):
        raise Reject(
            f"the payload is {len(data)} bytes of {message.datacontenttype or 'unknown type'}, not JSON; give the "
            'subscription format = "json" or "raw"'
        )
    return _plain(data)


def _json(message: Message, data: Any) -> Any:
    if not isinstance(data, bytes):
        return _plain(data)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Reject(f"the payload {data[:60]!r} is no JSON: {error}") from error


def _raw(message: Message, data: Any) -> str:
    if not isinstance(data, bytes):
        return data if isinstance(data, str) else orjson.dumps(_plain(data)).decode()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Reject(f"the payload {data[:60]!r} is no text in UTF-8: {error}") from error


def _plain(data: Any) -> Any:
    return data.model_dump(mode="json") if isinstance(data, BaseModel) else data


_READERS: Mapping[str, Callable[[Message, Any], Any]] = {"cloudevents": _event, "json": _json, "raw": _raw}
