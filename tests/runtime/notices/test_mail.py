"""Messages by e-mail, through a mail server in this process."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gatewright.runtime.notices.delivery import DeliveryError
from gatewright.runtime.notices.facts import Facts
from gatewright.runtime.notices.mail import MailChannel
from gatewright.runtime.notices.outbox import Notice
from gatewright.runtime.notices.receivers import Mail

NOTICE = Notice(
    number=1,
    id="notice-1",
    event="approval.opened",
    subject_id="ask-1",
    facts=Facts(deployment="x", agent="Büro", subject="tool pay"),
    attempts=0,
    created=datetime(2026, 1, 2, tzinfo=UTC),
)


async def deliver(server: Any, password: str = "", **settings: Any) -> None:
    mail = Mail.model_validate({"host": server.host, "port": server.port, "sender": "gate@example.org", **settings})
    channel = MailChannel(mail, password, "duty@example.org", "https://gate.example.org")
    try:
        await channel.deliver(NOTICE)
    finally:
        await channel.close()


async def test_a_message_arrives_as_plain_text_with_a_link(mail_server: Any) -> None:
    await deliver(mail_server, security="none")

    (message,) = mail_server.box.messages
    assert message["Subject"] == "Waiting for a decision: tool pay"
    assert message["Message-ID"] == "<notice-1@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"
    assert "Agent: Büro" in message.get_content().splitlines()
    assert "https://gate.example.org/approvals/ask-1" in message.get_content()
    assert mail_server.box.envelopes[0].rcpt_tos == ["duty@example.org"]


async def test_a_password_is_given_over_tls(tls_mail_server: Any) -> None:
    await deliver(tls_mail_server, "wright", username="gate")

    assert len(tls_mail_server.box.messages) == 1


async def test_a_wrong_password_is_told_without_it(tls_mail_server: Any) -> None:
    with pytest.raises(DeliveryError, match="answered 535") as refused:
        await deliver(tls_mail_server, "wrong-word", username="gate")

    assert "wrong-word" not in refused.value.reason


async def test_a_server_whose_certificate_nobody_vouches_for_gets_nothing(
    tls_mail_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(DeliveryError, match="certificate verify failed"):
        await deliver(tls_mail_server, "wright", username="gate")
    assert tls_mail_server.box.messages == []


async def test_a_server_that_does_not_offer_tls_gets_nothing(mail_server: Any) -> None:
    with pytest.raises(DeliveryError, match="STARTTLS"):
        await deliver(mail_server)
    assert mail_server.box.messages == []


async def test_a_refusal_of_the_server_is_told(mail_server: Any) -> None:
    mail_server.box.refuse = "452 no space"

    with pytest.raises(DeliveryError, match="answered 452: no space"):
        await deliver(mail_server, security="none")
