"""What an approval looks like to the person who decides it, and what their form means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from fastapi import Request

from gatewright.runtime.operations import Host
from gatewright.runtime.people import Identity
from gatewright.runtime.views import ApprovalView, Verb

from . import forms, frame

VERBS: dict[str, tuple[Verb, ...]] = {
    "approval": ("approve", "reject", "edit"),
    "question": ("answer",),
    "unknown": ("answer",),
}


class Card(NamedTuple):
    """An open approval as a form. `sent` and `errors` are of a form that was not accepted, to be shown again."""

    approval: ApprovalView
    title: str
    action: str
    fields: list[forms.Field]
    by: str
    back: str
    sent: Mapping[str, str] = {}
    errors: Mapping[str, str] = {}
    problem: str = ""
    editing: bool = False


class Wish(NamedTuple):
    """A decision that can be made, or, with `errors`, one that cannot."""

    verb: Verb
    by: str
    reason: str
    value: Any
    errors: dict[str, str]


def card(approval: ApprovalView, *, by: str, back: str) -> Card:
    """The card of an approval, with the form that its schema describes."""
    args = approval.action.get("args")
    value = args if approval.kind == "approval" else None
    return Card(
        approval=approval,
        title=title(approval),
        action=json.dumps(approval.action, indent=2, ensure_ascii=False, default=str),
        fields=forms.fields(approval.form, value) if approval.form or approval.kind != "approval" else [],
        by=by,
        back=back,
    )


async def waiting(
    service: Host, request: Request, *, back: str, limit: int, offset: int = 0, run_id: str | None = None
) -> list[Card]:
    """The cards of what is open, oldest first."""
    found = await service.approvals(run_id=run_id, limit=limit, offset=offset)
    return [card(approval, by=frame.name_of(request), back=back) for approval in found]


def again(refused: Card, wish: Wish, sent: Mapping[str, str]) -> Card:
    """The card as it was sent, with what is wrong with it."""
    known = {"reason", "by", *(field.name for field in refused.fields)}
    rest = [f"{name}: {text}" if name else text for name, text in wish.errors.items() if name not in known]
    return refused._replace(
        fields=forms.echo(refused.fields, sent),
        by=sent.get("by", ""),
        sent=sent,
        errors=wish.errors,
        problem="; ".join(rest),
        editing=wish.verb == "edit",
    )


def title(approval: ApprovalView) -> str:
    """The question in a few words."""
    name = str(approval.action.get("name", ""))
    if approval.kind == "question":
        payload = approval.action.get("payload")
        asked = cast("Mapping[str, Any]", payload).get("question") if isinstance(payload, Mapping) else payload
        return str(asked)[:200] if asked else f"{approval.agent} asks"
    return f"Did {name} happen?" if approval.kind == "unknown" else f"May {name} be done?"


def read(approval: ApprovalView, sent: Mapping[str, str], who: Identity) -> Wish:
    """What a submitted form asks for."""
    errors: dict[str, str] = {}
    verbs = VERBS[approval.kind]
    asked: list[Verb] = [known for known in verbs if known == sent.get("verb")]
    verb = asked[0] if asked else verbs[0]
    if not asked:
        errors["verb"] = f"is {sent.get('verb')!r}; a {approval.kind} takes {', '.join(verbs)}"
    by = sent.get("by", "").strip()
    if not by and not who.authenticated:
        errors["by"] = "is needed: the ledger records who decided"
    reason = sent.get("reason", "").strip()
    if verb == "reject" and not reason:
        errors["reason"] = "A reason is needed to reject: the agent is told why."
    value: Any = None
    if verb in ("edit", "answer"):
        value, wrong = forms.read(approval.form, sent)
        errors |= wrong
    return Wish(verb, by, reason, value, errors)
