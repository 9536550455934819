"""The gate: rules and policy on held-out claims that no training has seen, in the simulator and with the real team."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

from gatewright.runtime.config import Chooser, Config
from gatewright.scenarios import gate, suites, tuning
from gatewright.scenarios.suites.documents import Cases, Generate, Read
from gatewright.scenarios.tuning import seeds
from gatewright.scenarios.tuning.choosers import Played

HERE = Path(__file__).parent
CLOSE = 1e-9  # of rewards, thousands of euros

Sides: TypeAlias = tuple[gate.Table, gate.Table]
"""The rules and the policy, on the same claims."""
Told: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


def simulated(found: tuning.Tuned, candidate: tuning.Candidate) -> Sides:
    """The held-out claims in the simulator; people's work is counted in minutes."""
    first = seeds.worlds(found.order.seed, "held-out")
    return (
        _table("rules", found.candidates[0].played, first),
        _table(candidate.algorithm, candidate.played, first),
    )


def _table(name: str, played: Played, first: int) -> gate.Table:
    count, episodes = played.rewards.shape
    return gate.table(
        name,
        [
            gate.Trial(
                case=f"C-{first + seed}-{number}",
                trial=0,
                reward=float(played.rewards[seed, number]),
                human_load=float(played.load[seed, number]),
                violations=int(sum(committed[seed, number] for committed in played.violations.values())),
            )
            for seed in range(count)
            for number in range(episodes)
        ],
        {"human_load": "minutes"},
    )


def tried(config: Config, policy: Path, first: int, claims: tuple[int, int], jobs: int, told: Told) -> Sides:
    """Claims (seeds from `first` on, and claims of each) with the real team; people's work is counted in questions."""
    read = suites.read(HERE / "gate.yaml")
    [template] = read.suite.cases
    seeds_of, each = claims
    cases = [Cases(generate=Generate(count=each, seed=first + at), checks=template.checks) for at in range(seeds_of)]
    read = Read(suite=read.suite.model_copy(update={"cases": cases}), path=read.path)

    def side(name: str, policies: dict[str, Chooser]) -> gate.Table:
        deployment = config.deployments["claims"].model_copy(update={"policies": policies})
        ours = config.model_copy(update={"deployments": {"claims": deployment}})
        prepared = suites.prepare(read, ours, name=name)
        with told(f"  the real team: {name}", len(prepared.tasks)) as progress:
            return suites.run(prepared, None, jobs=jobs, step=progress)

    return side("rules", {}), side("policy", {"triage": Chooser(file=policy)})


def judged(where: str, sides: Sides) -> bool:
    """Whether the gate passes; prints why."""
    wanted = gate.Gate(metrics=("reward", "human_load"), violations="strict")
    verdict = gate.judge(*sides, wanted)
    print(f"  {where}, {len(sides[0].trials)} claims: {verdict.outcome}")
    for finding in verdict.findings:
        print(f"    {finding.rule}: {finding.reason}")
    return verdict.exit_code == 0


def agreement(model: Sides, real: Sides) -> tuple[int, int]:
    """How many of the claims earned the same with the real team as in the simulator, of how many."""
    equal = total = 0
    for promised, earned in zip(model, real, strict=True):
        known = {trial.case: trial.reward for trial in promised.trials}
        for trial in earned.trials:
            wanted = known[trial.case]
            assert wanted is not None
            equal += trial.reward is not None and abs(trial.reward - wanted) < CLOSE
            total += 1
    return equal, total
