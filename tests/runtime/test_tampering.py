"""Attacks on the database of a finished service by somebody who may rewrite every row and recompute hashes.

Rows of the matrix are the attacks; the columns are what the auditor has: nothing but the database, an older checkpoint
that was kept elsewhere, the newest checkpoint with a witness's cosignature.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gatewright.runtime import ledger
from gatewright.runtime.store.sqlite import FILE
from gatewright.safety.ledger import merkle
from gatewright.safety.ledger.checkpoints import Checkpoint, SigningKey, VerifierKey, sign
from gatewright.safety.ledger.witnesses import Witness

Leaves = list[tuple[Any, ...]]
Attack = Callable[["Victim"], None]


@dataclass
class Victim:
    """A data directory, and what was taken out of reach of its operator."""

    folder: Path
    older: str
    witnessed: str
    witness: str

    def change(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.folder / FILE)) as connection, connection:
            for table in ("leaf", "place", "node", "checkpoint"):
                for action in ("update", "delete"):
                    connection.execute(f"DROP TRIGGER IF EXISTS {table}_no_{action}")
            for statement in statements:
                assert connection.execute(statement).rowcount, f"{statement!r} changed nothing"

    def leaves(self) -> Leaves:
        with closing(sqlite3.connect(self.folder / FILE)) as connection:
            return connection.execute("SELECT kind, run_id, case_id, body FROM leaf ORDER BY id").fetchall()

    def rewrite(self, leaves: Leaves, *, insider: bool = False, keep: int | None = None) -> None:
        """Put these records in the place of the log, with all hashes recomputed; an insider signs it anew.

        Args:
            keep: checkpoints beyond this size are dropped.
        """
        self.change()
        tree = merkle.Frontier()
        with closing(sqlite3.connect(self.folder / FILE)) as connection, connection:
            connection.execute("DELETE FROM leaf")
            connection.execute("DELETE FROM place")
            connection.execute("DELETE FROM node")
            for position, (kind, run_id, case_id, body) in enumerate(leaves):
                completed = tree.append(merkle.leaf_hash(body))
                connection.execute("INSERT INTO leaf VALUES (?, ?, ?, ?, ?)", (position, kind, run_id, case_id, body))
                connection.execute("INSERT INTO place VALUES (?, ?, ?)", (position, position, completed[0].hash))
                connection.executemany("INSERT INTO node VALUES (?, ?, ?)", completed[1:])
            if keep is not None:
                connection.execute("DELETE FROM checkpoint WHERE size > ?", (keep,))
            if insider:
                key = SigningKey.load((self.folder / ledger.KEY).read_text("utf-8").strip())
                note = sign(Checkpoint(origin=key.verifier.name, size=tree.size, root=tree.root()), key)
                connection.execute("DELETE FROM checkpoint")
                connection.execute("INSERT INTO checkpoint VALUES (?, ?, 0)", (tree.size, note))

    def forge(self, index: int) -> Leaves:
        leaves = self.leaves()
        kind, run_id, case_id, body = leaves[index]
        forged = body.replace(b'"deployment":"x"', b'"deployment":"y"')
        assert forged != body
        leaves[index] = (kind, run_id, case_id, forged)
        return leaves

    @property
    def size(self) -> int:
        return len(self.leaves())

    @property
    def before(self) -> int:
        """An index that the older checkpoint covers."""
        return 1

    @property
    def after(self) -> int:
        """An index that only the newest one covers."""
        return self.size - 2

    @property
    def held(self) -> int:
        """The size of the older checkpoint."""
        return int(self.older.splitlines()[1])


@pytest.fixture
async def victim(house: Any) -> Victim:
    folder: Path = house.folder / "data"
    notes: list[str] = []
    for amount in (1, 2, 3):
        async with house.open("../crash_graphs/odd:pays") as service:
            for _ in range(2):
                run = await service.start_run("x", {"amount": amount})
                await service.wait(run.id, timeout=30)
        async with house.open("../crash_graphs/odd:pays", concurrency=1) as service:
            notes.append((await service.ledger()).checkpoint)
    log = VerifierKey.parse((folder / ledger.PUBLIC).read_text("utf-8").strip())
    key = SigningKey.generate("witness.example", purpose="witness")
    line = Witness(key, [log]).cosign(notes[-1], [], at=1_800_000_000)
    return Victim(folder, notes[1], notes[-1].rstrip("\n") + "\n" + line.rstrip("\n") + "\n", str(key.verifier))


def edit_and_leave_the_hashes(victim: Victim) -> None:
    victim.change(f"UPDATE leaf SET body = replace(CAST(body AS TEXT), '\"x\"', '\"y\"') WHERE id = {victim.before}")


def edit(victim: Victim) -> None:
    victim.rewrite(victim.forge(victim.before))


def delete(victim: Victim) -> None:
    leaves = victim.leaves()
    del leaves[victim.before]
    victim.rewrite(leaves)


def insert_back_dated(victim: Victim) -> None:
    leaves = victim.leaves()
    victim.rewrite([*leaves[:2], leaves[0], *leaves[2:]])


def reorder(victim: Victim) -> None:
    leaves = victim.leaves()
    leaves[0], leaves[1] = leaves[1], leaves[0]
    victim.rewrite(leaves)


def truncate(victim: Victim) -> None:
    victim.rewrite(victim.leaves()[:-1])


def truncate_to_an_older_signed_head(victim: Victim) -> None:
    victim.rewrite(victim.leaves()[: victim.held], keep=victim.held)


def rewrite_the_whole_history(victim: Victim) -> None:
    victim.rewrite([(kind, run, case, body.replace(b'"x"', b'"y"')) for kind, run, case, body in victim.leaves()])


def insider_edits_before_the_held_checkpoint(victim: Victim) -> None:
    victim.rewrite(victim.forge(victim.before), insider=True)


def insider_edits_after_it(victim: Victim) -> None:
    victim.rewrite(victim.forge(victim.after), insider=True)


ATTACKS: list[Attack] = [
    edit_and_leave_the_hashes,
    edit,
    delete,
    insert_back_dated,
    reorder,
    truncate,
    truncate_to_an_older_signed_head,
    rewrite_the_whole_history,
    insider_edits_before_the_held_checkpoint,
    insider_edits_after_it,
]
UNSEEN_ALONE = (
    truncate_to_an_older_signed_head,
    insider_edits_before_the_held_checkpoint,
    insider_edits_after_it,
)


async def test_an_honest_database_verifies_however_it_is_looked_at(victim: Victim) -> None:
    assert ledger.verify(victim.folder).ok
    assert ledger.verify(victim.folder, held=[victim.older]).ok
    found = ledger.verify(victim.folder, held=[victim.older, victim.witnessed], witnesses=[victim.witness])
    assert (found.bad, found.signed) == ((), victim.size)


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if attack not in UNSEEN_ALONE])
async def test_the_stored_checkpoints_alone_show_what_needs_no_key(victim: Victim, attack: Attack) -> None:
    attack(victim)
    assert not ledger.verify(victim.folder).ok


@pytest.mark.parametrize(
    "attack",
    [attack for attack in ATTACKS if attack not in (truncate_to_an_older_signed_head, insider_edits_after_it)],
)
async def test_a_checkpoint_that_was_held_shows_what_was_changed_before_it(victim: Victim, attack: Attack) -> None:
    attack(victim)
    assert not ledger.verify(victim.folder, held=[victim.older]).ok


@pytest.mark.parametrize("attack", ATTACKS)
async def test_the_newest_checkpoint_with_a_witness_shows_every_attack(victim: Victim, attack: Attack) -> None:
    attack(victim)
    found = ledger.verify(victim.folder, held=[victim.older, victim.witnessed], witnesses=[victim.witness])
    assert not found.ok


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE effect SET outcome = 'denied' WHERE rowid = 1",
        "UPDATE effect SET leaf = NULL WHERE rowid = 1",
        "UPDATE effect SET name = 'refund' WHERE rowid = 1",
        "UPDATE run SET status = 'failed' WHERE number = 1",
        "UPDATE run SET leaf = (SELECT leaf FROM run WHERE number = 2) WHERE number = 1",
        "UPDATE run SET leaf = NULL WHERE number = 1",
        "UPDATE run SET id = 'other' WHERE number = 1",
        "UPDATE sealed SET value = '{\"amount\":9}' WHERE rowid = 1",
        "UPDATE sealed SET field = 'other' WHERE rowid = 1",
        "UPDATE leaf SET body = 'no bytes at all' WHERE id = 0",
        "UPDATE leaf SET run_id = 'other' WHERE id = 0",
        "UPDATE leaf SET kind = 'key' WHERE id = 0",
    ],
)
async def test_what_is_shown_beside_the_log_must_be_what_the_log_says(victim: Victim, statement: str) -> None:
    victim.change(statement)
    assert not ledger.verify(victim.folder).ok


async def test_values_that_were_erased_leave_the_proof_as_it_was(victim: Victim) -> None:
    size = victim.size
    victim.change("DELETE FROM sealed WHERE leaf IN (SELECT id FROM leaf WHERE case_id IS NOT NULL)")
    found = ledger.verify(victim.folder, held=[victim.older, victim.witnessed], witnesses=[victim.witness])
    assert (found.bad, found.signed) == ((), size)
    assert found.erased > 0
