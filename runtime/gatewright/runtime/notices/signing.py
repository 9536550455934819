"""Signatures on webhooks, by the Standard Webhooks specification 1.0 (symmetric, `v1`)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence


def signature(key: bytes, id: str, seconds: int, body: bytes) -> str:
    """HMAC-SHA256 over id, time and body.

    >>> key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    >>> signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    signed = b".".join((id.encode(), str(seconds).encode(), body))
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"


def headers(keys: Sequence[bytes], id: str, seconds: int, body: bytes) -> dict[str, str]:
    """The headers of a message: signed with each key, so that a receiver may take up a new one at its own time.

    Args:
        id: the same whenever the same message is sent again.
        seconds: when this attempt is made, since the epoch; receivers refuse what is minutes old.
    """
    return {
        "webhook-id": id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(signature(key, id, seconds, body) for key in keys),
    }
