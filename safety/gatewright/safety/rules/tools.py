"""What a rule pack says about a tool: what it does, and what its arguments and results mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .fields import Part, Text


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool or function as rules see it.

    `target`: arguments that say where or on whom it acts. `payload`: arguments that carry content. Where one is None,
    it is every argument that is not in the other: what nobody described is looked at as both. `fields`: names of the
    fields of its results that may be referred to although the result is not trusted, None for all. `intent`: words by
    which people ask for it.
    """

    labels: frozenset[str] = frozenset()
    target: frozenset[str] | None = None
    payload: frozenset[str] | None = None
    fields: frozenset[str] | None = None
    intent: frozenset[str] = frozenset()

    def join(self, other: Tool) -> Tool:
        """What two packs say together; of `fields`, those that both allow."""
        return Tool(
            labels=self.labels | other.labels,
            target=_either(self.target, other.target),
            payload=_either(self.payload, other.payload),
            fields=_both(self.fields, other.fields),
            intent=self.intent | other.intent,
        )

    def targets(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the arguments that say where it acts."""
        return _chosen(args, self.target, self.payload)

    def payloads(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the arguments that carry content."""
        return _chosen(args, self.payload, self.target)


UNKNOWN = Tool()
"""A tool that no pack describes."""


def trusted(labels: frozenset[str]) -> bool:
    """Whether results of a tool with these labels may steer an agent; without a word about it they may not."""
    return "trusted" in labels and "untrusted" not in labels


class ToolText(Part):
    """One of `tools` in a rule pack."""

    labels: list[Text] = []
    target: list[Text] | None = None
    payload: list[Text] | None = None
    fields: list[Text] | None = None
    intent: list[Text] = []

    def tool(self) -> Tool:
        """The tool that it describes."""
        return Tool(
            labels=frozenset(self.labels),
            target=None if self.target is None else frozenset(self.target),
            payload=None if self.payload is None else frozenset(self.payload),
            fields=None if self.fields is None else frozenset(self.fields),
            intent=frozenset(self.intent),
        )


def _either(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one | other


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _chosen(args: Mapping[str, Any], own: frozenset[str] | None, others: frozenset[str] | None) -> dict[str, Any]:
    if own is not None:
        return {name: value for name, value in args.items() if name in own}
    return {name: value for name, value in args.items() if others is None or name not in others}
