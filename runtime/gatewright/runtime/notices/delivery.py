"""How an attempt to deliver fails."""

from __future__ import annotations


class DeliveryError(Exception):
    """The receiver did not take a message.

    Args:
        reason: what an operator reads; without addresses, which may be secrets.
        wait: seconds that the receiver asked to be left alone for.
        final: whether trying again is pointless.
    """

    def __init__(self, reason: str, *, wait: float | None = None, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait
        self.final = final
