"""A thousand threads, recorded while their process was killed again and again, come out byte for byte."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from gatewright.runtime.cli.episodes import Holding
from gatewright.runtime.config import Config
from gatewright.runtime.service import Service

CLAIMS = 900
KILLS = 8
EXECUTING = """
import asyncio, sys
from contextlib import suppress
from gatewright.agents.errors import ConflictError
from gatewright.runtime import config
from gatewright.runtime.service import Service

async def main():
    async with await Service.open(config.load()) as service:
        print("begun", flush=True)
        while True:
            for approval in await service.approvals(limit=1000):
                with suppress(ConflictError):
                    await service.decide(approval.id, "approve", by="kim", reason="")
            left = [await service.runs(status=status, limit=1) for status in ("queued", "running", "waiting")]
            if not any(left):
                print("done", flush=True)
                return
            await asyncio.sleep(0.2)

asyncio.run(main())
"""


def gatewright(folder: Path, *words: str) -> dict[str, object]:
    """What a command says in JSON; it may say no."""
    program = "from gatewright.runtime.cli import main; main()"
    call = [sys.executable, "-c", program, *words, "--json"]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thousand_threads_come_out_byte_for_byte(tmp_path: Path, shared: Path) -> None:
    (tmp_path / "gatewright.toml").write_text(
        '[deployments.support]\nteam = "support"\n[deployments.claims]\nteam = "claims"\n'
        "[deployments.claims.policies]\ntriage = {explore = 0.1}\n",
        "utf-8",
    )
    batch = tmp_path / "batch.json"
    batch.write_text(json.dumps({"seed": 11, "first": 0, "claims": CLAIMS}), "utf-8")
    conversations = {"support": shared / "taubench" / "airline" / "episodes-gpt-4o.json", "claims": batch}
    asyncio.run(_accept(tmp_path, conversations))
    kills = _execute(tmp_path, random.Random(5))

    recorded = gatewright(tmp_path, "scenario", "record", "-o", "all.jsonl.gz")
    found = [gatewright(tmp_path, "scenario", "replay", "all.jsonl.gz", "--mode", "strict") for _ in range(2)]

    assert recorded["episodes"] == CLAIMS + 100
    assert kills == KILLS
    for replayed in found:  # each in a process of its own
        assert replayed["diverged"] == []
        assert replayed["episodes"] == {"equal": CLAIMS + 100, "total": CLAIMS + 100}
    assert found[0]["decisions"] == found[1]["decisions"]


async def _accept(folder: Path, conversations: dict[str, Path]) -> None:
    """Accept everything that customers say, and execute nothing of it."""
    from gatewright.runtime import config

    settings: Config = config.load(folder / "gatewright.toml", cwd=folder)
    async with await Service.open(settings, execute=False) as service:
        for deployment, path in conversations.items():
            holding = Holding(service, deployment, approve=lambda approval: True, tell=lambda approval: None)
            await holding.start(await service.conversations(deployment, path))
        statuses = Counter([run.status for run in await service.runs(limit=10_000)])
        assert set(statuses) == {"queued"}


def _execute(folder: Path, chance: random.Random) -> int:
    """Execute all of it in processes that are killed, until nothing is left; gives how many were."""
    kills = 0
    while True:
        process = subprocess.Popen(
            [sys.executable, "-c", EXECUTING], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        try:
            assert process.stdout.readline().strip() == "begun"
            if kills < KILLS:
                time.sleep(chance.uniform(0.2, 2.0))
                process.send_signal(signal.SIGKILL)
                kills += 1
                continue
            assert process.stdout.readline().strip() == "done"
            return kills
        finally:
            process.wait()
            process.stdout.close()
