"""Which construction of a log detects which tampering. The attacker owns the database: rows and unkeyed hashes alike.

The table is part of docs/audit.md; `python tests/safety/ledger/test_attacks.py` prints it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest

from gatewright.safety.ledger import merkle
from gatewright.safety.ledger.checkpoints import Checkpoint, SigningKey, sign
from gatewright.safety.ledger.records import Record
from gatewright.safety.ledger.verification import StoredLeaf, verify_log
from gatewright.safety.ledger.witnesses import Witness

DOCUMENT = Path(__file__).parents[3] / "docs" / "audit.md"
ORIGIN = "example.org/support/decisions"
KEY = SigningKey(ORIGIN, "log", bytes(range(32)))
WITNESS_KEY = SigningKey("audit.example.org", "witness", bytes(range(1, 33)))
CHECKPOINTS = (4, 8, 16, 20)  # sizes; the log has as many records as the last says
VISIT = 4  # the size at which the auditor took a checkpoint home


def record(number: int, run: str) -> bytes:
    return Record(
        kind="run", time=f"2026-08-19T12:00:00.{number:06}Z", deployment="support", run_id=f"{run}-{number}"
    ).encode()


def links(records: Sequence[bytes]) -> tuple[bytes, ...]:
    """A plain hash chain: each link hashes the one before and its record."""
    chain = [bytes(32)]
    for data in records:
        chain.append(sha256(chain[-1] + data).digest())
    return tuple(chain[1:])


def signed(records: Sequence[bytes], size: int) -> str:
    root = merkle.root(merkle.leaf_hash(data) for data in records[:size])
    return sign(Checkpoint(origin=ORIGIN, size=size, root=root), KEY)


@dataclass(frozen=True)
class Database:
    """What the attacker can write: records, their hashes in both constructions, and the signed checkpoints."""

    records: tuple[bytes, ...]
    chain: tuple[bytes, ...]
    leaf_hashes: tuple[bytes, ...]
    notes: tuple[str, ...]

    def rehashed(self, records: Sequence[bytes]) -> "Database":
        """Other records with every unkeyed hash made to fit."""
        return replace(
            self, records=tuple(records), chain=links(records), leaf_hashes=tuple(map(merkle.leaf_hash, records))
        )

    def signed_anew(self) -> "Database":
        """Every checkpoint made to fit too; it takes the signing key."""
        return replace(self, notes=tuple(signed(self.records, size) for size in CHECKPOINTS))


@dataclass(frozen=True)
class Outside:
    """What the attacker cannot reach."""

    auditor: str
    witness: str


def honest(records: Sequence[bytes]) -> tuple[Database, Outside]:
    database = Database((), (), (), ()).rehashed(records).signed_anew()
    latest = database.notes[-1]
    cosignature = Witness(WITNESS_KEY, [KEY.verifier]).cosign(latest, [], at=1_787_000_000)
    return database, Outside(auditor=signed(records, VISIT), witness=latest + cosignature)


RECORDS = [record(number, "run") for number in range(CHECKPOINTS[-1])]


def edited(database: Database, place: int) -> list[bytes]:
    return [record(number, "forged") if number == place else data for number, data in enumerate(database.records)]


def edit_a_field(database: Database) -> Database:
    return replace(database, records=tuple(edited(database, 10)))


def edit_and_rehash(database: Database) -> Database:
    return database.rehashed(edited(database, 10))


def delete(database: Database) -> Database:
    return database.rehashed([*database.records[:10], *database.records[11:]])


def insert(database: Database) -> Database:
    return database.rehashed([*database.records[:10], record(10, "forged"), *database.records[10:]])


def reorder(database: Database) -> Database:
    rows = database.records
    return database.rehashed([*rows[:10], rows[11], rows[10], *rows[12:]])


def truncate(database: Database) -> Database:
    return database.rehashed(database.records[:18])


def roll_back(database: Database) -> Database:
    return replace(database.rehashed(database.records[:8]), notes=database.notes[:2])


def rewrite(database: Database) -> Database:
    return database.rehashed([record(number, "forged") for number in range(len(database.records))])


def resign_before_the_visit(database: Database) -> Database:
    return database.rehashed(edited(database, VISIT - 2)).signed_anew()


def resign_after_the_visit(database: Database) -> Database:
    return database.rehashed(edited(database, 10)).signed_anew()


def nothing(database: Database) -> Database:
    return database


@dataclass(frozen=True)
class Attack:
    """A tampering. `detected`: by each of the constructions, in their order."""

    name: str
    tamper: Callable[[Database], Database]
    detected: tuple[bool, bool, bool, bool]
    records: Sequence[bytes] = tuple(RECORDS)


NEVER_LOGGED = "a decision is never logged"
ATTACKS = [
    Attack("edit a field, leave the hashes", edit_a_field, (True, True, True, True)),
    Attack("edit a record, recompute hashes", edit_and_rehash, (False, True, True, True)),
    Attack("delete a record, recompute hashes", delete, (False, True, True, True)),
    Attack("insert a back-dated record, recompute hashes", insert, (False, True, True, True)),
    Attack("reorder records, recompute hashes", reorder, (False, True, True, True)),
    Attack("cut off the tail", truncate, (False, True, True, True)),
    Attack("roll back to an older signed checkpoint", roll_back, (False, False, False, True)),
    Attack("rewrite the whole history", rewrite, (False, True, True, True)),
    Attack("insider with the key, before the auditor's visit", resign_before_the_visit, (False, False, True, True)),
    Attack("insider with the key, after the auditor's visit", resign_after_the_visit, (False, False, False, True)),
    Attack(NEVER_LOGGED, nothing, (False, False, False, False), [*RECORDS[:10], *RECORDS[11:], record(20, "run")]),
]


def chain_only(database: Database, outside: Outside) -> bool:
    return links(database.records) == database.chain


def leaves(database: Database) -> list[StoredLeaf]:
    return [
        StoredLeaf(place, data, stored)
        for place, (data, stored) in enumerate(zip(database.records, database.leaf_hashes, strict=True))
    ]


def signed_in_the_database(database: Database, outside: Outside) -> bool:
    return verify_log(leaves(database), database.notes, [KEY.verifier]).ok


def auditor_holds_a_checkpoint(database: Database, outside: Outside) -> bool:
    return verify_log(leaves(database), database.notes, [KEY.verifier], held=[outside.auditor]).ok


def witness_outside(database: Database, outside: Outside) -> bool:
    held = [outside.auditor, outside.witness]
    return verify_log(leaves(database), database.notes, [KEY.verifier], held=held, witnesses=[WITNESS_KEY.verifier]).ok


CONSTRUCTIONS: dict[str, Callable[[Database, Outside], bool]] = {
    "hash chain only": chain_only,
    "signed checkpoints in the same database": signed_in_the_database,
    "+ the auditor holds an older one": auditor_holds_a_checkpoint,
    "+ a witness outside has the latest": witness_outside,
}


def detects(verify: Callable[[Database, Outside], bool], attack: Attack) -> bool:
    database, outside = honest(attack.records)
    return not verify(attack.tamper(database), outside)


def table() -> str:
    """The matrix as Markdown, from running every attack against every construction."""
    results = {attack.name: [detects(verify, attack) for verify in CONSTRUCTIONS.values()] for attack in ATTACKS}
    lines = ["| attack | " + " | ".join(CONSTRUCTIONS) + " |", "|---" * (len(CONSTRUCTIONS) + 1) + "|"]
    for name, row in results.items():
        lines.append(f"| {name} | " + " | ".join("detected" if found else "**missed**" for found in row) + " |")
    tamperings = [row for name, row in results.items() if name != NEVER_LOGGED]
    counts = [f"{sum(column)} of {len(tamperings)}" for column in zip(*tamperings, strict=True)]
    lines.append("| *of what was logged* | " + " | ".join(counts) + " |")
    return "\n".join(lines)


@pytest.mark.parametrize("construction", CONSTRUCTIONS)
def test_an_honest_log_is_accepted(construction: str) -> None:
    assert CONSTRUCTIONS[construction](*honest(RECORDS))


@pytest.mark.parametrize("construction", CONSTRUCTIONS)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_each_construction_detects_what_it_is_said_to(attack: Attack, construction: str) -> None:
    expected = attack.detected[list(CONSTRUCTIONS).index(construction)]
    assert detects(CONSTRUCTIONS[construction], attack) == expected


def test_the_counts_are_one_seven_eight_and_ten_of_ten() -> None:
    assert table().splitlines()[-1].split(" | ")[1:] == ["1 of 10", "7 of 10", "8 of 10", "10 of 10 |"]


def test_the_document_shows_the_table_as_it_was_found() -> None:
    assert table() in DOCUMENT.read_text("utf-8"), "put the output of this file, run as a script, into docs/audit.md"


if __name__ == "__main__":
    print(table())
