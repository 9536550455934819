"""The ledger in the database: records get their places, its head is signed, it is read and verified."""

from .reading import head, newest_checkpoint, newest_waiting, proof, select, size, verifier, views, waits
from .sequencer import Sequencer
from .signing import KEY, PUBLIC, Keys, Signatory, keys
from .verification import Verified, verify

__all__ = [
    "KEY",
    "PUBLIC",
    "Keys",
    "Sequencer",
    "Signatory",
    "Verified",
    "head",
    "keys",
    "newest_checkpoint",
    "newest_waiting",
    "proof",
    "select",
    "size",
    "verifier",
    "verify",
    "views",
    "waits",
]
