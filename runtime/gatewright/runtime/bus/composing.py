"""Writing messages: what a payload becomes on its way to a topic, and what it inherits from the one being handled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel

from gatewright.agents.envelopes import Message

from . import topics
from .log import Entry, entry
from .schemas import Models, Schemas, import_models
from .topics import Topic


class Handled(Protocol):
    """A message that is being handled."""

    @property
    def message(self) -> Message: ...

    @property
    def deadline(self) -> datetime | None: ...


HANDLED: ContextVar[Handled | None] = ContextVar("gatewright_handled", default=None)
"""The message that is being handled here."""


class Composer:
    """Makes messages of one `source`, by the schemas of the topics."""

    def __init__(
        self,
        source: str,
        settings: Callable[[str], Topic],
        models: Mapping[str, Models] | None = None,
        route: Callable[[Entry], Entry] | None = None,
    ) -> None:
        self.source = source
        self._route = route
        self._settings = settings
        self._models = models or {}
        self._schemas: dict[str, Schemas] = {}

    def schemas(self, topic: str) -> Schemas:
        """The models of a topic.

        Raises:
            UsageError: the topic is none, or a model that is configured is not there.
        """
        found = self._schemas.get(topic)
        if found is None:
            topics.check(topic)
            configured = import_models(topic, self._settings(topic).schemas)
            found = self._schemas[topic] = Schemas(topic, {**configured, **self._models.get(topic, {})})
        return found

    def compose(
        self,
        topic: str,
        data: Any,
        *,
        key: str | None = None,
        id: str | None = None,
        type: str | None = None,
        subject: str | None = None,
        deadline: datetime | None = None,
        reply_to: str | None = None,
        correlation_id: str | None = None,
    ) -> tuple[Message, Entry]:
        """A message for a topic, and how it goes into the log.

        `data` may be a whole `Message`; what else is given then replaces its parts. `correlation_id` is for one that is
        made here, in place of what it inherits.

        Raises:
            UsageError: the topic does not take it.
        """
        schemas = self._schemas.get(topic) or self.schemas(topic)
        if isinstance(data, Message):
            given = {
                name: value
                for name, value in (
                    ("key", key),
                    ("id", id),
                    ("subject", subject),
                    ("deadline", deadline),
                    ("reply_to", reply_to),
                )
                if value is not None
            }
            type_, payload = schemas.dump(type or data.type, data.data)
            message = data.replace(type=type_, data=payload, **given)
            return message, self._entry(topic, message, new=False)
        if schemas.typed or isinstance(data, BaseModel):
            type, data = schemas.dump(type, data)
        inherited: dict[str, Any] = {} if (handled := HANDLED.get()) is None else _inherited(handled.message)
        if correlation_id is not None:
            inherited["correlation_id"] = correlation_id
        message = Message(
            source=self.source,
            type=type or topic,
            data=data,
            id=id,
            key=key,
            subject=subject,
            deadline=deadline,
            reply_to=reply_to,
            **inherited,
        )
        return message, self._entry(topic, message, new=id is None)

    def _entry(self, topic: str, message: Message, *, new: bool) -> Entry:
        made = entry(topic, message, new=new)
        return made if self._route is None else self._route(made)


def _inherited(handled: Message) -> dict[str, str | None]:
    return {
        "causation_id": handled.id,
        "correlation_id": handled.correlation_id or handled.id,
        "tenant": handled.tenant,
        "traceparent": handled.traceparent,
    }


def derived_id(message: Message, group: str, number: int) -> str:
    """The id of the `number`-th message that a group publishes for a message: the same each time that it is handled."""
    digest = hashlib.sha256(f"{message.source}\n{message.id}\n{group}\n{number}".encode()).hexdigest()
    return (
        f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-{8 | int(digest[16], 16) & 3:x}{digest[17:20]}-{digest[20:32]}"
    )
