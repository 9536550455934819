"""Typed payloads: the pydantic models of a topic's types, and what to make of versions that are not ours."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from gatewright.agents.envelopes import Message, Reject, Version, version
from gatewright.agents.errors import UsageError

Models = Mapping[str, type[BaseModel]]
"""Models by the type they are the payload of: `refund.requested@1.2`."""


class Schemas:
    """The models of one topic; `typed` says whether there are any. Without, every payload passes as it is.

    Of one schema and major version there is one model, that of the highest minor version. Messages of other minor
    versions pass it too: minor versions only add what may be missing.
    """

    def __init__(self, topic: str, models: Models) -> None:
        self._topic = topic
        self._models: dict[tuple[str, int], tuple[Version, type[BaseModel]]] = {}
        for name, model in models.items():
            found = version(name)
            if found is None:
                raise UsageError(f"schema {name!r} of topic {topic!r} has no version; name it {name}@1.0")
            before = self._models.get(found[:2])
            if before is None or before[0] < found:
                self._models[found[:2]] = (found, model)
        self.typed = bool(self._models)
        self._types = {
            model: f"{name.schema}@{name.major}.{name.minor}" for name, model in reversed(self._models.values())
        }

    def plain(self, type_: str, data: Any) -> tuple[str, Any]:
        """A type and the JSON form of a reply: its model's, where the topic knows it."""
        if isinstance(data, BaseModel):
            return self._types.get(type(data), type_), data.model_dump(mode="json")
        return type_, data

    def dump(self, type_: str | None, data: Any) -> tuple[str, Any]:
        """The type and the JSON form of what is to be published.

        Raises:
            UsageError: a consumer would refuse it.
        """
        if isinstance(data, BaseModel):
            type_ = type_ or self._types.get(type(data))
            if type_ is None and self._models:
                raise UsageError(f"topic {self._topic!r} takes no {type(data).__name__}; it takes {self._known()}")
            data = data.model_dump(mode="json")
        type_ = type_ or self._topic
        if self._models:
            try:
                self.load(type_, data)
            except Reject as error:
                raise UsageError(f"topic {self._topic!r} does not take this: {error}") from error
        return type_, data

    def load(self, type_: str, data: Any) -> Any:
        """The payload of a message, as an instance of its model where it has one.

        Raises:
            Reject: no model takes it.
        """
        if not self._models:
            return data
        found = version(type_)
        known = None if found is None else self._models.get(found[:2])
        if known is None:
            raise Reject(f"type {type_!r} is unknown; topic {self._topic!r} takes {self._known()}")
        try:
            return known[1].model_validate(data)
        except ValidationError as error:
            raise Reject(f"the payload is no {type_!r}: {_first(error)}") from error

    def check(self, message: Message) -> Any:
        """The payload of a message; raises as `load` does."""
        return self.load(message.type, message.data)

    def _known(self) -> list[str]:
        return sorted(f"{name.schema}@{name.major}" for name, _ in self._models.values())


def import_models(topic: str, named: Mapping[str, str]) -> Models:
    """The models that a configuration names as `module:attribute`.

    Raises:
        UsageError: one cannot be imported, or is no pydantic model.
    """
    models: dict[str, type[BaseModel]] = {}
    for type_, place in named.items():
        module, _, attribute = place.partition(":")
        try:
            model = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise UsageError(
                f"schema {type_!r} of topic {topic!r} is {place!r}, which is not there: {error}"
            ) from error
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise UsageError(f"schema {type_!r} of topic {topic!r} is {place!r}, which is no pydantic model")
        models[type_] = model
    return models


def _first(error: ValidationError) -> str:
    detail = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in detail["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{place or 'it'}: {detail['msg']}{more}"
