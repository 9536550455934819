"""The shape of Agent Inbox (`HumanInterrupt`, `HumanResponse`), which LangGraph deprecated and people still use.

An agent interrupts with a request or a list of them and is resumed with a list of responses, one for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gatewright.agents.errors import UsageError

from .reviews import TITLES, Asked, Choice, Decided, cautious, check, each, is_list, is_object, option, text

FLAGS: Mapping[str, Choice] = {
    "allow_accept": "approve",
    "allow_edit": "edit",
    "allow_ignore": "reject",
    "allow_respond": "respond",
}
TYPES: Mapping[str, Choice] = {"accept": "approve", "edit": "edit", "ignore": "reject", "response": "respond"}
_WORDS = {choice: word for word, choice in TYPES.items()}


def read(payload: Any) -> tuple[Asked, ...] | None:
    """The actions of a `HumanInterrupt` or a list of them; None where it is none."""
    items = payload if is_list(payload) else [payload]
    asked = [_asked(item) for item in items]
    found = [action for action in asked if action is not None]
    return tuple(found) if found and len(found) == len(asked) else None


def _asked(item: Any) -> Asked | None:
    if not is_object(item) or not is_object(item.get("action_request")) or not is_object(item.get("config")):
        return None
    action, config = item["action_request"], item["config"]
    choices: tuple[Choice, ...] = tuple(choice for flag, choice in FLAGS.items() if config.get(flag) is True)
    if not text(action.get("action")) or not is_object(action.get("args")) or not choices:
        return None
    return Asked(name=action["action"], args=action["args"], description=text(item.get("description")), choices=choices)


def request(asked: Sequence[Asked]) -> list[dict[str, Any]]:
    """A list of `HumanInterrupt`."""
    return [
        {
            "action_request": {"action": action.name, "args": dict(action.args)},
            "config": {flag: choice in action.choices for flag, choice in FLAGS.items()},
            "description": action.description,
        }
        for action in asked
    ]


def responses(asked: Sequence[Asked], decided: Sequence[Decided]) -> list[dict[str, Any]]:
    """A list of `HumanResponse`."""
    return [_response(*pair) for pair in zip(asked, decided, strict=True)]


def _response(action: Asked, decided: Decided) -> dict[str, Any]:
    args: Any = None
    if decided.choice == "edit":
        args = {"action": action.name, "args": dict(decided.args)}
    elif decided.choice == "respond":
        args = decided.message
    return {"type": _WORDS[decided.choice], "args": args}


def schema(asked: Sequence[Asked]) -> dict[str, Any]:
    """The JSON Schema of a list of `HumanResponse` to these actions."""
    return each(
        asked,
        [{"oneOf": [_option(action, choice) for choice in action.choices]} for action in asked],
        [_response(action, cautious(action)) for action in asked],
    )


def _option(action: Asked, choice: Choice) -> dict[str, Any]:
    args: dict[str, Any] = {"const": None}
    if choice == "edit":
        inner = {"type": "object", "default": dict(action.args)}
        args = option("Edited action", action={"const": action.name}, args=inner)
    elif choice == "respond":
        args = {"type": "string"}
    return option(TITLES[choice], type={"const": _WORDS[choice]}, args=args)


def decisions(asked: Sequence[Asked], value: Any) -> list[Decided]:
    """What a list of `HumanResponse` decides on these actions.

    Raises:
        UsageError: it is none, does not decide each action, or as the action does not allow.
    """
    if not is_list(value) or len(value) != len(asked):
        count = len(value) if is_list(value) else "no"
        raise UsageError(f"there are {len(asked)} actions and {count} responses; send one for each, in their order")
    found = [_decided(action, item) for action, item in zip(asked, value, strict=True)]
    check(asked, found)
    return found


def _decided(action: Asked, item: Any) -> Decided:
    given: Mapping[str, Any] = item if is_object(item) else {}
    choice = TYPES.get(text(given.get("type")))
    args = given.get("args")
    match choice:
        case None:
            raise UsageError(f"a response's type is one of {', '.join(TYPES)}, not {given.get('type')!r}")
        case "edit":
            edited = args.get("args") if is_object(args) else None
            if not is_object(args) or args.get("action") != action.name or not is_object(edited):
                raise UsageError(
                    f"an edit of {action.name!r} needs args with that action and its args, not {args!r:.80}"
                )
            return Decided(choice=choice, args=edited)
        case "respond":
            if not isinstance(args, str):
                raise UsageError(f"a response to {action.name!r} is a text in args, not {args!r:.80}")
            return Decided(choice=choice, message=args)
        case _:
            return Decided(choice=choice)
