"""What is disturbed when: the same faults for the same seed."""

from __future__ import annotations

import random
from typing import Literal, NamedTuple

Kind = Literal["kill worker", "stop worker", "cut worker", "kill serve", "kill kafka", "kill postgresql"]
"""`kill`: SIGKILL, and started again after `lasts` · `stop`: SIGSTOP, and SIGCONT after `lasts` · `cut`: the network of
the worker's namespace goes down, and up again after `lasts`."""

FIRST = 3.0  # seconds in which nothing is disturbed, so that work is under way
EVERY = 4.0  # seconds between two deaths of workers, on average
LEASE = 3.0  # seconds; the `worker.lease` that services under chaos are configured with
AWAY = (9.0, 13.0)  # seconds that PostgreSQL stays dead: about as long as writers wait for it before they refuse
SPARE = 4.0  # seconds that a worker has at least, between two faults of its own


class Fault(NamedTuple):
    """One fault: at `at` seconds from the beginning, on number `target` of its kind, for `lasts` seconds."""

    at: float
    kind: Kind
    target: int
    lasts: float


def plan(
    seed: int,
    seconds: float,
    *,
    workers: int,
    serves: int,
    kafka: bool = False,
    postgresql: bool = False,
    cut: int | None = None,
) -> list[Fault]:
    """The faults of a trial of `seconds`, in order of time; each process has at most one at a time.

    Workers are killed, stopped and cut off every few seconds; where there are none, those that serve and execute are
    killed. Kafka is killed twice and PostgreSQL once; a zombie sleeps for about two leases.

    Args:
        cut: the worker whose network can be cut.
    """
    chance = random.Random(seed)
    faults: list[Fault] = []
    if postgresql:
        faults.append(_fault(chance, seconds, (0.55, 0.65), "kill postgresql", 1, AWAY))
    if kafka:
        faults.append(_fault(chance, seconds, (0.25, 0.35), "kill kafka", 1, (1.0, 4.0)))
        faults.append(_fault(chance, seconds, (0.75, 0.85), "kill kafka", 1, (1.0, 4.0)))
    if workers:
        faults += [
            _fault(chance, seconds, span, "kill serve", serves, (0.5, 2.0)) for span in ((0.15, 0.25), (0.45, 0.55))
        ]
    busy: dict[int, float] = {}
    at = FIRST
    while at < seconds:
        free = [number for number in range(workers or serves) if busy.get(number, 0.0) <= at]
        if free:
            number = chance.choice(free)
            kind = _kind(chance, cut == number) if workers else "kill serve"
            lasts = chance.uniform(0.2, 1.0) if kind.startswith("kill") else chance.uniform(1.5, 2.5) * LEASE
            faults.append(Fault(at, kind, number, lasts))
            busy[number] = at + lasts + SPARE
        at += chance.expovariate(1 / EVERY)
    return sorted(faults)


def _kind(chance: random.Random, cut: bool) -> Kind:
    kinds: tuple[Kind, ...] = ("kill worker", "stop worker", "cut worker")
    return chance.choices(kinds, (0.7, 0.2, 0.3 if cut else 0.0))[0]


def _fault(
    chance: random.Random,
    seconds: float,
    span: tuple[float, float],
    kind: Kind,
    targets: int,
    lasts: tuple[float, float],
) -> Fault:
    return Fault(seconds * chance.uniform(*span), kind, chance.randrange(targets), chance.uniform(*lasts))
