"""Cases of `graphs/office.py`, held by a real service, and what was recorded of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gatewright.runtime import episodes
from gatewright.runtime.config import Config
from gatewright.runtime.controls.views import ScopeView
from gatewright.runtime.episodes import Episode
from gatewright.runtime.policy import recorded
from gatewright.runtime.service import Service
from gatewright.runtime.store import database

RULES = """apiVersion: gatewright/v1
kind: RulePack
name: office
version: 1
rules:
- id: large
  on: {hook: tool.before, name: pay}
  when: args.amount >= LIMIT
  then: ask
  reason: "{{ args.amount }} is much"
  examples:
    match: [{args: {amount: 50}}]
    pass: [{args: {amount: 1}}]
- id: never
  on: {hook: tool.before, name: pay}
  when: args.amount == 666
  then: deny
  reason: not this one
  examples:
    match: [{args: {amount: 666}}]
    pass: [{args: {amount: 1}}]
"""
CLOSING = """
- id: closing
  on: {hook: decision.before, name: size}
  when: args.features.amount >= 6
  then: modify
  close: [OPTION]
  reason: not of this size
  examples:
    match: [{args: {features: {amount: 7}, options: [small, large]}}]
    pass: [{args: {features: {amount: 5}, options: [small, large]}}]
"""


class Office:
    """A folder with the team's rules, its service's data, and what its tools did to the world."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "world.jsonl"
        self.rules()

    def rules(self, *, limit: int = 20, closed: str = "") -> None:
        """Ask people about payments from `limit` on; close an option of the size of 6 and more."""
        text = RULES.replace("LIMIT", str(limit)) + (CLOSING.replace("OPTION", closed) if closed else "")
        (self.folder / "rules.yaml").write_text(text, "utf-8")

    @property
    def config(self) -> Config:
        """One deployment, `office`."""
        team = Path(__file__).parent / "graphs" / "office.py"
        deployment = {"team": f"{team}:team", "rules": self.folder / "rules.yaml"}
        return Config.model_validate({"data_dir": self.folder / "data", "deployments": {"office": deployment}})

    async def hold(self, amounts: Sequence[int], *, waived: str = "") -> list[Episode]:
        """A case for each amount, whatever people are asked approved and answered; gives the episodes.

        Args:
            waived: a rule that does not count meanwhile.
        """
        async with await Service.open(self.config) as service:
            if waived:
                until, scope = datetime.now(UTC) + timedelta(hours=1), ScopeView(deployment="office")
                await service.waive(waived, scope=scope, until=until, by="kim", reason="kim says so")
            for amount in amounts:
                await self._case(service, amount)
        return self.episodes()

    async def _case(self, service: Service, amount: int) -> None:
        given: dict[str, Any] = {"amount": amount}
        run = await service.wait((await service.start_run("office", given)).id, timeout=60)
        while run.status == "waiting":
            for approval in await service.approvals(run_id=run.id):
                if approval.kind == "question":
                    await service.decide(approval.id, "answer", by="kim", reason="", value="certainly")
                else:
                    await service.decide(approval.id, "approve", by="kim", reason="kim says so")
            run = await service.wait(run.id, timeout=60)
        for other in await service.runs(case_id=run.case_id):  # the clerk's, of whom nobody waits for
            await service.wait(other.id, timeout=60)

    def episodes(self) -> list[Episode]:
        """All that is on record, in the order of the ledger."""
        config = self.config
        engine = database.of(config.database, config.data_dir).connect(readonly=True)
        try:
            with engine.connect() as connection:
                return [episodes.read(connection, case) for case in recorded.cases(connection)]
        finally:
            engine.dispose()

    @property
    def done(self) -> list[str]:
        """What happened to the world."""
        return self.log.read_text("utf-8").splitlines() if self.log.exists() else []
