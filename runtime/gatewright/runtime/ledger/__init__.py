"""The ledger in the database: records get their places, its head is signed, it is read and verified."""

from .reading import head, newest_checkpoint, proof, select, size, verifier, views
from .signing import KEY, PUBLIC, checkpoint, key
from .verification import Verified, verify

__all__ = [
    "KEY",
    "PUBLIC",
    "Verified",
    "checkpoint",
    "head",
    "key",
    "newest_checkpoint",
    "proof",
    "select",
    "size",
    "verifier",
    "verify",
    "views",
]
