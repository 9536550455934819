"""Attacks on the database of a finished service by somebody who may rewrite every row and recompute hashes.

Rows of the matrix are the attacks; the columns are what the auditor has: nothing but the database, an older checkpoint
that was kept elsewhere, the newest checkpoint with a witness's cosignature.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
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

pytestmark = pytest.mark.parametrize("house", ["sqlite", "postgresql"], indirect=True)

AT = "id = (SELECT leaf FROM place WHERE position = {})"
TABLES = ("leaf", "place", "node", "checkpoint")


@dataclass
class Victim:
    """A data directory, the URL of its database, and what was taken out of reach of its operator."""

    folder: Path
    url: str
    older: str
    witnessed: str
    witness: str

    def verify(self, **held: Any) -> ledger.Verified:
        return ledger.verify(self.folder, url=self.url, **held)

    @contextmanager
    def _mastered(self) -> Generator[Callable[..., Any]]:
        """Execute SQL as somebody whom neither triggers nor foreign keys stop."""
        if self.url:
            import psycopg

            with psycopg.connect(self.url.replace("+psycopg", "")) as server:
                server.execute("SET session_replication_role = replica")

                def execute(text: str, values: Sequence[Any] = ()) -> Any:
                    return server.execute(text.replace("?", "%s").encode(), values)

                yield execute
            return
        with closing(sqlite3.connect(self.folder / FILE)) as connection, connection:
            for table in TABLES:
                for action in ("update", "delete"):
                    connection.execute(f"DROP TRIGGER IF EXISTS {table}_no_{action}")
            yield connection.execute

    def change(self, *statements: str) -> None:
        with self._mastered() as execute:
            for statement in statements:
                assert execute(statement).rowcount, f"{statement!r} changed nothing"

    def leaves(self) -> Leaves:
        """The records in the order of the log, with their ids."""
        query = "SELECT l.id, l.kind, l.run_id, l.case_id, l.body FROM leaf l JOIN place p ON p.leaf = l.id"
        with self._mastered() as execute:
            return [tuple(row) for row in execute(f"{query} ORDER BY p.position").fetchall()]

    def rewrite(self, leaves: Leaves, *, insider: bool = False, keep: int | None = None) -> None:
        """Put these records in the place of the log, with all hashes recomputed; an insider signs it anew.

        Args:
            keep: checkpoints beyond this size are dropped.
        """
        tree = merkle.Frontier()
        with self._mastered() as execute:
            for table in ("leaf", "place", "node"):
                execute(f"DELETE FROM {table}")
            for position, (id, *columns, body) in enumerate(leaves):
                completed = tree.append(merkle.leaf_hash(body))
                execute("INSERT INTO leaf VALUES (?, ?, ?, ?, ?)", (id, *columns, body))
                execute("INSERT INTO place VALUES (?, ?, ?)", (position, id, completed[0].hash))
                for node in completed[1:]:
                    execute("INSERT INTO node VALUES (?, ?, ?)", node)
            if keep is not None:
                execute("DELETE FROM checkpoint WHERE size > ?", (keep,))
            if insider:
                key = SigningKey.load((self.folder / ledger.KEY).read_text("utf-8").strip())
                note = sign(Checkpoint(origin=key.verifier.name, size=tree.size, root=tree.root()), key)
                execute("DELETE FROM checkpoint")
                execute("INSERT INTO checkpoint VALUES (?, ?, 0)", (tree.size, note))

    def literal(self, value: bytes) -> str:
        return f"'\\x{value.hex()}'" if self.url else f"x'{value.hex()}'"

    def forge(self, index: int) -> Leaves:
        leaves = self.leaves()
        *columns, body = leaves[index]
        forged = body.replace(b'"deployment":"x"', b'"deployment":"y"')
        assert forged != body
        leaves[index] = (*columns, forged)
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


class Stock:
    """A victim of each kind, of which every test gets a copy of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[str, Victim] = {}

    async def copy(self, house: Any) -> Victim:
        kind = "postgresql" if house.database else "sqlite"
        folder: Path = house.folder / "data"
        if kind not in self._kept:
            self._kept[kind] = await _victim(house)
            shutil.copytree(folder, self._folder / kind)
            if house.database:
                _replace(house.database, "kept", house.database.rpartition("/")[2])
        elif house.database:
            _replace(house.database, house.database.rpartition("/")[2], "kept")
        shutil.rmtree(folder)
        shutil.copytree(self._folder / kind, folder)
        return replace(self._kept[kind], folder=folder, url=house.database)


def _replace(url: str, name: str, template: str) -> None:
    """Make one database of a server a copy of another."""
    import psycopg

    with psycopg.connect(f"{url.replace('+psycopg', '').rpartition('/')[0]}/postgres", autocommit=True) as server:
        server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    return Stock(tmp_path_factory.mktemp("stock"))


@pytest.fixture
async def victim(house: Any, stock: Stock) -> Victim:
    (house.folder / "data").mkdir()
    return await stock.copy(house)


async def _victim(house: Any) -> Victim:
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
    return Victim(
        folder, house.database, notes[1], notes[-1].rstrip("\n") + "\n" + line.rstrip("\n") + "\n", str(key.verifier)
    )


def edit_and_leave_the_hashes(victim: Victim) -> None:
    *_columns, body = victim.forge(victim.before)[victim.before]
    victim.change(f"UPDATE leaf SET body = {victim.literal(body)} WHERE {AT.format(victim.before)}")


def edit(victim: Victim) -> None:
    victim.rewrite(victim.forge(victim.before))


def delete(victim: Victim) -> None:
    leaves = victim.leaves()
    del leaves[victim.before]
    victim.rewrite(leaves)


def insert_back_dated(victim: Victim) -> None:
    leaves = victim.leaves()
    new = max(id for id, *_ in leaves) + 1
    victim.rewrite([*leaves[:2], (new, *leaves[0][1:]), *leaves[2:]])


def reorder(victim: Victim) -> None:
    leaves = victim.leaves()
    leaves[0], leaves[1] = leaves[1], leaves[0]
    victim.rewrite(leaves)


def truncate(victim: Victim) -> None:
    victim.rewrite(victim.leaves()[:-1])


def truncate_to_an_older_signed_head(victim: Victim) -> None:
    victim.rewrite(victim.leaves()[: victim.held], keep=victim.held)


def rewrite_the_whole_history(victim: Victim) -> None:
    victim.rewrite([(*columns, body.replace(b'"x"', b'"y"')) for *columns, body in victim.leaves()])


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
    assert victim.verify().ok
    assert victim.verify(held=[victim.older]).ok
    found = victim.verify(held=[victim.older, victim.witnessed], witnesses=[victim.witness])
    assert (found.bad, found.signed) == ((), victim.size)


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if attack not in UNSEEN_ALONE])
async def test_the_stored_checkpoints_alone_show_what_needs_no_key(victim: Victim, attack: Attack) -> None:
    attack(victim)
    assert not victim.verify().ok


@pytest.mark.parametrize(
    "attack",
    [attack for attack in ATTACKS if attack not in (truncate_to_an_older_signed_head, insider_edits_after_it)],
)
async def test_a_checkpoint_that_was_held_shows_what_was_changed_before_it(victim: Victim, attack: Attack) -> None:
    attack(victim)
    assert not victim.verify(held=[victim.older]).ok


@pytest.mark.parametrize("attack", ATTACKS)
async def test_the_newest_checkpoint_with_a_witness_shows_every_attack(victim: Victim, attack: Attack) -> None:
    attack(victim)
    found = victim.verify(held=[victim.older, victim.witnessed], witnesses=[victim.witness])
    assert not found.ok


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE effect SET outcome = 'denied' WHERE leaf = (SELECT min(leaf) FROM effect)",
        "UPDATE effect SET leaf = NULL WHERE leaf = (SELECT min(leaf) FROM effect)",
        "UPDATE effect SET name = 'refund' WHERE leaf = (SELECT min(leaf) FROM effect)",
        "UPDATE run SET status = 'failed' WHERE number = 1",
        "UPDATE run SET leaf = (SELECT leaf FROM run WHERE number = 2) WHERE number = 1",
        "UPDATE run SET leaf = NULL WHERE number = 1",
        "UPDATE run SET id = 'other' WHERE number = 1",
        "UPDATE sealed SET value = '{\"amount\":9}' WHERE leaf = (SELECT min(leaf) FROM sealed)",
        "UPDATE sealed SET field = 'other' WHERE leaf = (SELECT min(leaf) FROM sealed) AND field IN ('input', 'args')",
        f"UPDATE leaf SET body = 'no bytes at all' WHERE {AT.format(0)}",
        f"UPDATE leaf SET run_id = 'other' WHERE {AT.format(0)}",
        f"UPDATE leaf SET kind = 'key' WHERE {AT.format(0)}",
        f"DELETE FROM leaf WHERE {AT.format('(SELECT max(position) FROM place)')}",
        "DELETE FROM place WHERE position = (SELECT max(position) FROM place)",
        "UPDATE log SET key = 'gatewright.local/decisions+00000000+AQ=='",
    ],
)
async def test_what_is_shown_beside_the_log_must_be_what_the_log_says(victim: Victim, statement: str) -> None:
    victim.change(statement)
    assert not victim.verify().ok


async def test_values_that_were_erased_leave_the_proof_as_it_was(victim: Victim) -> None:
    size = victim.size
    victim.change("DELETE FROM sealed WHERE leaf IN (SELECT id FROM leaf WHERE case_id IS NOT NULL)")
    found = victim.verify(held=[victim.older, victim.witnessed], witnesses=[victim.witness])
    assert (found.bad, found.signed) == ((), size)
    assert found.erased > 0
