"""The packs that a service has worked under."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gatewright.agents.errors import NotFoundError
from gatewright.runtime.policy import backtest, library
from gatewright.runtime.store.sqlite import SQLite
from gatewright.safety import Pack

if TYPE_CHECKING:
    from tests.runtime.conftest import House

RULE: dict[str, Any] = {"id": "all", "on": {"hook": "tool.before", "name": "pay"}, "then": "deny"}


async def test_every_pack_that_was_in_force_or_on_trial_is_kept_once(house: House) -> None:
    titles: list[str] = []
    for verdict in ("deny", "ask", "deny"):
        house.rules({**RULE, "then": verdict})
        house.rules({**RULE, "id": "trial"}, shadow=True)
        titles.append(Pack.load(house.folder / "rules.yaml").title)
        async with house.open("gates:paying"):
            pass
    trial = Pack.load(house.folder / "shadow.yaml")

    with backtest.ledger(SQLite(house.folder / "data")) as engine, engine.connect() as connection:
        verdicts = [[rule.verdict for rule in library.find(connection, title).pack.rules] for title in titles]
        assert library.find(connection, trial.title).pack.digest == trial.digest
        with pytest.raises(NotFoundError, match="'other@1#0' is not kept"):
            library.find(connection, "other@1#0")

    assert verdicts == [["deny"], ["ask"], ["deny"]]


async def test_the_empty_pack_is_not_kept(house: House) -> None:
    async with house.open("gates:paying") as service:
        await house.finish(service, {"amount": 5})

    with backtest.ledger(SQLite(house.folder / "data")) as engine, engine.connect() as connection:
        with pytest.raises(NotFoundError):
            library.find(connection, Pack.empty().title)
