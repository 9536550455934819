"""Settings: what is taken, what is refused, and that secrets are not shown."""

from __future__ import annotations

import re

import pytest

from gatewright.agents.errors import UsageError
from gatewright.runtime.kafka import Settings
from gatewright.runtime.kafka.settings import known_options


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("kafka://localhost:9092", ("localhost:9092",)),
        ("kafka://a.example:1,b-2.example:65535/", ("a.example:1", "b-2.example:65535")),
        ("kafka://[::1]:9092", ("[::1]:9092",)),
    ],
)
def test_an_address_names_brokers(url: str, servers: tuple[str, ...]) -> None:
    assert Settings.parse(url).servers == servers


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:9092",
        "http://localhost:9092",
        "kafka://",
        "kafka://localhost",
        "kafka://localhost:0",
        "kafka://localhost:65536",
        "kafka://localhost:9092,",
        "kafka://localhost:9092/topic",
        "kafka://localhost:9092?security_protocol=SSL",
    ],
)
def test_what_names_no_brokers_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="kafka://host:port"):
        Settings.parse(url)


def test_a_password_in_an_address_is_refused_without_being_shown() -> None:
    with pytest.raises(UsageError, match="sasl_plain_password") as caught:
        Settings.parse("kafka://user:hunter2@localhost:9092")
    assert "hunter2" not in str(caught.value)


def test_options_of_security_pass_and_others_do_not() -> None:
    assert {
        "security_protocol",
        "sasl_mechanism",
        "sasl_plain_password",
        "ssl_cafile",
        "ssl_crlfile",
    } <= known_options()
    with pytest.raises(UsageError, match="'acks' is no option"):
        Settings.parse("kafka://localhost:9092", {"acks": "0"})


@pytest.mark.parametrize(("word", "value"), [("true", True), ("FALSE", False), (True, True)])
def test_an_option_that_is_true_or_false_may_be_text(word: object, value: bool) -> None:
    settings = Settings.parse("kafka://localhost:9092", {"security_protocol": "SSL", "ssl_check_hostname": word})
    assert settings.client_options()["ssl_check_hostname"] is value


def test_an_option_that_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(UsageError, match="'ssl_check_hostname' of Kafka is 'perhaps'"):
        Settings.parse("kafka://localhost:9092", {"ssl_check_hostname": "perhaps"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"security_protocol": "ssl"}, "'security_protocol' of Kafka is 'ssl'; write one of PLAINTEXT, SSL, "),
        ({"security_protocol": "SASL_SSL"}, "'sasl_mechanism' of Kafka is None; write one of PLAIN, SCRAM-SHA-256"),
        (
            {"sasl_mechanism": "PLAIN"},
            "'sasl_mechanism' of Kafka has no effect while 'security_protocol' is 'PLAINTEXT'",
        ),
        ({"security_protocol": "SASL_PLAINTEXT", "ssl_cafile": "/x.pem"}, "set that to one of SSL, SASL_SSL"),
        ({"security_protocol": "SSL", "ssl_cafile": "/no/such.pem"}, "'/no/such.pem', and there is no such file"),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "u"},
            "'sasl_plain_password' of Kafka is not set; 'sasl_mechanism' 'SCRAM-SHA-512' needs it",
        ),
    ],
)
def test_options_that_would_leave_the_connection_open_or_never_made_are_refused(
    options: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        Settings.parse("kafka://localhost:9092", options)


def test_secrets_are_not_shown_and_still_given_to_the_client() -> None:
    settings = Settings.parse(
        "kafka://localhost:9092",
        {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": "svc",
            "sasl_plain_password": "hunter2",
            "ssl_password": "x9",
        },
    )
    given = settings.client_options()
    shown = f"{settings!r} {settings} {given}"  # kafka-python logs what it is given
    assert "hunter2" not in shown and "x9" not in shown and "svc" in shown
    assert given["sasl_plain_password"] == "hunter2"
    assert given["sasl_plain_password"].encode() == b"hunter2"
