"""What rules may ask about an event beyond its own content: where values come from, and what the case did before."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gatewright.agents.errors import UsageError

from . import events, expressions, literals, provenance, tools
from .events import Event, Hook
from .provenance import Index, Need

_NEEDS: Mapping[str, Need] = {
    "targets": "values",
    "payload.links": "values",
    "tainted": "values",
    "asked_for()": "values",
    "count()": "calls",
    "seen()": "calls",
    "repeated()": "repeats",
}

_SPOKEN: frozenset[Hook] = frozenset({"output"})  # hooks whose payload is their text
_SENT: frozenset[Hook] = frozenset({"message.send"})  # hooks whose payload is all of their arguments


def needs(mentions: frozenset[str]) -> frozenset[Need]:
    """What an index must keep for expressions that mention this."""
    return frozenset(need for name, need in _NEEDS.items() if name in mentions)


class Facts:
    """The event that expressions are about; a `functions.Subject`."""

    def __init__(self, event: Event, described: Mapping[str, tools.Tool], index: Index) -> None:
        self._event = event
        self._described = described
        self._index = index

    @property
    def tainted(self) -> bool:
        """Whether the case has read a result that may come from a stranger."""
        return self._index.tainted

    def count(self, name: str, seconds: float) -> int:
        """See `functions.Subject`."""
        return self._index.count(name, provenance.ago(events.aware(self._event.time), seconds))

    def seen(self, name: str) -> bool:
        """See `functions.Subject`."""
        return self._index.seen(name)

    def repeated(self) -> int:
        """See `functions.Subject`."""
        return self._index.repeated(self._event.name, self._event.args)

    def asked_for(self, name: str | None = None) -> bool:
        """See `functions.Subject`.

        Raises:
            UsageError: nobody has said by which words people ask for it.
        """
        name = self._event.name if name is None else name
        intent = self._described.get(name, tools.UNKNOWN).intent
        if not intent:
            raise UsageError(f"the tool {name!r} has no `intent`; say under `tools:` by which words people ask for it")
        return self._index.said(intent)

    def targets(self, args: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Every text and number in the arguments that say where it acts; an empty text says nothing."""
        tool = self._described.get(self._event.name, tools.UNKNOWN)
        return [
            {"path": leaf.path, "value": leaf.value, **self._origin(leaf.value)}
            for leaf in provenance.leaves(tool.targets(args))
            if literals.written(leaf.value).strip()
        ]

    def links(self, args: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Everything in what is carried out that leads somewhere."""
        return [
            {"path": path, "value": found.value, "kind": found.kind, **self._origin(found.value)}
            for path, text in self._carried(args)
            for found in literals.found(text)
        ]

    def _carried(self, args: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        if self._event.hook in _SPOKEN:
            yield "text", self._event.text
            return
        tool = self._described.get(self._event.name, tools.UNKNOWN)
        for leaf in provenance.leaves(args if self._event.hook in _SENT else tool.payloads(args)):
            if isinstance(leaf.value, str):
                yield leaf.path, leaf.value

    def _origin(self, value: Any) -> dict[str, Any]:
        source = self._index.source(value)
        return {"known": source != "", "source": source}


def bind(
    event: Event,
    described: Mapping[str, tools.Tool],
    labels: frozenset[str],
    words: frozenset[str],
    mentions: frozenset[str],
    index: Callable[[], Index],
    *,
    limit: int = events.EVENT_LIMIT,
) -> expressions.Bindings:
    """What expressions that use these words and mention these names see of an event.

    Args:
        described: tools by name.
        labels: all labels known for the event's name.
        index: of what the case has said and done; asked for only where something mentioned needs it.
        limit: bytes of JSON that the event may have.

    Raises:
        LimitError: the event is larger than `limit`.
        UsageError: it holds something that is not JSON.
    """
    binder = _binder(event.hook)
    if not needs(mentions):
        return binder.bind(events.values(event, labels, words, limit=limit))
    shown = words | {"args", "text"} if mentions & {"targets", "payload.links"} else words
    values = events.values(event, labels, shown, limit=limit)
    facts = Facts(event, described, index())
    if "tainted" in mentions:
        values["tainted"] = facts.tainted
    offered = events.VARIABLES[event.hook].keys() & mentions
    if "targets" in offered:
        values["targets"] = facts.targets(values.get("args", {}))
    if "payload.links" in offered:
        values["payload.links"] = facts.links(values.get("args", {}))
    return binder.bind(values, facts)


@functools.cache
def _binder(hook: Hook) -> expressions.Binder:
    return expressions.Binder(events.VARIABLES[hook])
