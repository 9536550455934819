"""Names of runs, threads and requests: short enough to read out, in the order in which they were made."""

from __future__ import annotations

import hashlib
import secrets
import time

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u


def _base32(number: int, length: int) -> str:
    return "".join(_DIGITS[number >> 5 * place & 31] for place in reversed(range(length)))


def new(prefix: str) -> str:
    """A new name: the time in milliseconds (10 digits) and 50 random bits (10 digits).

    >>> len(new("run"))
    24
    """
    return f"{prefix}-{_base32(time.time_ns() // 1_000_000, 10)}{_base32(secrets.randbits(50), 10)}"


def derived(prefix: str, *parts: str) -> str:
    """The name that follows from these parts, always the same (20 digits, 100 bits).

    >>> derived("run", "run-1", "step") == derived("run", "run-1", "step")
    True
    """
    digest = hashlib.sha256("\n".join(parts).encode()).digest()
    return f"{prefix}-{_base32(int.from_bytes(digest[:13]) >> 4, 20)}"
