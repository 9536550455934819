"""Signatures: by the specification's own vector, and as its reference library reads them."""

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from gatewright.runtime.notices import signing
from gatewright.runtime.notices.receivers import key

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_signature_is_that_of_the_specifications_vector() -> None:
    signed = signing.signature(key(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(keys=st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=2), text=st.text())
def test_the_reference_library_verifies_what_was_signed_with_either_of_two_secrets(
    keys: list[bytes], text: str
) -> None:
    body = text.encode("utf-8", "replace")
    headers = signing.headers(keys, "notice-1", int(time.time()), body)

    for one in keys:
        Webhook(base64.b64encode(one).decode()).verify(body, headers, json_parse=False)


def test_the_reference_library_refuses_another_body_another_secret_and_an_old_message() -> None:
    body, now = b"{}", int(time.time())
    headers = signing.headers([key(SECRET)], "notice-1", now, body)

    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(b"[]", headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(base64.b64encode(b"x" * 32).decode()).verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, signing.headers([key(SECRET)], "notice-1", now - 3600, body), json_parse=False)
