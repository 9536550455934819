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
from gatewright.environments.claims.within import best_within
from gatewright.runtime.cli.desk import Desk, aligned, progress_bar
from gatewright.runtime.config import load
from gatewright.runtime.policies.artefact import Artefact, Data
from gatewright.runtime.policies.networks import Network
from gatewright.scenarios import evaluation, tuning
from gatewright.scenarios.tuning import choosers, seeds

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is done. `validation`, `held_out`: seeds, and claims of each; `tried`: of these, with the team, too.

    Trainings aim at no more violations of any kind than the rules; `limits` say what chance on other claims may add.
    """

    worked: int = 2_000
    q_steps: int = 8_000_000
    ppo_steps: int = 1_000_000
    validation: tuple[int, int] = (1_000, 200)
    held_out: tuple[int, int] = (400, 250)
    tried: tuple[int, int] = (6, 50)
    after: int = 50
    limits: tuning.Limits = tuning.Limits(violations=0.02)


FULL = Size()
QUICK = Size(
    worked=40,
    q_steps=20_000,
    ppo_steps=65_536,
    validation=(200, 250),
    held_out=(400, 250),
    tried=(1, 4),
    after=4,
    limits=tuning.Limits(violations=0.05),  # after so little training; on fewer claims even this cannot be shown
)


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
    print(_exactly(candidate.network))

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
            rows=tuning.Rows.of(log),
            data=data,
            validation=size.validation,
            held_out=size.held_out,
            limits=size.limits,
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


def _table(candidates: list[tuning.Candidate], proposed: tuning.Candidate) -> str:
    lines: list[tuple[Any, ...]] = [
        (
            ("> " if each is proposed else "  ") + each.algorithm,
            f"{each.standing.reward:.4f}",
            "{:+.4f} ({:+.4f} to {:+.4f})".format(*each.standing.gain),
            f"{each.standing.load.mean:.1f}",
            *(f"{rate.mean:.2%}" for rate in each.standing.violations.values()),
            ", ".join(each.standing.broken) or "kept",
        )
        for each in candidates
    ]
    kinds = proposed.standing.violations
    return aligned(("  policy", "reward", "gain over the rules (95 %)", "minutes", *kinds, "limits"), lines)


def _followed(network: Network) -> Any:
    """The desk's policies with this one at triage, as exact tables."""
    chosen = choosers.greedy(network)(TRIAGE_GRID.observations, TRIAGE_GRID.masks, TRIAGE_GRID.rules)
    return rules()._replace(triage=TRIAGE_GRID.certain(chosen))


def _exactly(network: Network) -> str:
    """What the model itself says of the rules, the policy and the best ones; nothing here is sampled.

    `best within` wrongs no more claims than the rules. Shares are of what can be gained over chance.
    """
    exact = solver()
    lines: list[tuple[Any, ...]] = []
    best, within = exact.best("triage"), best_within().policies
    whole = exact.share(within, "triage")
    for name, policies in (("rules", rules()), ("policy", _followed(network)), ("best within", within), ("best", best)):
        worth, share = exact.worth(policies), exact.share(policies, "triage")
        lines.append(
            (
                f"  {name}",
                f"{worth.value:.4f}",
                f"{share / whole:.1%}",
                f"{share:.1%}",
                f"{worth.minutes:.1f}",
                f"{worth.wrongly_paid:.2%}",
                f"{worth.wrongly_denied:.2%}",
            )
        )
    columns = ("  exactly", "reward", "of best within", "of best", "minutes", "paid wrongly", "refused wrongly")
    return aligned(columns, lines)


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
