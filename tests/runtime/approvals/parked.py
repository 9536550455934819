"""A process that is killed while a run of its waits for people.

parked.py park FOLDER FILE:ATTRIBUTE RULES [VOTER]: start a run, let VOTER approve what it waits for, say which it is,
and hold still · parked.py use FOLDER REQUEST: when told to on stdin, use an approval; say `used` or `refused`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from pathlib import Path

from gatewright.agents.errors import ConflictError
from gatewright.runtime import requests
from gatewright.runtime.clock import Clock
from gatewright.runtime.config import Config, Deployment
from gatewright.runtime.service import Service
from gatewright.runtime.store.sqlite import SQLite
from gatewright.runtime.store.writer import Writer
from gatewright.safety.approvals.ballots import Voter


async def park(folder: Path, graph: str, rules: str, voter: str = "") -> None:
    config = Config(data_dir=folder, deployments={"x": Deployment(graph=graph, rules=Path(rules))})
    service = await Service.open(config)
    run = await service.start_run("x", {"amount": 5})
    await service.wait(run.id)
    (approval,) = await service.approvals(run_id=run.id)
    if voter:
        await service.decide(approval.id, "approve", voter=Voter(name=voter, authenticated=True))
    print(run.id, approval.id, flush=True)
    await asyncio.Event().wait()


def use(folder: Path, request_id: str) -> None:
    writer = Writer(SQLite(folder))
    print("ready", flush=True)
    sys.stdin.readline()

    request, _row = writer.submit(lambda tx: requests.find(tx, request_id)).result()
    try:
        writer.submit(lambda tx: requests.consume(tx, request, now=Clock().now())).result()
        print("used", flush=True)
    except ConflictError:
        print("refused", flush=True)
    writer.close()


try:
    if sys.argv[1] == "park":
        asyncio.run(park(Path(sys.argv[2]), *sys.argv[3:]))
    else:
        use(Path(sys.argv[2]), sys.argv[3])
except BaseException:
    traceback.print_exc()
    os._exit(1)  # threads of an open service would hold it here, and whoever reads its lines
