"""`gatewright tune start`: learn a policy for a decision point, beside simpler ones."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatewright.runtime.cli.desk import Desk, aligned, desk, facts, progress_bar
from gatewright.runtime.cli.grammar import Command

from .logged import recorded

if TYPE_CHECKING:
    from gatewright.environments.simulators import Simulator
    from gatewright.runtime.policies.artefact import Data
    from gatewright.scenarios.tuning import Candidate, Rows, Tuned
    from gatewright.scenarios.tuning.searching import Search

KEPT = 1
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(cls=Command)
@click.argument("point")
@click.option(
    "--algo",
    type=click.Choice(["maskable-ppo", "ppo", "dqn", "q-learning", "logistic"]),
    default="maskable-ppo",
    show_default=True,
    help="What learns; current rules, a majority and a logistic model always stand beside it.",
)
@click.option("-o", "--output", type=FILE, help="Write the proposed policy here.")
@click.option("--steps", type=click.IntRange(1), help="Decisions of one training; without: what suits the algorithm.")
@click.option("--trials", type=click.IntRange(0), default=0, show_default=True, help="How many settings to try.")
@click.option(
    "--search",
    type=click.Choice(["grid", "random", "bayesian"]),
    default="bayesian",
    show_default=True,
    help="How settings are chosen.",
)
@click.option("--seeds", type=click.IntRange(3), default=3, show_default=True, help="Trainings of each settings.")
@click.option("--seed", type=click.IntRange(0, 2**20 - 1), default=0, show_default=True, help="Determines all.")
@click.option(
    "--load-margin",
    type=click.FloatRange(0),
    default=0.05,
    show_default=True,
    help="More work for people than with the rules that is allowed, as a share.",
)
@click.option(
    "--violations-margin",
    type=click.FloatRange(0),
    default=0.05,
    show_default=True,
    help="More violations of a kind than with the rules that are allowed, as a share; 0 of what the rules never do.",
)
@click.option(
    "--log", type=FILE, help="Episodes for the simple models to learn from; without, the rules are simulated."
)
@click.option("--rewards", type=FILE, help="What cases of --log earned, as JSON {CASE: NUMBER}.")
@click.option(
    "--explore", type=click.FloatRange(0, 0.2), default=0.0, help="The share that the written policy leaves to chance."
)
@desk
def start(
    desk: Desk,
    point: str,
    algo: str,
    output: Path | None,
    steps: int | None,
    trials: int,
    search: Search,
    seeds: int,
    seed: int,
    load_margin: float,
    violations_margin: float,
    log: Path | None,
    rewards: Path | None,
    explore: float,
) -> int:
    """Learn a policy for POINT: a simulator such as `claims.triage`, or `module:attribute`.

    What is compared are cases that neither the search nor a training has seen. A policy is proposed only if it keeps
    the limits on violations and people's work, and if the 95 % interval of its gain over each simpler proposal lies
    above zero.

    Exit code 0 if a policy is proposed, 1 if the current rules stay.
    """
    from gatewright.agents.errors import UsageError
    from gatewright.environments import simulators
    from gatewright.scenarios import tuning

    if rewards is not None and log is None:
        raise UsageError(f"--rewards {str(rewards)!r} says what cases of a log earned; name the episodes with --log")
    if output is not None and not output.parent.is_dir():
        raise UsageError(f"cannot write {str(output)!r}: there is no folder {str(output.parent)!r}; make it first")
    simulator = simulators.named(point)
    rows, data = (None, None) if log is None else logged(simulator, log, rewards)
    order = tuning.Order(
        simulator=simulator,
        algorithm=tuning.named(algo),
        seed=seed,
        steps=steps,
        trials=trials,
        how=search,
        repeats=seeds,
        limits=tuning.Limits(load=load_margin, violations=violations_margin),
        rows=rows,
        data=data,
    )
    with progress_bar(desk, order.planned) as progress:
        found = tuning.tune(order, progress)
    written = _written(found, output, explore)
    desk.show(plain(found) | {"written": written}, lambda: text(found))
    if written is not None:
        desk.say(f"wrote {output}, version {written}")
    return 0 if found.proposed.network is not None else KEPT


def logged(simulator: Simulator, log: Path, rewards: Path | None) -> tuple[Rows, Data]:
    """The decisions on record at a simulator's point; cases whose reward is not known are left out."""
    from gatewright.agents.errors import UsageError
    from gatewright.environments.decisions.logs import Log
    from gatewright.runtime.policies.artefact import Data
    from gatewright.scenarios import tuning

    found = recorded(log, simulator.point.name, rewards)
    known = [each for each in found.decisions if each.case_id in found.earned]
    if not known:
        raise UsageError(
            f"{str(log)!r} has no decision at {simulator.point.name!r} with a known reward "
            f"({len(found.decisions)} have none); record rewards with the episodes (`--score`), or name them with "
            "--rewards"
        )
    arrays = Log.of(simulator.point, known, found.earned, encoding=simulator.encoding)
    first, last = int(arrays.positions.min()), int(arrays.positions.max())
    with log.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    return tuning.Rows.of(arrays), Data(source=log.name, decisions=len(arrays), first=first, last=last, sha256=digest)


def _written(found: Tuned, output: Path | None, explore: float) -> str | None:
    if output is None or found.proposed.network is None:
        return None
    made = found.artefact(found.proposed, explore=explore)
    made.save(output)
    return made.version


def plain(found: Tuned) -> dict[str, Any]:
    """The result as JSON."""
    return {
        "point": found.order.simulator.point.name,
        "algorithm": found.order.algorithm.name,
        "seed": found.order.seed,
        "trials": [trial._asdict() for trial in found.trials],
        "prices": dict(found.prices),
        "settings": dict(found.settings),
        "trainings": [_plain(each) for each in found.repeats],
        "candidates": [_plain(each) for each in found.candidates],
        "proposed": found.proposed.algorithm,
    }


def _plain(candidate: Candidate) -> dict[str, Any]:
    stands = candidate.standing
    return {
        "algorithm": candidate.algorithm,
        "training": candidate.training,
        "reward": stands.reward,
        "gain": list(stands.gain),
        "load": stands.load._asdict(),
        "violations": {kind: rate._asdict() for kind, rate in stands.violations.items()},
        "broken": list(stands.broken),
    }


def text(found: Tuned) -> str:
    """The result for a person."""
    count, episodes = found.order.held_out
    kinds = list(found.candidates[0].standing.violations)
    columns = ("policy", "reward", "gain", "95 % interval", "minutes", *kinds, "limits")
    rows = [
        (
            each.algorithm,
            f"{each.standing.reward:.4f}",
            f"{each.standing.gain.mean:+.4f}",
            f"{each.standing.gain.low:+.4f} to {each.standing.gain.high:+.4f}",
            f"{each.standing.load.mean:.1f}",
            *(f"{rate.mean:.2%}" for rate in each.standing.violations.values()),
            ", ".join(name for name, rate in each.standing.limited.items() if not rate.kept) or "kept",
        )
        for each in found.candidates
    ]
    trainings = ", ".join(f"{each.standing.reward:.4f}" for each in found.repeats)
    told = {
        "held out": f"{count * episodes} episodes of {count} seeds; gains are over the rules, case by case",
        "prices": ", ".join(f"{name} {price:.3g}" for name, price in found.prices.items()) or None,
        "settings": ", ".join(f"{name} {value}" for name, value in found.settings.items()),
        "trainings": f"{trainings} (fresh seeds; the one that validated best stands above)",
        "trials": _best(found) if found.trials else None,
        "proposed": found.proposed.algorithm + ("" if found.proposed.network else " (stay as they are)"),
    }
    return f"{aligned(columns, rows)}\n\n{changes(found.candidates)}\n\n{facts(told)}"


def changes(candidates: Sequence[Candidate]) -> str:
    """What candidates change beside the reward, with intervals, and what is allowed."""
    rows = [
        (
            each.algorithm,
            name,
            f"{rate.change.mean:+.4g}",
            f"{rate.change.low:+.4g} to {rate.change.high:+.4g}",
            f"{rate.allowed:+.4g}",
            "kept" if rate.kept else "BROKEN",
        )
        for each in candidates
        for name, rate in each.standing.limited.items()
        if any(rate.change)
    ]
    return aligned(("policy", "limited", "change an episode", "95 % interval", "allowed", ""), rows)


def _best(found: Tuned) -> str:
    best = found.trials[0]
    kept = "none kept the limits" if best.median is None else f"best median {best.median:.4f} of {best.rewards}"
    return f"{len(found.trials)}, {kept}"
