"""Browser sessions: a signed cookie that says who signed in, for twelve hours.

The signature is keyed by a secret of the data directory together with what proves the person. So the configuration
alone, which holds digests of tokens only, is not enough to make a cookie, and a new token ends the sessions of the old.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.people import Identity, Roster

SECONDS = 12 * 60 * 60
FILE = "session.key"
KEY_BYTES = 32


class Sessions:
    """Makes and checks the cookies of everybody on a roster."""

    def __init__(self, roster: Roster, key: bytes) -> None:
        self._roster = roster
        self._key = key

    def begin(self, name: str, *, now: float | None = None) -> str:
        """A cookie value that proves, for `SECONDS`, that its bearer is `name`."""
        until = int((time.time() if now is None else now) + SECONDS)
        who = base64.urlsafe_b64encode(name.encode()).decode()
        body = f"{until}.{who}.{secrets.token_hex(8)}"
        return f"{body}.{self._signature(body, name)}"

    def holder(self, value: str, *, now: float | None = None) -> Identity | None:
        """Whose session a cookie value is; None if it was not made here, was altered, or has run out."""
        body, _, signature = value.rpartition(".")
        until, _, rest = body.partition(".")
        try:
            name = base64.urlsafe_b64decode(rest.partition(".")[0].encode()).decode()
        except (binascii.Error, UnicodeError):
            return None
        if not self._roster.proof(name):
            return None
        if not hmac.compare_digest(signature.encode(), self._signature(body, name).encode()):
            return None
        return self._roster.find(name) if int(until) > (time.time() if now is None else now) else None

    def _signature(self, body: str, name: str) -> str:
        key = hmac.digest(self._key, self._roster.proof(name).encode(), hashlib.sha256)
        return hmac.new(key, body.encode(), hashlib.sha256).hexdigest()


def key_of(data_dir: Path) -> bytes:
    """The secret of a data directory, made on first use; only its owner can read it.

    Raises:
        UnavailableError: it can be neither read nor made.
    """
    file = data_dir / FILE
    try:
        if not file.exists():
            draft = file.with_name(f".{FILE}.{os.getpid()}")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(secrets.token_bytes(KEY_BYTES))
            with suppress(FileExistsError):  # another process was faster; its key counts
                os.link(draft, file)
            draft.unlink()
        key = file.read_bytes()
    except OSError as error:
        raise UnavailableError(f"cannot use the session key {str(file)!r}: {error.strerror}") from error
    if len(key) != KEY_BYTES:
        raise UnavailableError(
            f"{str(file)!r} holds {len(key)} bytes instead of {KEY_BYTES}; delete it to have it anew"
        )
    return key
