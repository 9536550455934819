"""One trial of a case: the real team in a real service, on a database and in a world that are thrown away."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from gatewright.agents.errors import GatewrightError, UsageError
from gatewright.runtime.config import Config, Ledger, Server
from gatewright.runtime.notices.receivers import Mail
from gatewright.runtime.service import Service
from gatewright.scenarios.gate.trials import Trial

from . import checks, seeds
from .attempts import LATE, Attempt
from .cases import Case
from .documents import Suite
from .observations import Observation


def configured(config: Config, suite: Suite, folder: Path) -> Config:
    """The configuration of a service for trials: the deployment with its rules and policies, and nothing that anybody
    outside would notice. Nobody signs in, nothing is sent, no other database is touched."""
    if suite.deployment not in config.deployments:
        raise UsageError(
            f"there is no deployment {suite.deployment!r} in the configuration; it has {sorted(config.deployments)}"
        )
    deployment = config.deployments[suite.deployment]
    return config.model_copy(
        update={
            "data_dir": folder,
            "database": "",
            "bus": "",
            "kafka": {},
            "people": {},
            "notices": (),
            "mail": Mail(),
            "ledger": Ledger(),
            "server": Server(),
            "worker": config.worker.model_copy(
                update={"deployments": (), "max_effects": suite.limits.steps, "run_timeout": suite.limits.seconds}
            ),
            "deployments": {
                suite.deployment: deployment.model_copy(
                    update={"owner": "", "world": {**deployment.world, **suite.world}}
                )
            },
        }
    )


class Bench:
    """A service that trials are run in, one after the other.

    It is opened afresh for each where the rules count over cases (budgets, breakers): no trial may depend on others.
    `worn`: whether a trial had to be ended, and may have left threads behind that nobody can end.
    """

    def __init__(self, config: Config, suite: Suite) -> None:
        self._config = config
        self._suite = suite
        self._service: Service | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._chance = seeds.Chance()
        self.worn = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def trial(self, case: Case, number: int) -> Trial:
        """Run a trial; what goes wrong in it is told in its row."""
        began = time.monotonic()
        try:
            async with self._opened() as service:
                attempt = Attempt(service, self._suite, case, number, self._chance)
                began = time.monotonic()
                observed, why = await attempt.held()
                self.worn = self.worn or why.startswith(LATE)
        except GatewrightError as error:
            observed, why = None, f"error: {error}"
        return self._row(case, number, observed, why, time.monotonic() - began)

    def _row(self, case: Case, number: int, observed: Observation | None, why: str, seconds: float) -> Trial:
        wrong = [why] if why else []
        if observed is not None:
            wrong += checks.failed(case.checks, observed).values()
            wrong += observed.failures() if wrong else ()
        known = {} if observed is None else self._measured(observed)
        wanted = set(self._suite.metrics)
        return Trial(
            case=case.id,
            trial=number,
            success=not wrong if wanted & {"success", "pass^k"} else None,
            latency=round(seconds, 4) if "latency" in wanted else None,
            **{name: value for name, value in known.items() if name in wanted},
            severity=case.severity,
            tags=case.tags,
            group=case.group,
            note="; ".join(wrong),
            episode="" if observed is None else f"sha256:{observed.digest()}",
        )

    def _measured(self, observed: Observation) -> dict[str, Any]:
        rules = self._suite.violations
        return {
            "reward": observed.reward,
            "cost": observed.cost(),
            "human_load": len(observed.approvals),
            "violations": observed.violations(None if rules is None else frozenset(rules)),
        }

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[Service]:
        if self._service is None:
            self._folder = tempfile.TemporaryDirectory(prefix="gatewright-", ignore_cleanup_errors=True)
            config = configured(self._config, self._suite, Path(self._folder.name))
            self._service = await Service.open(config, kind="command")
            loaded = self._service.loaded(self._suite.deployment)
            seeds.reseed(loaded, config.deployments[self._suite.deployment], self._chance)
        yield self._service
        if self._service.loaded(self._suite.deployment).meters is not None:
            await self._close()

    async def _close(self) -> None:
        service, folder = self._service, self._folder
        self._service = self._folder = None
        if service is not None:
            await service.close()
        if folder is not None:
            folder.cleanup()
