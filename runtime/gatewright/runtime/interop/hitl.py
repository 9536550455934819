"""The shape of langchain's `HumanInTheLoopMiddleware` (`langchain.agents.middleware.human_in_the_loop`).

A `HITLRequest` lists actions and for each the decisions it allows; a `HITLResponse` decides them by position. With
`interrupt_mode="per_call"` each action is an interrupt of its own, a `ToolApprovalRequest`, answered by one decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from gatewright.agents.errors import UsageError

from .reviews import TITLES, Asked, Choice, Decided, cautious, check, each, is_list, is_object, option, text

CHOICES: tuple[Choice, ...] = get_args(Choice)


def read(payload: Any) -> tuple[Asked, ...] | None:
    """The actions of a `HITLRequest`; None where it is none."""
    if not is_object(payload) or not is_list(payload.get("action_requests")):
        return None
    configs = payload.get("review_configs")
    asked = [
        _asked(request, _config(request, number, configs if is_list(configs) else []))
        for number, request in enumerate(payload["action_requests"])
    ]
    found = [action for action in asked if action is not None]
    return tuple(found) if found and len(found) == len(asked) else None


def read_one(payload: Any) -> Asked | None:
    """The action of a `ToolApprovalRequest`; None where it is none."""
    if not is_object(payload) or payload.get("type") != "tool_approval":
        return None
    return _asked(payload, CHOICES)


def _config(request: Any, number: int, configs: Sequence[Any]) -> tuple[Choice, ...]:
    """What an action allows: the configuration at its place, which the middleware writes one of for each action."""
    name = request.get("name") if is_object(request) else None
    here = [config for config in configs[number : number + 1] if is_object(config)]
    named = [config for config in (*here, *configs) if is_object(config) and config.get("action_name") == name]
    allowed = named[0].get("allowed_decisions") if named else None
    return tuple(choice for choice in CHOICES if is_list(allowed) and choice in allowed)


def _asked(request: Any, choices: tuple[Choice, ...]) -> Asked | None:
    if not is_object(request) or not text(request.get("name")) or not is_object(request.get("args")) or not choices:
        return None
    return Asked(
        name=request["name"], args=request["args"], description=text(request.get("description")), choices=choices
    )


def request(asked: Sequence[Asked]) -> dict[str, Any]:
    """A `HITLRequest`."""
    return {
        "action_requests": [
            {"name": action.name, "args": dict(action.args), "description": action.description} for action in asked
        ],
        "review_configs": [{"action_name": action.name, "allowed_decisions": list(action.choices)} for action in asked],
    }


def response(asked: Sequence[Asked], decided: Sequence[Decided]) -> dict[str, Any]:
    """A `HITLResponse`."""
    return {"decisions": [decision(*pair) for pair in zip(asked, decided, strict=True)]}


def decision(action: Asked, decided: Decided) -> dict[str, Any]:
    """One decision."""
    match decided.choice:
        case "approve":
            return {"type": "approve"}
        case "edit":
            return {"type": "edit", "edited_action": {"name": action.name, "args": dict(decided.args)}}
        case "reject":
            return {"type": "reject", **({"message": decided.message} if decided.message else {})}
        case "respond":
            return {"type": "respond", "message": decided.message}


def schema(asked: Sequence[Asked]) -> dict[str, Any]:
    """The JSON Schema of a `HITLResponse` to these actions."""
    default = [decision(action, cautious(action)) for action in asked]
    return option("Decisions", decisions=each(asked, [decision_schema(action) for action in asked], default))


def decision_schema(action: Asked) -> dict[str, Any]:
    """The JSON Schema of a decision on an action. An edit cannot name another tool."""
    options: list[dict[str, Any]] = []
    for choice in action.choices:
        kind = {"const": choice}
        message = {"type": "string"}
        if choice == "edit":
            args = {"type": "object", "default": dict(action.args)}
            edited = option("Edited action", name={"const": action.name}, args=args)
            options.append(option(TITLES[choice], type=kind, edited_action=edited))
        elif choice == "approve":
            options.append(option(TITLES[choice], type=kind))
        else:
            options.append(option(TITLES[choice], type=kind, message=message))
            if choice == "reject":
                options[-1]["required"] = ["type"]
    return {"oneOf": options}


def decisions(asked: Sequence[Asked], value: Any) -> list[Decided]:
    """What a `HITLResponse` decides on these actions.

    Agent Inbox writes some of it in its own words (`args` for the edited action or the message), which are taken too.

    Raises:
        UsageError: it is none, does not decide each action, or as the action does not allow.
    """
    given = value.get("decisions") if is_object(value) else None
    if not is_list(given) or len(given) != len(asked):
        count = len(given) if is_list(given) else "no"
        raise UsageError(f"there are {len(asked)} actions and {count} decisions; send {{'decisions': [...]}}, in order")
    found = [_decided(action, item) for action, item in zip(asked, given, strict=True)]
    check(asked, found)
    return found


def _decided(action: Asked, item: Any) -> Decided:
    given: Mapping[str, Any] = item if is_object(item) else {}
    choice: Choice | None = next((known for known in CHOICES if known == given.get("type")), None)
    if choice is None:
        raise UsageError(f"a decision's type is one of {', '.join(CHOICES)}, not {given.get('type')!r}")
    message = text(given.get("message")) or text(given.get("args"))
    if choice != "edit":
        return Decided(choice=choice, message=message)
    edited = given.get("edited_action", given.get("args"))
    name = edited.get("name", edited.get("action")) if is_object(edited) else None
    args = edited.get("args") if is_object(edited) else None
    if name != action.name or not is_object(args):
        raise UsageError(f"an edit of {action.name!r} needs edited_action with that name and args, not {edited!r:.80}")
    return Decided(choice="edit", args=args)
