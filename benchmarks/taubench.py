"""The reference of `toolslive`: tau-bench's own environment, with recorded actions in place of models.

`TAU_BENCH` names a checkout of sierra-research/tau-bench at commit 7362a17, whose airline data the episodes were
recorded on. Run as a program it steps through the episodes of a file and prints what came out and the processor time
of `Env.reset` and `Env.step`, which is what tau-bench spends on an episode beside its models.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

CHECKOUT = "TAU_BENCH"
DATA = Path("tau_bench/envs/airline/data/flights.json")
SAYING = "respond"


def checkout() -> Path | None:
    """The checkout that `TAU_BENCH` names; None where it names none."""
    named = os.environ.get(CHECKOUT)
    return Path(named).resolve() if named and (Path(named) / DATA).is_file() else None


class _Words:
    """What the recorded customer says, one word each time that a model is asked for it."""

    def __init__(self) -> None:
        self.left: Iterator[str] = iter(())

    def completion(self, **asked: Any) -> Any:
        text = next(self.left, "")
        message = SimpleNamespace(content=text, model_dump=lambda: {"role": "assistant", "content": text})
        return SimpleNamespace(choices=[SimpleNamespace(message=message)], _hidden_params={"response_cost": 0.0})


def _environment(root: Path, words: _Words) -> Any:
    """tau-bench's airline environment; litellm, which it asks its models through, need not be installed."""
    models = ModuleType("litellm")
    models.__dict__["completion"] = words.completion
    sys.modules["litellm"] = models
    sys.path.insert(0, str(root))
    envs = importlib.import_module("tau_bench.envs")
    return envs.get_env("airline", "llm", "recorded", "test", user_provider="recorded", task_index=0)


def _action(kind: Any, message: dict[str, Any]) -> Any:
    if calls := message.get("tool_calls"):
        called = calls[0]["function"]
        return kind(name=called["name"], kwargs=json.loads(called["arguments"]))
    return kind(name=SAYING, kwargs={"content": message["content"]})


def main(path: Path, most: int) -> None:
    """Step through the first `most` episodes; prints seconds of processor time and what came out equal."""
    root = checkout()
    if root is None:
        sys.exit(f"{CHECKOUT} names no checkout of tau-bench")
    words = _Words()
    env = _environment(root, words)
    kind = importlib.import_module("tau_bench.types").Action
    episodes = json.loads(path.read_bytes())[:most]
    results = rewards = 0
    taken = 0.0
    for episode in episodes:
        turns = [message for message in episode["traj"] if message["role"] != "system"]
        words.left = iter([message["content"] for message in turns if message["role"] == "user"])
        actions = [_action(kind, message) for message in turns if message["role"] == "assistant"]
        recorded = [message["content"] for message in turns if message["role"] == "tool"]
        began = time.process_time()
        env.reset(task_index=episode["task_id"])
        steps = [env.step(action) for action in actions]
        taken += time.process_time() - began
        given = [step.observation for step, action in zip(steps, actions, strict=True) if action.name != SAYING]
        results += sum(one == other for one, other in zip(given, recorded, strict=True))
        rewards += (steps[-1].reward if steps else 0.0) == episode["reward"]
    print(json.dumps({"episodes": len(episodes), "seconds": taken, "results": results, "rewards": rewards}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
