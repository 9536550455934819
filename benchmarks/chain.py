"""What the effect chain costs for a tool call that the rules allow, in CPU time.

Twenty rules look at every call; journal and ledger are on, and the data directory is in memory where the machine has
such a place, so that no disk is waited for. CPU time is that of the whole process: the writer's thread counts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from langchain_core.tools import BaseTool, tool
from langgraph.graph import END, START, StateGraph

from gatewright.agents import labelled
from gatewright.runtime.config import Config, Deployment
from gatewright.runtime.service import Service

from .figures import Bar, Figure, Pair, compare, say, take_turns
from .program import Setting, main

MEMORY = Path("/dev/shm")
RULES = 20
COST = Bar(value=1.0, sense="at most", of="ours")


class State(TypedDict, total=False):
    """How many calls to make, and how many were made."""

    calls: int
    made: int


@tool
async def refund(booking: str, amount: int, note: str) -> str:
    """Pay money back."""
    return f"refunded {amount} for {booking}"


@tool
async def find_booking(booking: str, amount: int, note: str) -> str:
    """Look a booking up."""
    return f"{booking} cost {amount}"


labelled(find_booking, {"reads"})


def _calling(called: BaseTool) -> StateGraph[State, None, State, State]:
    async def node(state: State) -> State:
        made = 0
        for number in range(state.get("calls", 0)):
            arguments = {"booking": f"B{number:05d}", "amount": number % 400, "note": "the flight was cancelled"}
            message: Any = await called.ainvoke(
                {"name": called.name, "args": arguments, "id": f"call-{number}", "type": "tool_call"}
            )
            made += message.status == "success"
        return {"made": made}

    graph: StateGraph[State, None, State, State] = StateGraph(State)
    graph.add_node("call", node)
    graph.add_edge(START, "call")
    graph.add_edge("call", END)
    return graph


writing = _calling(refund)
reading = _calling(find_booking)


def rules() -> str:
    """A pack of twenty rules that look at the calls and do not mind them."""
    several = "".join(
        f"""
  - id: limit-{number}
    on: {{hook: tool.before}}
    when: args.amount > {1000 + number} && args.booking.startsWith("B") && !args.note.contains("word-{number}")
    then: ask
    reason: "{{{{ args.amount }}}} is a lot"
    examples:
      match: [{{name: refund, args: {{amount: 5000, booking: B1, note: ""}}}}]
      pass: [{{name: refund, args: {{amount: 10, booking: B1, note: ""}}}}]
"""
        for number in range(RULES)
    )
    return f"apiVersion: gatewright/v1\nkind: RulePack\nname: bench\nversion: 1\nrules:{several}"


def _config(folder: Path) -> Config:
    pack = folder / "rules.yaml"
    pack.write_text(rules(), "utf-8")
    names = ("writing", "reading")
    return Config.model_validate(
        {
            "data_dir": folder / "data",
            "deployments": {name: Deployment(graph=f"benchmarks.chain:{name}", rules=pack) for name in names},
        }
    )


async def _cpu(execute: Callable[[int], Awaitable[None]], calls: int) -> float:
    """CPU milliseconds of a call: a run with `calls` of them less one with none."""
    before = time.process_time()
    await execute(0)
    between = time.process_time()
    await execute(calls)
    return (time.process_time() - between - (between - before)) * 1000 / calls


async def _governed(service: Service, deployment: str, calls: int) -> None:
    run = await service.start_run(deployment, {"calls": calls})
    ended = await service.wait(run.id)
    assert ended.status == "succeeded" and ended.output["made"] == calls, ended


async def _ungoverned(graph: Any, calls: int) -> None:
    values = await graph.ainvoke({"calls": calls})
    assert values["made"] == calls, values


async def measure(setting: Setting) -> Sequence[Figure]:
    """All figures of the chain."""
    calls, turns = setting.size(300, 10), setting.size(11, 2)
    figures: list[Figure] = []
    place = MEMORY if MEMORY.is_dir() else setting.folder
    with tempfile.TemporaryDirectory(prefix="gatewright-benchmark-", dir=place) as folder:
        async with await Service.open(_config(Path(folder))) as service:
            for deployment, graph, bar in (("writing", writing, COST), ("reading", reading, None)):
                say(f"chain: {deployment} calls")
                pairs = await take_turns(
                    partial(_cpu, partial(_governed, service, deployment), calls),
                    partial(_cpu, partial(_ungoverned, graph.compile()), calls),
                    turns,
                )
                added = [Pair(pair.ours - pair.reference, pair.reference) for pair in pairs]
                figures.append(compare(f"allowed_{deployment}_call_cpu", "ms", added, bar))
    return figures


if __name__ == "__main__":
    main(measure, __doc__)
