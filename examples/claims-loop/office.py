"""The real team at work: claims that are held in a service with its database, and what is on record about them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from gatewright.agents.claims import TRIAGE
from gatewright.environments.claims.grid import TRIAGE_GRID
from gatewright.environments.claims.world import conversation
from gatewright.environments.decisions.logs import Decision, Log, of_records
from gatewright.runtime.cli.episodes import Holding
from gatewright.runtime.config import load
from gatewright.runtime.service import Service
from gatewright.runtime.views import RecordView

PAGE = 1_000


class Worked(NamedTuple):
    """Claims that were worked on. `policies`: who chose at triage, with how many claims."""

    log: Log
    policies: dict[str, int]
    approvals: int
    seconds: float


async def work(config: Path, claims: Sequence[tuple[int, int]], progress: Callable[[int], None]) -> Worked:
    """Have the deployment `claims` of a configuration work on these claims (seeds and numbers); people approve all.

    Raises:
        RuntimeError: one could not be worked on.
    """
    async with await Service.open(load(config, environ={})) as service:
        holding = Holding(service, "claims", approve=lambda _: True, tell=lambda _: None, progress=progress)
        before = (await service.ledger()).size
        await holding.start([conversation(seed, number) for seed, number in claims])
        await holding.follow()
        if holding.divergences:
            raise RuntimeError(f"{len(holding.divergences)} claims failed: {holding.divergences[0].message}")
        rewards = {each.id: await service.score("claims", each.conversation, each.id, []) for each in holding.cases}
        decisions = [each for each in await _triaged(service, before) if each.case_id in rewards]
        approvals = len(await service.approvals(state=None, limit=len(claims)))
    gc.unfreeze()  # the service took all that was loaded for its own; torch's bindings count what is left at the end
    log = Log.of(TRIAGE, decisions, rewards, encoding=TRIAGE_GRID.encoding)
    policies = {title: log.policies.count(title) for title in sorted(set(log.policies))}
    return Worked(log, policies, approvals, holding.outcome.seconds)


async def _triaged(service: Service, first: int) -> list[Decision]:
    """The decisions at triage, from the record `first` on."""
    found: list[RecordView] = []
    after = first - 1
    while page := await service.records(kind="effect", after=after, limit=PAGE):
        found += [view for view in page if (view.record.get("effect") or {}).get("name") == TRIAGE.name]
        after = page[-1].index
    return list(of_records(found, TRIAGE.name))
