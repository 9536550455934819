"""`gatewright tune start`: learn a policy for a decision point, beside simpler ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatewright.runtime.cli.desk import Desk, aligned, desk, facts, progress_bar
from gatewright.runtime.cli.grammar import Command

if TYPE_CHECKING:
    from gatewright.scenarios.tuning import Candidate, Tuned
    from gatewright.scenarios.tuning.searching import Search

KEPT = 1


@click.command(cls=Command)
@click.argument("point")
@click.option(
    "--algo",
    type=click.Choice(["maskable-ppo", "ppo", "dqn", "q-learning", "logistic"]),
    default="maskable-ppo",
    show_default=True,
    help="What learns; current rules, a majority and a logistic model always stand beside it.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the proposed policy here.")
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
    default=0.0,
    show_default=True,
    help="More violations an episode than with the rules that are allowed.",
)
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
    explore: float,
) -> int:
    """Learn a policy for POINT: a simulator such as `claims.triage`, or `module:attribute`.

    What is compared are cases that neither the search nor a training has seen. A policy is proposed only if it keeps
    the limits on violations and people's work, and if the 95 % interval of its gain over each simpler proposal lies
    above zero.

    Exit code 0 if a policy is proposed, 1 if the current rules stay.
    """
    from gatewright.environments import simulators
    from gatewright.scenarios import tuning

    order = tuning.Order(
        simulator=simulators.named(point),
        algorithm=tuning.named(algo),
        seed=seed,
        steps=steps,
        trials=trials,
        how=search,
        repeats=seeds,
        limits=tuning.Limits(load=load_margin, violations=violations_margin),
    )
    with progress_bar(desk, order.planned) as progress:
        found = tuning.tune(order, progress)
    written = _written(found, output, explore)
    desk.show(plain(found) | {"written": written}, lambda: text(found))
    if written is not None:
        desk.say(f"wrote {output}, version {written}")
    return 0 if found.proposed.network is not None else KEPT


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
        "load": stands.load,
        "load_change": list(stands.load_change),
        "violations": stands.violations,
        "broken": list(stands.broken),
    }


def text(found: Tuned) -> str:
    """The result for a person."""
    count, episodes = found.order.held_out
    columns = ("policy", "reward", "gain", "95 % interval", "minutes", "violations", "limits")
    rows = [
        (
            each.algorithm,
            f"{each.standing.reward:.4f}",
            f"{each.standing.gain.mean:+.4f}",
            f"{each.standing.gain.low:+.4f} to {each.standing.gain.high:+.4f}",
            f"{each.standing.load:.1f}",
            f"{each.standing.violations:.4g}",
            "; ".join(each.standing.broken) or "kept",
        )
        for each in found.candidates
    ]
    trainings = ", ".join(f"{each.standing.reward:.4f}" for each in found.repeats)
    told = {
        "held out": f"{count * episodes} episodes of {count} seeds; gains are over the rules, case by case",
        "settings": ", ".join(f"{name} {value}" for name, value in found.settings.items()),
        "trainings": f"{trainings} (fresh seeds; the one that validated best stands above)",
        "trials": _best(found) if found.trials else None,
        "proposed": found.proposed.algorithm + ("" if found.proposed.network else " (stay as they are)"),
    }
    return f"{aligned(columns, rows)}\n\n{facts(told)}"


def _best(found: Tuned) -> str:
    best = found.trials[0]
    kept = "none kept the limits" if best.median is None else f"best median {best.median:.4f} of {best.rewards}"
    return f"{len(found.trials)}, {kept}"
