"""Processes that spend from the same budgets: `spending.py URL LIMIT RUNS PROCESSES`.

For one run after the other, all at the same moment make calls until they are refused; each says how many it made.
Importing takes most of the time, so it is done once, and the processes are forked from one.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path

from gatewright.runtime.clock import Clock
from gatewright.runtime.courses import drive
from gatewright.runtime.meters import Meters, Reservation
from gatewright.runtime.prices import OwnPrices
from gatewright.runtime.store import database
from gatewright.runtime.store.writer import Writer
from gatewright.runtime.workers import registry
from gatewright.safety.rules.packs import Pack

THREADS = 2  # in each process

PACK = """
apiVersion: gatewright/v1
kind: RulePack
name: p
version: 1
budgets:
  - {{id: calls, of: calls, limit: {limit}, per: run, then: deny}}
  - {{id: all, of: calls, limit: 100000, per: deployment, within: 1h, then: deny}}
"""


@dataclass(frozen=True)
class Run:
    run_id: str = "run-1"
    case_id: str = "case-1"
    agent: str = "desk"


def opened(url: str, limit: int, *, lease: float = 60.0) -> tuple[Writer, Meters, str]:
    """A process' writer, its meters, and the worker that it has joined as."""
    writer = Writer(database.of(url, Path()))
    who = registry.Identity.new("worker", (), 1)
    writer.submit(lambda transaction: registry.join(transaction, who, lease=lease)).result()
    packs = [Pack.parse(PACK.format(limit=limit))]
    meters = Meters.of("x", packs, writer=writer, clock=Clock(), prices=OwnPrices({}), worker=lambda: who.id)
    assert meters is not None
    return writer, meters, who.id


def begun(meters: Meters, run: Run | None = None) -> Reservation | None:
    """What is set aside for a call; None where it is refused."""
    found: Reservation | None = drive(meters.reserve(run or Run(), "tool", "send"), lambda args: None).reservation
    return found


def spend(writer: Writer, meters: Meters, run: Run) -> int:
    """Make calls until one is refused; the first is given up before it is made."""
    made = 0
    while (reservation := begun(meters, run)) is not None:
        if not made:
            reservation.release()
            reservation = begun(meters, run)
        if reservation is not None:
            made += 1
            writer.submit(reservation.settle(None, 1, ok=True, now=Clock().now()).write).result()
    return made


def process(url: str, limit: int, runs: int, together: Barrier) -> None:
    """What one process does."""
    writer, meters, _worker = opened(url, limit)
    made = 0
    for number in range(runs):
        run = Run(run_id=f"run-{number}")
        together.wait()
        with ThreadPoolExecutor(THREADS) as pool:
            made += sum(call.result() for call in [pool.submit(spend, writer, meters, run) for _ in range(THREADS)])
    writer.close()
    os.write(1, f"{made}\n".encode())  # at once, or the lines of several could be mixed


def main(url: str, limit: int, runs: int, processes: int) -> int:
    """Fork; gives how many of the processes failed."""
    together = Barrier(processes, ctx=multiprocessing.get_context("fork"))
    children: list[int] = []
    for _ in range(processes):
        child = os.fork()
        if child == 0:
            process(url, limit, runs, together)
            os._exit(0)
        children.append(child)
    return sum(os.waitpid(child, 0)[1] != 0 for child in children)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
