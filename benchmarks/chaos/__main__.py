"""Disturb a whole installation and examine what came of it: `python -m benchmarks.chaos`."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from . import report, services, trial
from .conversations import VARIANTS, scripts
from .history import check
from .installation import Installation
from .schedule import Fault, plan
from .services import Backend, Network


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of conversations and faults")
    parser.add_argument("--threads", type=int, default=200, help="conversations with customers")
    parser.add_argument("--seconds", type=float, default=90.0, help="in which threads begin and faults happen")
    parser.add_argument("--backend", choices=get_args(Backend), default="kafka", help="what it all stands on")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    parser.add_argument("--keep", type=Path, help="a folder, not there yet, for all files and logs; it stays")
    return parser.parse_args(arguments)


async def main(given: argparse.Namespace, folder: Path) -> int:
    """Hold every conversation undisturbed once, then many while everything is disturbed; gives the exit code."""
    backend: Backend = given.backend
    network = services.network() if backend != "sqlite" else "SQLite needs no network"
    try:
        return await _examined(given, folder, backend, network)
    finally:
        if isinstance(network, Network):
            network.close()


async def _examined(given: argparse.Namespace, folder: Path, backend: Backend, network: Network | str) -> int:
    known = scripts(given.seed)
    customers = [(f"chaos-{given.seed}-{n}", known[n % VARIANTS].id) for n in range(given.threads)]
    keys = [f"key-{given.seed}-{n}" for n in range(max(4, given.threads // 10))]
    once = [(f"calm-{given.seed}-{n}", script.id) for n, script in enumerate(known[: given.threads])]
    print("undisturbed:", len(once), "conversations", file=sys.stderr)
    async with Installation(folder / "calm", "sqlite", serves=1, workers=0, network=None) as calm:
        undisturbed = await trial.Trial(calm, seed=given.seed, customers=1).hold(once, [], seconds=1)
    courses = trial.courses(undisturbed, given.seed)
    cut = network if isinstance(network, Network) else None
    serves, workers = (1, 0) if backend == "sqlite" else (2, 4)
    faults = _faults(given, backend, cut, serves, workers)
    print(f"disturbed: {len(customers)} conversations, {len(faults)} faults", file=sys.stderr)
    async with Installation(folder / "chaos", backend, serves=serves, workers=workers, network=cut) as installation:
        trying = trial.Trial(installation, seed=given.seed, customers=2)
        history = await trying.hold(customers, faults, seconds=given.seconds, keys=keys)
        await asyncio.to_thread(installation.stop_processes)
        audit = await asyncio.to_thread(trial.audit, installation)
    (folder / "history.json").write_text(history.model_dump_json(), "utf-8")
    found = report.Report(
        seed=given.seed,
        backend=backend,
        faults=report.counted(fault.kind for fault in faults),
        no_network=network if isinstance(network, str) else "",
        ended_by_themselves=trying.ended_by_themselves,
        approved=trying.people.approved,
        findings=check(history, courses),
        ledger_holds=audit.ok,
        ledger_size=audit.size,
        ledger_said="" if audit.ok else audit.said,
    )
    print(json.dumps(found.shown(), indent=2) if given.json else found.table())
    return 0 if found.kept else 1


def _faults(
    given: argparse.Namespace, backend: Backend, network: Network | None, serves: int, workers: int
) -> list[Fault]:
    return plan(
        given.seed,
        given.seconds,
        workers=workers,
        serves=serves,
        kafka=backend == "kafka",
        postgresql=backend != "sqlite",
        cut=None if network is None else 0,
    )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # or namespaces and processes would stay behind
    chosen = options()
    place = chosen.keep or Path(tempfile.mkdtemp(prefix="gatewright-chaos-"))
    try:
        place.mkdir(parents=True, exist_ok=chosen.keep is None)
        place.chmod(0o755)
        code = asyncio.run(main(chosen, place.absolute()))
    finally:
        if chosen.keep is None:
            shutil.rmtree(place, ignore_errors=True)
    sys.exit(code)
