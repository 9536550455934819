"""Whose signature the ledger bears: the keys, and the checkpoints that are signed with them."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import exc

from gatewright.agents.errors import IntegrityError, UnavailableError, UsageError
from gatewright.runtime.clock import Clock
from gatewright.runtime.store import schema
from gatewright.runtime.store.database import Database
from gatewright.runtime.store.writer import Transaction, Writer, arrival
from gatewright.safety.ledger import merkle
from gatewright.safety.ledger.checkpoints import Checkpoint, SigningKey, VerifierKey, open_checkpoint, sign

from .reading import NEWEST, SIZE, node_reader
from .sequencer import Check

KEY = "ledger.key"  # the signing key, readable by its owner only
PUBLIC = "ledger.pub"  # the verifier key, for auditors
LOOKS = 20  # at how far the log has grown, in the time between two checkpoints

_LOG = schema.Log.__table__  # type: ignore[attr-defined]  # SQLModel adds it

_INSERT_CHECKPOINT = sa.text(
    "INSERT INTO checkpoint (size, note, created_at) VALUES (:size, :note, :now) ON CONFLICT (size) DO NOTHING"
)

_log = logging.getLogger(__name__)


class Keys(NamedTuple):
    """The keys of a ledger as one process has them; without `signer`, it signs nothing."""

    verifier: VerifierKey
    signer: SigningKey | None


def keys(database: Database, folder: Path, *, path: Path | None, origin: str) -> Keys:
    """The keys of the ledger. The first process on a new database makes them, for a log called `origin`.

    `ledger.pub` is written to `folder`.

    Args:
        path: where the signing key is or is to be; `folder / KEY` for None.

    Raises:
        UnavailableError: the key cannot be read or written, or the database cannot be used.
        UsageError: the file holds no signing key, or that of another log.
    """
    path = path or folder / KEY
    engine = database.connect()
    try:
        with engine.begin() as connection:
            known: str = connection.execute(sa.select(_LOG.c.key).with_for_update()).scalar_one()  # others wait here
            signer = _stored(path)
            if not known:
                signer = signer or _made(path, origin)
                connection.execute(sa.update(_LOG).values(key=str(signer.verifier)))
                known = str(signer.verifier)
    except exc.DatabaseError as error:
        raise database.unavailable(error) from error
    except OSError as error:
        raise UnavailableError(f"the ledger's key {str(path)!r} cannot be used: {error.strerror}") from error
    finally:
        engine.dispose()
    if signer is None:
        _log.warning("no checkpoints of ledger %s are signed here: there is no signing key at %s", known, path)
    elif str(signer.verifier) != known:
        raise UsageError(
            f"the signing key {str(path)!r} is that of {str(signer.verifier)!r}, and the ledger in {database.place} "
            f"is signed by {known!r}: put that key there, or take this one away to work without signing"
        )
    verifier = VerifierKey.parse(known)
    try:
        (folder / PUBLIC).write_text(f"{verifier}\n", "utf-8")
    except OSError as error:
        raise UnavailableError(f"cannot write {str(folder / PUBLIC)!r}: {error.strerror}") from error
    return Keys(verifier, signer)


def _stored(path: Path) -> SigningKey | None:
    try:
        return SigningKey.load(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except UsageError as error:
        raise UsageError(f"{str(path)!r} holds no key of a ledger: {error}") from error


def _made(path: Path, origin: str) -> SigningKey:
    """A new key, on the disk before the database knows it, and never half of it."""
    made = SigningKey.generate(origin)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(made.dump() + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    return made


class Signatory:
    """Signs the head of the log, as long as the log continues what was signed before.

    So who rewrites the database, and has not the key, does not get the new history signed.
    """

    def __init__(self, key: SigningKey, writer: Writer, clock: Clock) -> None:
        self._key = key
        self._writer = writer
        self._clock = clock
        self._last: Checkpoint | None = None

    async def run(
        self,
        check: Check,
        size: Callable[[], Awaitable[int]],
        *,
        records: int,
        seconds: float,
    ) -> None:
        """Sign until cancelled, whenever the log has grown by so many records, or at all in so many seconds.

        Args:
            check: raises if this process shall not do it any more; called first in each transaction.
            size: how many records the log has.
        """
        signed, said = 0, ""
        while True:
            for _ in range(LOOKS):
                await asyncio.sleep(seconds / LOOKS)
                with suppress(UnavailableError):
                    if await size() - signed >= records:
                        break
            try:
                if await size() > signed:
                    signed = await self.sign(check)
            except UnavailableError:  # the disk is full, or the database away: the next round tries again
                pass
            except IntegrityError as error:
                if str(error) != said:
                    _log.error("the ledger is not signed any more: %s; run `gatewright audit verify`", error)
                said = str(error)

    async def sign(self, check: Check | None = None) -> int:
        """Sign the head of the log as it is on the disk; gives for how many records.

        Raises:
            IntegrityError: the log does not continue what was signed before.
        """
        made = await arrival(self._writer.submit(lambda transaction: self._sign(transaction, check)))
        if made is None:
            return 0
        self._last = made
        return made.size

    def _sign(self, transaction: Transaction, check: Check | None) -> Checkpoint | None:
        if check is not None:
            check(transaction)
        row = transaction.one(SIZE)
        assert row is not None, "an aggregate gives a row"
        size: int = row[0]
        before = self._last or self._newest(transaction)
        if not size and before is None:
            return None
        node = node_reader(transaction.one)
        made = Checkpoint(origin=self._key.verifier.name, size=size, root=merkle.Frontier.restore(size, node).root())
        if before is not None and before != made:
            _continues(before, made, node)
        transaction.run(_INSERT_CHECKPOINT, size=size, note=sign(made, self._key), now=self._clock.now())
        return made

    def _newest(self, transaction: Transaction) -> Checkpoint | None:
        row = transaction.one(NEWEST)
        return None if row is None else open_checkpoint(row[0], [self._key.verifier]).checkpoint


def _continues(before: Checkpoint, now: Checkpoint, node: merkle.NodeReader) -> None:
    if before.size > now.size:
        raise IntegrityError(f"the log has {now.size} records, and a checkpoint was signed for {before.size}")
    if before.size:
        proof = merkle.consistency_proof(before.size, now.size, node)
        merkle.verify_consistency(before.size, now.size, proof, before.root, now.root)
