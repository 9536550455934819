"""What all shapes have in common: actions that somebody is asked about, and what is decided on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard, cast

from gatewright.agents.errors import UsageError

Choice = Literal["approve", "edit", "reject", "respond"]
"""langchain's words. `edit`: perform it with other arguments · `respond`: do not, this is its result."""

TITLES: Mapping[Choice, str] = {
    "approve": "Approve",
    "edit": "Edit and approve",
    "reject": "Reject",
    "respond": "Answer in its place",
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """An action that waits for one of `choices`."""

    name: str
    args: Mapping[str, Any]
    description: str = ""
    choices: tuple[Choice, ...]


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What is decided on one action: `args` of an edit, `message` of a rejection or a response."""

    choice: Choice
    args: Mapping[str, Any] = field(default_factory=dict[str, Any])
    message: str = ""


def check(asked: Sequence[Asked], decided: Sequence[Decided]) -> None:
    """Check that there is a possible decision for each action.

    Raises:
        UsageError: there are more or fewer, or one is not among the choices of its action.
    """
    if len(asked) != len(decided):
        raise UsageError(f"there are {len(asked)} actions and {len(decided)} decisions; decide each, in their order")
    for number, (action, decision) in enumerate(zip(asked, decided, strict=True), 1):
        if decision.choice not in action.choices:
            raise UsageError(
                f"decision {number} is {decision.choice!r}, which action {action.name!r} does not take; it takes "
                f"{', '.join(action.choices)}"
            )


def is_object(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether a JSON value is an object."""
    return isinstance(value, Mapping)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether a JSON value is an array."""
    return isinstance(value, list)


def text(value: Any) -> str:
    """A text of somebody else's JSON; "" for anything that is none."""
    return value if isinstance(value, str) else ""


def option(title: str, **properties: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema of an object with exactly these properties."""
    return {
        "type": "object",
        "title": title,
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def each(asked: Sequence[Asked], schemas: Sequence[Mapping[str, Any]], default: Sequence[Any]) -> dict[str, Any]:
    """The JSON Schema of a list with an element for each action, in their order."""
    numbered = [
        {"title": f"{number}. {action.name}", "description": action.description, **schema}
        for number, (action, schema) in enumerate(zip(asked, schemas, strict=True), 1)
    ]
    return {
        "type": "array",
        "title": f"Decisions on {', '.join(action.name for action in asked)}, in this order",
        "prefixItems": numbered,
        "items": False,
        "minItems": len(asked),
        "default": cast("Any", list(default)),
    }


def cautious(action: Asked) -> Decided:
    """What a form shows before anybody chose: a rejection where there is one."""
    choice: Choice = "reject" if "reject" in action.choices else action.choices[0]
    return Decided(choice=choice, args=action.args)
