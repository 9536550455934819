"""A plan: tasks that need each other, and what becomes of it when one succeeds or fails. No agents, no messages."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

MOST_ATTEMPTS = 3  # at one task, in whatever way

Status = Literal["open", "handed out", "done", "failed"]


class Task(TypedDict):
    """A step of the plan. `desk` does it; each desk does one thing after the other."""

    name: str
    desk: str
    does: str
    needs: list[str]
    attempt: int
    status: Status
    outcome: str


Plan = dict[str, Task]
"""Tasks by name."""


class Result(TypedDict):
    """What came of a task."""

    goal: str
    task: str
    attempt: int
    ok: bool
    outcome: str


def drawn_up(steps: list[dict[str, Any]]) -> Plan:
    """The plan of the steps that a model has named.

    Raises:
        ValueError: a step needs one that is not there.
    """
    plan = {step["name"]: _task(step) for step in steps}
    for task in plan.values():
        if missing := [name for name in task["needs"] if name not in plan]:
            raise ValueError(f"task {task['name']!r} needs {missing[0]!r}, which is not in the plan")
    return plan


def _task(step: dict[str, Any], attempt: int = 1) -> Task:
    return {
        "name": step["name"],
        "desk": step["desk"],
        "does": step["does"],
        "needs": list(step.get("needs", [])),
        "attempt": attempt,
        "status": "open",
        "outcome": "",
    }


def ready(plan: Plan) -> list[Task]:
    """The tasks that can be handed out: nobody has them, and all that they need is done."""
    done = {task["name"] for task in plan.values() if task["status"] == "done"}
    return [task for task in plan.values() if task["status"] == "open" and done.issuperset(task["needs"])]


def changed(plan: Plan, name: str, status: Status, outcome: str = "") -> Plan:
    """The plan with a task in another state."""
    task: Task = {**plan[name], "status": status, "outcome": outcome}
    return {**plan, name: task}


def again(plan: Plan, name: str, does: str) -> Plan:
    """The plan with a task to be tried once more, perhaps in another way."""
    return {**plan, name: _task({**plan[name], "does": does}, plan[name]["attempt"] + 1)}


def late(plan: Plan, result: Result) -> bool:
    """Whether a result is of an attempt that nobody waits for any more."""
    task = plan.get(result["task"])
    return task is None or task["status"] != "handed out" or task["attempt"] != result["attempt"]


def achieved(plan: Plan) -> bool:
    """Whether all is done."""
    return all(task["status"] == "done" for task in plan.values())
