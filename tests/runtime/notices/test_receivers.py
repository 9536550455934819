"""What may be configured: addresses over TLS, strong secrets, known events."""

import base64
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gatewright.agents.errors import UsageError
from gatewright.runtime.config import load
from gatewright.runtime.notices.receivers import Mail, Receiver, check_address, key

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def receiver(**more: Any) -> Receiver:
    return Receiver.model_validate({"name": "desk", "to": "https://example.org/hook", "secret": SECRET, **more})


@pytest.mark.parametrize(
    "to",
    [
        "http://example.org/hook",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1.example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://user:word@example.org/",
        "https://example.org/#here",
        "https:///hook",
        "https://example.org/a b",
        "https://example.org/\r\nx: y",
    ],
)
def test_an_address_that_is_not_https_or_hides_something_is_refused(to: str) -> None:
    with pytest.raises(ValueError):
        check_address("webhook", to)


@pytest.mark.parametrize(
    "to", ["https://example.org/hook?a=1", "http://127.0.0.1:9/x", "http://[::1]/", "http://localhost/"]
)
def test_https_and_loopback_addresses_are_taken(to: str) -> None:
    check_address("slack", to)


@pytest.mark.parametrize(
    "to", ["desk", "a@b\r\nBcc: c@d", "a@b,c@d", "Desk <a@b>", "a b@c", "ä@example.org", "a@b@c", "a@b\n"]
)
def test_an_e_mail_address_is_one_plain_address(to: str) -> None:
    with pytest.raises(ValueError, match="no e-mail address"):
        check_address("email", to)


def test_a_secret_is_24_to_64_bytes_and_is_not_shown_when_it_is_refused() -> None:
    def secret(size: int) -> str:
        return f"whsec_{base64.b64encode(b'k' * size).decode()}"

    assert [len(key(secret(size))) for size in (24, 64)] == [24, 64]
    for wrong in (secret(23), secret(65), secret(32).removeprefix("whsec_"), "whsec_not base64"):
        with pytest.raises(ValueError) as refused:
            key(wrong)
        assert wrong not in str(refused.value)


def test_a_webhook_needs_a_secret_and_takes_two_at_most() -> None:
    with pytest.raises(ValidationError, match="needs a `secret`"):
        receiver(secret=[])
    with pytest.raises(ValidationError, match="at most 2"):
        receiver(secret=[SECRET, SECRET], secret_env="THIRD")
    assert len(receiver(secret=[SECRET, SECRET]).keys({})) == 2


def test_a_receiver_that_is_no_webhook_has_no_secret() -> None:
    with pytest.raises(ValidationError, match="leave `secret` out"):
        receiver(kind="slack")


def test_secrets_and_addresses_come_from_the_environment_and_are_checked_there() -> None:
    found = receiver(to="", to_env="HOOK", secret=[], secret_env=["OLD", "NEW"])
    environ = {"HOOK": "https://example.org/secret-path", "OLD": SECRET, "NEW": SECRET}

    assert found.address(environ) == "https://example.org/secret-path"
    assert len(found.keys(environ)) == 2
    with pytest.raises(UsageError, match="HOOK, which is not set"):
        found.address({})
    with pytest.raises(UsageError, match="without TLS"):
        found.address({**environ, "HOOK": "http://example.org"})
    with pytest.raises(UsageError, match="NEW"):
        found.keys({**environ, "NEW": "short"})


def test_what_is_printed_of_a_receiver_holds_neither_its_secret_nor_its_address() -> None:
    assert SECRET not in repr(receiver())
    assert "example.org" not in repr(receiver())


def test_a_mail_server_elsewhere_is_spoken_to_over_tls() -> None:
    with pytest.raises(ValidationError, match="not on this machine"):
        Mail(host="mail.example.org", security="none", sender="a@example.org")
    with pytest.raises(ValidationError, match="not sent without TLS"):
        Mail(host="127.0.0.1", security="none", sender="a@example.org", username="a")
    assert Mail(host="127.0.0.1", security="none", sender="a@example.org").port == 587


def test_a_sender_with_a_line_end_is_refused() -> None:
    with pytest.raises(ValidationError, match="no e-mail address"):
        Mail(host="mail.example.org", sender="a@example.org\r\nBcc: b@example.org")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "a"\nto = "https://x.org"\nkind = "slack"\nevents = ["approval.open"]', "approval.open"),
        ('name = "a b"\nto = "https://x.org"\nkind = "slack"', "a b"),
        ('name = "a"\nkind = "slack"', "either `to` or `to_env`"),
        (
            'name = "a"\nto = "https://x.org"\nkind = "slack"\nevent = "x"',
            r"notices\.0\.event'; did you mean 'notices\.0\.events'",
        ),
        (
            'name = "a"\nto = "https://x.org"\nkind = "slack"\n[[notices]]\nname = "a"\nto_env = "X"\nkind = "slack"',
            "'a'",
        ),
    ],
)
def test_a_mistake_in_the_configuration_is_told_with_its_value(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "gatewright.toml").write_text(f"[[notices]]\n{text}\n", "utf-8")

    with pytest.raises(UsageError, match=said):
        load(cwd=tmp_path, environ={})


def test_a_configuration_with_receivers_is_read(tmp_path: Path) -> None:
    (tmp_path / "gatewright.toml").write_text(
        '[server]\npublic_url = "https://gate.example.org/"\n'
        f'[[notices]]\nname = "siem"\nto = "https://x.org"\nsecret = "{SECRET}"\nevents = "budget.hit"\n'
        '[[notices]]\nname = "duty"\nkind = "email"\nto = "duty@example.org"\nroles = ["oncall"]\n'
        '[mail]\nhost = "mail.example.org"\nsender = "gate@example.org"\n',
        "utf-8",
    )

    config = load(cwd=tmp_path, environ={})

    assert [(found.name, found.events[0]) for found in config.notices] == [
        ("siem", "budget.hit"),
        ("duty", "approval.opened"),
    ]
    assert config.server.public_url == "https://gate.example.org"


@pytest.mark.parametrize("url", ["http://gate.example.org", "gate.example.org", "https://x.org/?a=b", "javascript:x"])
def test_an_address_of_the_console_that_people_should_not_sign_in_at_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match=r"server\.public_url"):
        load(cwd=tmp_path, environ={"GATEWRIGHT_SERVER__PUBLIC_URL": url})
