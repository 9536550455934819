"""Going round the loop once; `loop.py` says in which steps."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import proof
from office import Worked, work

from gatewright.environments.claims.grid import TRIAGE_GRID
from gatewright.environments.claims.optimum import rules, solver
from gatewright.environments.claims.simulator import TRIAGE
from gatewright.runtime.cli.desk import Desk, aligned, progress_bar
from gatewright.runtime.config import load
from gatewright.runtime.policies.artefact import Artefact, Data
from gatewright.runtime.policies.networks import Network
from gatewright.scenarios import evaluation, tuning
from gatewright.scenarios.tuning import choosers, seeds

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is done. `held_out`: seeds, and claims of each; `tried`: those that the real team is tried on, too."""

    worked: int = 2_000
    q_steps: int = 8_000_000
    ppo_steps: int = 1_000_000
    held_out: tuple[int, int] = (400, 50)
    tried: tuple[int, int] = (6, 50)
    after: int = 50


FULL = Size()
QUICK = Size(worked=40, q_steps=20_000, ppo_steps=65_536, held_out=(200, 20), tried=(1, 4), after=4)


def go_round(folder: Path, seed: int, size: Size, *, twice: bool, jobs: int) -> int:
    """Go round the loop once. Exit code 0 if a better policy was put in place, 1 if the rules stay."""
    config = folder / "gatewright.toml"
    shutil.copy(HERE / config.name, config)
    first = seeds.worlds(seed, "logged")
    with _told("1 work", size.worked) as progress:
        worked = asyncio.run(work(config, [(first, number) for number in range(size.worked)], progress))
    print(f"  {worked.approvals} payouts approved by people, {worked.seconds:.0f} s; {_counts(worked.policies)}")

    found, candidate = _tuned(seed, size, worked)
    if twice:
        again, same = _tuned(seed, size, worked)
        equal = _version(found, candidate) == _version(again, same)
        print(f"  tuned twice with seed {seed}: the policies are {'equal' if equal else 'NOT equal'}")
        if not equal:
            return 1
    if candidate.network is None:
        print("  the rules stay: nothing was shown to be better")
        return 1
    made = found.artefact(candidate)
    print(f"  {_share(candidate.network)}")

    print("3 judge")
    _judge(made, worked)
    print("4 gate")
    policy = folder / "policies" / f"triage-{made.version[:12]}.policy"
    policy.parent.mkdir(exist_ok=True)
    made.save(policy)
    model = proof.simulated(found, candidate)
    settings, held_out = load(config, environ={}), seeds.worlds(seed, "held-out")
    real = proof.tried(settings, policy, held_out, size.tried, jobs, _told)
    passed = [proof.judged("simulator", model), proof.judged("real team", real)]
    print(
        "  {} of {} claims earned the same with the real team as in the simulator".format(*proof.agreement(model, real))
    )
    if not all(passed):
        print("  the rules stay: the gate did not pass")
        return 1

    deploy(config, policy, made)
    with _told("5 deploy", size.after) as progress:
        after = asyncio.run(work(config, [(first, size.worked + number) for number in range(size.after)], progress))
    print(f"  {config} names {policy.name}; {_counts(after.policies)}")
    return 0


def _tuned(seed: int, size: Size, worked: Worked) -> tuple[tuning.Tuned, tuning.Candidate]:
    """Both algorithms, and which of all candidates is proposed, with the tuning that it comes from."""
    log = worked.log
    data = Data(source="claims at triage", decisions=len(log), first=int(log.positions[0]), last=int(log.positions[-1]))
    done: list[tuning.Tuned] = []
    for name, steps in (("q-learning", size.q_steps), ("maskable-ppo", size.ppo_steps)):
        order = tuning.Order(
            simulator=TRIAGE,
            algorithm=tuning.named(name),
            seed=seed,
            steps=steps,
            rows=_rows(worked),
            data=data,
            held_out=size.held_out,
        )
        with _told(f"2 tune {name}", order.planned) as progress:
            done.append(tuning.tune(order, progress))
    candidates = [*done[0].candidates, done[1].candidates[-1]]
    proposed = tuning.proposal(candidates, done[0].order.limits)
    print(_table(candidates, proposed))
    return next(each for each in done if any(one is proposed for one in each.candidates)), proposed


def _judge(made: Artefact, worked: Worked) -> None:
    """What the claims that the rules have worked on say about the policy: a look, not the gate."""
    logged = evaluation.of_log(worked.log, made)
    found = evaluation.evaluate(logged)
    print(
        f"  on {len(logged.actions)} logged claims, of which {found.support.ess:.0f} tell as much as claims of its own:"
    )
    for each in found.estimates:
        (low, high), (less, more) = each.interval, each.gain
        value = f"{each.value:.4f} ({low:.4f} to {high:.4f})"
        print(f"  {each.estimator:<6} {value}, over what was done {less:+.4f} to {more:+.4f}")
    print(f"  {found.outcome}: {found.reason}")


def _rows(worked: Worked) -> tuning.Rows:
    log = worked.log
    return tuning.Rows(log.observations, log.opened, log.actions, log.propensities, log.rewards)


def _table(candidates: list[tuning.Candidate], proposed: tuning.Candidate) -> str:
    lines: list[tuple[Any, ...]] = []
    for each in candidates:
        stands = each.standing
        lines.append(
            (
                ("> " if each is proposed else "  ") + each.algorithm,
                f"{stands.reward:.4f}",
                f"{stands.gain.mean:+.4f} ({stands.gain.low:+.4f} to {stands.gain.high:+.4f})",
                f"{stands.load:.1f}",
                f"{stands.violations:g}",
                "" if each.network is None else f"{_gained(each.network):.3f}",
            )
        )
    return aligned(("  policy", "reward", "gain over the rules (95 %)", "minutes", "violations", "share"), lines)


def _followed(network: Network) -> Any:
    """The desk's policies with this one at triage, as exact tables."""
    chosen = choosers.greedy(network)(TRIAGE_GRID.observations, TRIAGE_GRID.masks, TRIAGE_GRID.rules)
    return rules()._replace(triage=TRIAGE_GRID.certain(chosen))


def _gained(network: Network) -> float:
    return solver().share(_followed(network), "triage")


def _share(network: Network) -> str:
    exact = solver()
    value, own = exact.worth(_followed(network)).value, exact.worth(rules()).value
    best = exact.worth(exact.best("triage")).value
    return (
        f"exactly worth {value:.4f} thousand euros a claim, the rules {own:.4f}, the best triage {best:.4f}: "
        f"{value / best:.1%} of the optimum, {_gained(network):.1%} of what it gains over chance "
        f"(the rules {exact.share(rules(), 'triage'):.1%})"
    )


def _version(found: tuning.Tuned, candidate: tuning.Candidate) -> str:
    return "" if candidate.network is None else found.artefact(candidate).version


def deploy(config: Path, policy: Path, made: Artefact) -> None:
    """Have the configuration name the policy and its version, in place of the rules."""
    text = config.read_text("utf-8")
    named = f'file = "{policy.relative_to(config.parent)}"\nversion = "{made.version}"\n'
    config.write_text(text.replace("explore = 0.2\n", named), "utf-8")


@contextmanager
def _told(title: str, total: int) -> Generator[Callable[[int], None]]:
    print(title, flush=True)
    with progress_bar(Desk(), total) as progress:
        yield progress


def _counts(counted: dict[str, int]) -> str:
    return ", ".join(f"{number} by {title}" for title, number in counted.items())
