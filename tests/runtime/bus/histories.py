"""What handlers wrote down themselves, and whether it is a history that the bus promises."""

from __future__ import annotations

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Invocation(NamedTuple):
    """A handler began with message `number` of a key, at `at` nanoseconds of the machine's monotonic clock."""

    at: int
    key: str
    number: int
    worker: str


class Effect(NamedTuple):
    """What a handler did in the settling transaction, in the order in which it is there."""

    key: str
    number: int


class Findings(NamedTuple):
    """What is not as promised: messages of keys, each with its number."""

    lost: list[Effect]
    repeated: list[Effect]
    out_of_order: list[Effect]
    begun_out_of_order: list[Invocation]
    unbidden: list[Effect]

    @property
    def clean(self) -> bool:
        return not any(self)


class Notebook:
    """A worker's own file: a line is there as soon as it is written, whatever kills the process."""

    def __init__(self, file: Path, worker: str) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._worker = worker

    def begin(self, key: str, number: int) -> None:
        line = json.dumps([time.monotonic_ns(), key, number, self._worker])
        os.write(self._file, f"{line}\n".encode())


def read(folder: Path) -> list[Invocation]:
    """What all workers wrote, in the order of time."""
    lines = [line for file in folder.glob("*.jsonl") for line in file.read_text("utf-8").splitlines()]
    return sorted(Invocation(*json.loads(line)) for line in lines)


def check(published: Mapping[str, int], effects: Sequence[Effect], invocations: Iterable[Invocation]) -> Findings:
    """Hold a history against the promise.

    Args:
        published: how many messages of each key were acknowledged, numbered from 0 in the order of publication.
    """
    counts = Counter(effects)
    wanted = [Effect(key, number) for key, count in published.items() for number in range(count)]
    latest: dict[str, int] = defaultdict(lambda: -1)
    out_of_order: list[Effect] = []
    for effect in effects:
        if effect.number < latest[effect.key]:
            out_of_order.append(effect)
        latest[effect.key] = max(latest[effect.key], effect.number)
    begun: dict[str, int] = defaultdict(lambda: -1)
    begun_out_of_order: list[Invocation] = []
    for invocation in invocations:
        # again what was begun last, or what follows it: nothing is passed over, and nothing that is over comes back
        if not begun[invocation.key] <= invocation.number <= begun[invocation.key] + 1:
            begun_out_of_order.append(invocation)
        begun[invocation.key] = max(begun[invocation.key], invocation.number)
    return Findings(
        lost=[effect for effect in wanted if not counts[effect]],
        repeated=[effect for effect, count in counts.items() if count > 1],
        out_of_order=out_of_order,
        begun_out_of_order=begun_out_of_order,
        unbidden=sorted(set(counts) - set(wanted)),
    )
