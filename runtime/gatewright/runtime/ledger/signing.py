"""Whose signature the ledger bears: the keys, and the signed checkpoints."""

from __future__ import annotations

import os
from pathlib import Path

import sqlalchemy as sa

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.store.writer import Transaction
from gatewright.safety.ledger import merkle
from gatewright.safety.ledger.checkpoints import Checkpoint, SigningKey, sign

KEY = "ledger.key"  # the signing key, readable by its owner only
PUBLIC = "ledger.pub"  # the verifier key, for auditors

_INSERT_CHECKPOINT = sa.text(
    "INSERT INTO checkpoint (size, note, created_at) VALUES (:size, :note, :now) ON CONFLICT (size) DO NOTHING"
)


def key(folder: Path, origin: str) -> SigningKey:
    """The signing key of a data directory; made on first use.

    Raises:
        UnavailableError: the key cannot be read or written.
    """
    path = folder / KEY
    try:
        if not path.exists():
            made = SigningKey.generate(origin)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(made.dump() + "\n")
                file.flush()
                os.fsync(file.fileno())
        found = SigningKey.load(path.read_text("utf-8").strip())
        (folder / PUBLIC).write_text(f"{found.verifier}\n", "utf-8")
        return found
    except OSError as error:
        raise UnavailableError(f"the ledger's key {str(path)!r} cannot be used: {error.strerror}") from error


def checkpoint(transaction: Transaction, tail: merkle.Frontier, signer: SigningKey, *, now: int) -> str:
    """Sign the head of the log as it is on the disk, and keep the note."""
    note = sign(Checkpoint(origin=signer.verifier.name, size=tail.size, root=tail.root()), signer)
    transaction.run(_INSERT_CHECKPOINT, size=tail.size, note=note, now=now)
    return note
