"""The rounds that make up the benchmark, and how processes share them."""

from __future__ import annotations

import asyncio
import dataclasses
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from . import attackers, report, rounds, suites
from .outcomes import Outcome, Round
from .suites import Pair

SAMPLE = 3  # user tasks for each injection task, where not all pairs are held


def plan(*, quick: bool = False) -> list[Round]:
    """The rounds of the benchmark: all tasks and pairs, or a stratified sample of them."""
    benign, attacked = list(suites.benign()), list(suites.attacked())
    some = suites.sample(attacked, 1 if quick else SAMPLE)
    if quick:
        benign, attacked = suites.sample(benign, 4), some
    return [
        Round(name="benign_bare", review="none", pairs=tuple(benign)),
        Round(name="benign", review="refusing", pairs=tuple(benign)),
        Round(name="benign_reviewed", review="correct", pairs=tuple(benign)),
        Round(name="attacked_bare", review="none", pairs=tuple(attacked)),
        Round(name="attacked", review="refusing", pairs=tuple(attacked)),
        Round(name="attacked_reviewed", review="correct", pairs=tuple(some)),
        Round(name="structured_bare", review="none", pairs=tuple(some), structured=True),
        Round(name="structured", review="refusing", pairs=tuple(attacked), structured=True),
        *(
            Round(name=f"{report.TEMPLATE}{template}", review="refusing", pairs=tuple(some), template=template)
            for template in attackers.TEMPLATES
            if template != attackers.OFFICIAL
        ),
    ]


def hold(planned: Sequence[Round], folder: Path, processes: int) -> dict[str, list[Outcome]]:
    """Hold rounds, each process a share of every one; the outcomes in the order of the pairs."""
    shares = [
        [dataclasses.replace(round, pairs=round.pairs[turn::processes]) for round in planned]
        for turn in range(processes)
    ]
    folders = [folder / str(turn) for turn in range(processes)]
    if processes == 1:
        held = [_held(folders[0], shares[0])]
    else:
        fresh = multiprocessing.get_context("spawn")  # a fork would share the threads' locks
        with ProcessPoolExecutor(processes, mp_context=fresh) as pool:
            held = list(pool.map(_held, folders, shares))
    found: dict[str, list[Outcome]] = {}
    for round in planned:
        by_pair: dict[Pair, Outcome] = {outcome.pair: outcome for part in held for outcome in part[round.name]}
        found[round.name] = [by_pair[pair] for pair in round.pairs]
    return found


def _held(folder: Path, planned: Sequence[Round]) -> dict[str, list[Outcome]]:
    return asyncio.run(rounds.hold_rounds(folder, planned))
