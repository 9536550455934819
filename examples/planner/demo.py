"""Give the planner a goal and watch: `python demo.py`. Kill it at any moment, with `kill -9`, and start it again."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from gatewright.agents.errors import NotFoundError
from gatewright.runtime.bus import Delivery
from gatewright.runtime.config import load
from gatewright.runtime.service import Service

HERE = Path(__file__).parent
MARKS = {"open": " ", "handed out": ">", "done": "x", "failed": "!"}


async def main(goal_id: str, goal: str, *, execute: bool) -> int:
    config = load(HERE / "gatewright.toml")
    sys.path.insert(0, str(HERE))
    async with await Service.open(config, execute=execute) as service:
        await service.bus.subscribe("plan.board", "demo", _show)
        await service.bus.publish("plan.goals", {"id": goal_id, "goal": goal}, key=goal_id, id=f"goal-{goal_id}")
        report = await _report(service, goal_id)
    print("achieved" if report["achieved"] else f"not achieved: {report['reason']}")
    return 0 if report["achieved"] else 1


async def _show(delivery: Delivery) -> None:
    for task in delivery.data["tasks"]:
        again = f" (attempt {task['attempt']})" if task["attempt"] > 1 else ""
        print(f"[{MARKS[task['status']]}] {task['name']}: {task['does']}{again}")
    print(flush=True)


async def _report(service: Service, goal_id: str) -> dict[str, Any]:
    """What became of the goal; the planner's thread holds it too, for whoever comes later than the message."""
    while True:
        try:
            state = await service.thread_state(f"planner:{goal_id}")
        except NotFoundError:  # the goal has not been taken up yet
            state = {"values": {}}
        if found := state["values"].get("report"):
            return dict(found)
        await asyncio.sleep(0.2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("goal", nargs="?", default="an offsite for the team")
    parser.add_argument("--id", default="offsite", help="of the goal; the same one goes on where it was")
    parser.add_argument("--no-execute", action="store_true", help="leave the work to `gatewright worker` processes")
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.id, given.goal, execute=not given.no_execute)))
