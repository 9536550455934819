"""What a notice looks like: as JSON, as plain text and as Slack's blocks."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from gatewright.runtime import display

from .outbox import Notice
from .receivers import TEST

SLACK_HEADER = 150  # characters that Slack takes
SLACK_TEXT = 2000  # characters of a section's field

_TITLES = {
    "approval.opened": "Waiting for a decision",
    "approval.reminder": "Still waiting for a decision",
    "approval.escalated": "Escalated for a decision",
    "approval.expired": "Nobody decided in time",
    "approval.decided": "Decided",
    "budget.hit": "Budget used up",
    "deployment.paused": "Deployment paused",
    TEST: "Test message",
}
_CONTROL = {**display.MISLEADING, **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029), " ")}


def title(notice: Notice) -> str:
    """The message in one line, without control characters."""
    facts = notice.facts
    about = facts.subject or facts.deployment
    return line(f"{_TITLES[notice.event]}: {about}" if about else _TITLES[notice.event])


def line(text: str) -> str:
    """Text on one line, without control characters: what names hold must not become a header or a line of its own."""
    return " ".join(text.translate(_CONTROL).split())


def details(notice: Notice) -> list[tuple[str, str]]:
    """What there is to say, with its label; nothing that is empty."""
    facts = notice.facts
    said = [
        ("Deployment", facts.deployment),
        ("Agent", facts.agent),
        ("About", facts.subject),
        ("State", facts.state),
        ("Reason", facts.reason),
        ("May decide", ", ".join(who.replace(":", " ", 1) for who in facts.to)),
        ("Until", "" if facts.due is None else facts.due.isoformat(timespec="seconds")),
    ]
    return [(label, line(text)) for label, text in said if text]


def link(notice: Notice, public_url: str) -> str:
    """Where the subject is shown to whoever signs in; "" where the service has no address of its own."""
    if not public_url:
        return ""
    base = public_url.rstrip("/")
    return f"{base}/approvals/{quote(notice.subject_id, safe='')}" if notice.event.startswith("approval.") else base


def payload(notice: Notice, public_url: str) -> dict[str, Any]:
    """The body of a webhook, in the form that Standard Webhooks recommends."""
    facts = notice.facts
    return {
        "type": notice.event,
        "timestamp": notice.created.isoformat(),
        "data": {
            "id": notice.subject_id,
            "deployment": facts.deployment,
            "agent": facts.agent,
            "subject": facts.subject,
            "state": facts.state,
            "reason": facts.reason,
            "may_decide": list(facts.to),
            "due": None if facts.due is None else facts.due.isoformat(),
            "url": link(notice, public_url) or None,
        },
    }


def text(notice: Notice, public_url: str) -> str:
    """The body of an e-mail."""
    lines = [title(notice), "", *(f"{label}: {said}" for label, said in details(notice))]
    if url := link(notice, public_url):
        lines += ["", "Sign in to see what it is about and to decide:", url]
    return "\n".join([*lines, "", f"Message {notice.id}. Nobody can decide by answering it.", ""])


def blocks(notice: Notice, public_url: str) -> dict[str, Any]:
    """A message for Slack's incoming webhooks. All of it is plain text, so that no name mentions anybody."""
    shown: list[dict[str, Any]] = [{"type": "header", "text": _plain(title(notice)[:SLACK_HEADER])}]
    if fields := [_plain(f"{label}: {said}"[:SLACK_TEXT]) for label, said in details(notice)]:
        shown.append({"type": "section", "fields": fields})
    if url := link(notice, public_url):
        button = {"type": "button", "text": _plain("Open"), "url": url, "action_id": "open"}
        shown.append({"type": "actions", "elements": [button]})
    escaped = title(notice).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": escaped, "blocks": shown}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}
