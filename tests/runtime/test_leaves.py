"""What stands in the ledger for ever, and what can be erased from beside it."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from gatewright.runtime import leaves, ledger
from gatewright.runtime.store.sqlite import FILE

if TYPE_CHECKING:
    from tests.runtime.conftest import House

JOB = {"amount": 5}
RULE = {
    "id": "known-payee",
    "on": {"hook": "tool.before", "name": "pay"},
    "then": "allow",
    "reason": "{{ args.amount }} go to mia.li@example.org, 4111 1111 1111 1111",
    "examples": {"match": [{"args": {"amount": 5}}]},
}


def _leaves(house: House) -> bytes:
    database = house.folder / "data" / FILE
    with closing(sqlite3.connect(database)) as connection:
        return b"\n".join(bytes(body) for (body,) in connection.execute("SELECT body FROM leaf ORDER BY id"))


async def test_personal_data_in_the_reasons_of_rules_and_people_is_in_no_leaf(house: House) -> None:
    house.rules(RULE, {**RULE, "id": "ask", "then": "ask"})
    async with house.open("gates:paying") as service:
        run = await house.finish(service, JOB)
        await service.cancel(run.id, by="kim", reason="called back on +49 30 901820")
        await house.finish(service, JOB)

    bodies = _leaves(house)
    assert b"called back on [phone]" in bodies
    for text in (b"mia.li", b"4111", b"901820"):
        assert text not in bodies


async def test_what_a_reason_said_in_full_is_shown_until_it_is_erased(house: House) -> None:
    house.rules(RULE)
    async with house.open("gates:paying") as service:
        run = await house.finish(service, JOB)
        (record,) = await house.effects(service, run)
    assert record["guard"]["before"]["rules"][0]["reason"] == "5 go to [email], [card]"
    assert record["said"] == {"guard.before.rules.0.reason": "5 go to mia.li@example.org, 4111 1111 1111 1111"}

    database = house.folder / "data" / FILE
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM sealed WHERE field = 'said'")
    found = ledger.verify(house.folder / "data")
    assert (found.ok, found.erased, found.bad) == (True, 1, ())


def test_one_module_makes_leaves_so_that_none_is_made_unmasked() -> None:
    folder = Path(leaves.__file__).parent
    made = {path.name for path in folder.rglob("*.py") if re.search(r"(?<!class )\bLeaf\(", path.read_text("utf-8"))}
    assert made == {"leaves.py"}
