"""How messages read: nothing in them decides, mentions anybody or becomes a header."""

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gatewright.runtime.notices import mail, messages
from gatewright.runtime.notices.facts import Facts
from gatewright.runtime.notices.outbox import Notice
from gatewright.runtime.notices.receivers import EVENTS, TEST

URL = "https://gate.example.org/gw"


def notice(event: str = "approval.opened", subject_id: str = "ask-1", **facts: Any) -> Notice:
    return Notice(
        number=1,
        id="notice-1",
        event=event,
        subject_id=subject_id,
        facts=Facts(**facts),
        attempts=0,
        created=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )


FULL = notice(
    deployment="support",
    agent="clerk",
    subject="tool issue_refund",
    state="open",
    reason="refunds wait",
    to=("role:ops",),
    due=datetime(2026, 1, 3, tzinfo=UTC),
)


def test_a_webhook_says_type_time_and_data() -> None:
    assert messages.payload(FULL, URL) == {
        "type": "approval.opened",
        "timestamp": "2026-01-02T03:04:05+00:00",
        "data": {
            "id": "ask-1",
            "deployment": "support",
            "agent": "clerk",
            "subject": "tool issue_refund",
            "state": "open",
            "reason": "refunds wait",
            "may_decide": ["role:ops"],
            "due": "2026-01-03T00:00:00+00:00",
            "url": f"{URL}/approvals/ask-1",
        },
    }


def test_an_e_mail_names_everything_and_links_to_the_console() -> None:
    text = messages.text(FULL, URL)

    assert "May decide: role ops\n" in text
    assert "Until: 2026-01-03T00:00:00+00:00\n" in text
    assert f"\n{URL}/approvals/ask-1\n" in text


def test_without_an_address_of_the_console_there_is_no_link() -> None:
    assert "http" not in messages.text(FULL, "")
    assert messages.payload(FULL, "")["data"]["url"] is None
    assert [block["type"] for block in messages.blocks(FULL, "")["blocks"]] == ["header", "section"]


def test_every_event_has_a_title_and_only_approvals_link_to_one() -> None:
    for event in (*EVENTS, TEST):
        assert messages.title(notice(event))
        ends = messages.link(notice(event), URL).endswith("/approvals/ask-1")
        assert ends == event.startswith("approval.")


def test_the_one_button_opens_and_carries_nothing_that_decides() -> None:
    (button,) = messages.blocks(FULL, URL)["blocks"][-1]["elements"]

    assert button["url"] == f"{URL}/approvals/ask-1"
    assert set(button) == {"type", "text", "url", "action_id"}
    for form in (json.dumps(messages.blocks(FULL, URL)), messages.text(FULL, URL), str(messages.payload(FULL, URL))):
        assert not any(word in form.lower() for word in ("approve", "reject", "token", "?"))


def test_an_id_cannot_lead_the_link_elsewhere() -> None:
    link = messages.link(notice(subject_id="../../sign-out?x=//evil.example"), URL)

    assert link == f"{URL}/approvals/..%2F..%2Fsign-out%3Fx%3D%2F%2Fevil.example"


def test_slack_is_given_plain_text_in_its_limits() -> None:
    found = messages.blocks(notice(subject="<!channel> " * 50, agent="<@U1>", reason="x" * 9000), URL)

    texts = [found["blocks"][0]["text"], *found["blocks"][1]["fields"]]
    assert {text["type"] for text in texts} == {"plain_text"}
    assert len(texts[0]["text"]) <= 150
    assert all(len(text["text"]) <= 2000 for text in texts)
    assert "<" not in found["text"]


@given(name=st.text(min_size=1, max_size=80), reason=st.text(max_size=80))
def test_whatever_names_hold_a_mail_has_the_headers_we_gave_it_and_no_more(name: str, reason: str) -> None:
    name = name.encode("utf-8", "replace").decode()
    reason = reason.encode("utf-8", "replace").decode()
    evil = notice(subject=f"{name}\r\nBcc: eve@example.org\r\n\r\nbody", reason=reason, agent=name)

    message = mail.compose(evil, sender="gate@example.org", to="duty@example.org", public_url=URL)
    head = message.as_bytes().split(b"\n\n")[0].decode()

    known = {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Type", "MIME-Version"}
    assert set(message) <= {*known, "Content-Transfer-Encoding"}
    assert "\nBcc" not in head
    assert message["To"] == "duty@example.org"
