"""Runs the service of the crash test in processes that can be killed one after the other.

Importing takes most of a start; so this process imports everything once, and forks a child for each line of its
standard input. It writes `pid N` when one has been started and `exit CODE` when it has ended; the world's marks come
on the same standard output.
"""

import asyncio
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from gatewright.runtime.config import Config, Deployment, Worker
from gatewright.runtime.service import Service
from gatewright.runtime.views import FINAL, ApprovalView

FILE = Path(__file__).parent / "graphs.py"
graphs = importlib.import_module("graphs")  # beside this file, which is where Python looks first
RULES = """
apiVersion: gatewright/v1
kind: RulePack
name: crash
version: 1
tools:
  notify: {labels: [idempotent]}
rules:
  - id: transfers
    on: {hook: tool.before, name: transfer}
    when: args.case != "none"
    then: ask
    reason: a person looks at every transfer
    examples: {match: [{args: {case: a}}], pass: [{args: {case: none}}]}
"""


def config(folder: Path) -> Config:
    rules = folder / "rules.yaml"
    if not rules.exists():
        rules.write_text(RULES, "utf-8")
    names = ("sequential", "parallel", "fanout", "nested", "asking", "flaky")
    deployments = {name: Deployment(graph=f"{FILE}:{name}", rules=rules) for name in names}
    deployments["team"] = Deployment(team=f"{FILE}:team", rules=rules)
    return Config(
        data_dir=folder / "data",
        database=url.read_text("utf-8") if (url := folder / "database").exists() else "",
        deployments=deployments,
        worker=Worker(concurrency=8, lease=1.0, retry_delay=0.02, max_attempts=5),
    )


async def answer(service: Service, request: ApprovalView) -> None:
    """What an operator does: looks whether it happened, before saying what its result was."""
    if request.kind == "question":
        await service.decide(request.id, "answer", by="operator", value="well")
        return
    tool, case = request.action["name"], request.action["args"]["case"]
    if request.kind == "unknown" and graphs.count("happened", tool, case):
        await service.decide(request.id, "answer", by="operator", value=graphs.result(tool, case))
    else:
        await service.decide(request.id, "approve", by="operator")


async def serve(folder: Path, jobs: list[dict[str, Any]]) -> None:
    """Accept the runs (again, after a crash) and work until all have ended."""
    async with await Service.open(config(folder)) as service:
        accepted = [
            service.start_run(job["deployment"], {"case": job["id"]}, thread_id=job["thread"], run_id=job["id"])
            for job in jobs
        ]
        await asyncio.gather(*accepted)
        while set((await service.overview()).runs) - FINAL:
            for request in await service.approvals():
                await answer(service, request)
            await asyncio.sleep(0.01)


async def bare(folder: Path, jobs: list[dict[str, Any]]) -> None:
    """The same jobs on LangGraph alone, with its own checkpointer at its safest setting."""
    async with AsyncSqliteSaver.from_conn_string(str(folder / "bare.sqlite")) as saver:
        for job in jobs:
            graph = getattr(graphs, job["deployment"]).compile(checkpointer=saver)
            place = {"configurable": {"thread_id": job["id"]}}
            begun = (await graph.aget_state(place)).created_at is not None
            await graph.ainvoke(None if begun else {"case": job["id"]}, place, durability="sync")


def main() -> None:
    dead = 0
    for line in sys.stdin:
        if dead:  # only now nobody can mean to kill it any more, and its number may be given to another
            os.waitpid(dead, 0)
        order = json.loads(line)
        folder = Path(order["folder"])
        os.environ["CRASH_WORLD"] = str(folder / "world.jsonl")
        child = os.fork()
        if child == 0:
            asyncio.run((bare if order["bare"] else serve)(folder, order["jobs"]))
            os._exit(0)
        os.write(1, f"pid {child}\n".encode())
        ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        os.write(1, f"exit {code}\n".encode())
        dead = child


if __name__ == "__main__":
    main()
