"""What an approval looks like to the person who decides it, and what their form means."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast

from gatewright.runtime.people import Identity
from gatewright.runtime.views import ApprovalView, DelegationView, GrantOffer, Verb
from gatewright.safety.approvals.terms import BREAK_GLASS, NAME, ROLE

from . import forms

LABELS: Mapping[str, Mapping[Verb, str]] = {
    "approval": {"approve": "Approve", "reject": "Reject", "edit": "Approve with these arguments"},
    "question": {"answer": "Answer", "approve": "Approve all it asks about", "reject": "Decline"},
    "unknown": {
        "answer": "It happened, with this result",
        "approve": "It did not happen: perform it",
        "reject": "Give up",
    },
    "review": {"approve": "It was right", "reject": "It was wrong"},
}
"""What the console offers for each kind of request, with the words on the buttons."""

SAME = "same."  # a checkbox for each argument that a grant holds fast
MOST_HOURS = 24 * 366


class Card(NamedTuple):
    """An open approval as a form.

    `principals` are people in whose place the viewer may vote; with an `obstacle`, the viewer cannot. `grantable` are
    the arguments that a grant may hold fast, None where none can be given. `vote_id` makes a form that is sent twice
    one vote. `sent` and `errors` are of a form that was not accepted, to be shown again.
    """

    approval: ApprovalView
    title: str
    action: str
    fields: list[forms.Field]
    labels: Mapping[Verb, str]
    by: str
    back: str
    obstacle: str
    principals: list[str]
    grantable: list[str] | None
    emergency: bool
    vote_id: str
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
    grant: GrantOffer | None = None
    on_behalf_of: str = ""
    shown: str = ""
    vote_id: str = ""


def card(
    approval: ApprovalView, viewer: Identity, *, held: Sequence[DelegationView] = (), by: str = "", back: str
) -> Card:
    """The card of an approval, with the form that its schema describes.

    Args:
        held: the delegations in force by which the viewer may vote for others.
    """
    labels: dict[Verb, str] = {verb: label for verb, label in LABELS[approval.kind].items() if verb in approval.answers}
    value = approval.action.get("args") if approval.kind == "approval" else None
    filled = approval.form if approval.kind == "approval" else approval.form or {"title": "Answer"}
    principals = _principals(approval, viewer, held)
    return Card(
        approval=approval,
        title=title(approval),
        action=json.dumps(approval.action, indent=2, ensure_ascii=False, default=str),
        fields=forms.fields(filled, value) if filled and ("edit" in labels or "answer" in labels) else [],
        labels=labels,
        by=by,
        back=back,
        obstacle=obstacle(approval, viewer, principals),
        principals=principals,
        grantable=_grantable(approval),
        emergency=approval.kind == "approval" and viewer.kind == "person" and BREAK_GLASS in viewer.roles,
        vote_id=secrets.token_hex(16),
    )


def again(refused: Card, wish: Wish, sent: Mapping[str, str]) -> Card:
    """The card as it was sent, with what is wrong with it."""
    known = {"reason", "by", "grant_hours", *(field.name for field in refused.fields)}
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
    return {
        "approval": f"May {name} be done?",
        "unknown": f"Did {name} happen?",
        "review": f"Was the emergency decision on {name} right?",
    }[approval.kind]


def obstacle(approval: ApprovalView, viewer: Identity, principals: Sequence[str] = ()) -> str:
    """Why the viewer cannot decide this, as far as the page can know; the service has the last word."""
    if viewer.reads_only:
        return "You are an auditor: you see this and do not decide it."
    roles = " and ".join(approval.roles)
    if viewer.kind == "service" and approval.kind != "question":
        return "This is for people: sign in as a person."
    if viewer.kind != "person":
        needs = f"the role {roles}" if roles else f"{approval.needed} different people" if approval.needed > 1 else ""
        return f"This needs {needs}: sign in as a person." if needs else ""
    if viewer.name in approval.excluded:
        return f"You may not decide this: {viewer.name} {approval.excluded[viewer.name]}."
    if any(viewer.name in (vote.by, vote.on_behalf_of) for vote in approval.votes):
        return "You have had your say; this needs somebody else."
    if _holds(approval, viewer.name, viewer.roles) or principals:
        return ""
    return f"This needs the role {roles}, which you do not have."


def read(approval: ApprovalView, sent: Mapping[str, str], who: Identity) -> Wish:
    """What a submitted form asks for."""
    errors: dict[str, str] = {}
    verbs = tuple(LABELS[approval.kind])
    asked: list[Verb] = [known for known in verbs if known == sent.get("verb")]
    verb = asked[0] if asked else verbs[0]
    if not asked:
        errors["verb"] = f"is {sent.get('verb')!r}; the console takes {', '.join(verbs)} for this {approval.kind}"
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
    return Wish(
        verb,
        by,
        reason,
        value,
        errors,
        grant=_grant(sent, errors) if verb == "approve" else None,
        on_behalf_of=sent.get("on_behalf_of", ""),
        shown=sent.get("shown", ""),
        vote_id=sent.get("vote_id", ""),
    )


def _grant(sent: Mapping[str, str], errors: dict[str, str]) -> GrantOffer | None:
    arguments = [name.removeprefix(SAME) for name in sent if name.startswith(SAME)]
    match sent.get("grant", "once"):
        case "run":
            return GrantOffer(reach="run", arguments=arguments)
        case "thread":
            return GrantOffer(reach="thread", arguments=arguments)
        case "until":
            hours = hours_of(sent.get("grant_hours", ""))
            if hours is None:
                errors["grant_hours"] = f"Say for how many hours, from 1 to {MOST_HOURS}."
                return None
            return GrantOffer(reach="until", arguments=arguments, until=datetime.now(UTC) + timedelta(hours=hours))
        case "once":
            return None
        case other:
            errors["grant"] = f"is {other!r}; it is once, run, thread or until"
            return None


def hours_of(text: str) -> int | None:
    """A number of hours as it is typed; None where it is none."""
    text = text.strip()
    hours = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0
    return hours if 1 <= hours <= MOST_HOURS else None


def _holds(approval: ApprovalView, name: str, roles: frozenset[str]) -> bool:
    called = {f"{NAME}{name}", *(f"{ROLE}{role}" for role in roles)}
    return roles.issuperset(approval.roles) or not called.isdisjoint(approval.called)


def _principals(approval: ApprovalView, viewer: Identity, held: Sequence[DelegationView]) -> list[str]:
    """The people in whose place the viewer may vote on this."""
    spoken = {name for vote in approval.votes for name in (vote.by, vote.on_behalf_of)} | approval.excluded.keys()
    if viewer.name in spoken:
        return []
    return sorted(
        {
            given.by
            for given in held
            if given.by not in spoken
            and given.deployment in ("", approval.deployment)
            and given.agent in ("", approval.agent)
            and given.name in ("", approval.action.get("name"))
            and _holds(approval, given.by, frozenset(given.roles))
        }
    )


def _grantable(approval: ApprovalView) -> list[str] | None:
    """The arguments that a grant may hold fast."""
    if approval.kind != "approval" or approval.always_ask or approval.needed > 1 or not approval.rules:
        return None
    return sorted(approval.action.get("args") or {})
