"""`gatewright tune evaluate`: what a policy would have earned on what is on record."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatewright.agents.wording import counted
from gatewright.runtime.cli.desk import Desk, aligned, desk, facts
from gatewright.runtime.cli.grammar import Command

from .logged import recorded

if TYPE_CHECKING:
    from gatewright.scenarios.evaluation import Evaluation

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(cls=Command)
@click.argument("log", type=FILE)
@click.option("--policy", required=True, type=FILE, help="The policy to evaluate.")
@click.option("--rewards", type=FILE, help="What cases earned, as JSON {CASE: NUMBER}; without, what LOG says of it.")
@click.option(
    "--margin",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="How much less a case than what was done it may earn, in the reward's unit.",
)
@desk
def evaluate(desk: Desk, log: Path, policy: Path, rewards: Path | None, margin: float) -> int:
    """Evaluate a policy by the decisions in LOG, a file of episodes that `gatewright scenario record` wrote.

    Exit code 0 if it is shown to earn more than what was done (or less by less than the margin), 1 if it is shown to
    earn less, 3 if neither is shown, or if the log does not support the policy: too few of its choices were made, or
    they were made for certain.
    """
    from gatewright.runtime.policies import artefact
    from gatewright.scenarios import evaluation

    made = artefact.load(policy)
    decisions, earned = recorded(log, made.manifest.point, rewards)
    found = evaluation.of_decisions(decisions, made, earned)
    judged = evaluation.evaluate(found.logged, margin=margin)
    value = {**asdict(judged), "left_out": list(found.left_out), "exit_code": judged.exit_code}
    desk.show(value, lambda: text(judged, left_out=len(found.left_out)))
    return judged.exit_code


def text(judged: Evaluation, *, left_out: int = 0) -> str:
    """The evaluation for a person."""
    support = judged.support
    rows: list[tuple[Any, ...]] = [
        (
            each.estimator,
            f"{each.value:.4g}",
            f"{each.interval.low:.4g} to {each.interval.high:.4g}",
            f"{each.gain.low:+.4g} to {each.gain.high:+.4g}",
        )
        for each in judged.estimates
    ]
    rows.append(("direct method", f"{judged.prediction.value:.4g}", "none, it only ranks", "-"))
    told = {
        "cases": f"{support.cases}, worth {support.ess:.0f} of the policy's own",
        "left out": f"{counted(left_out, 'case')} whose reward is not known" if left_out else None,
        "what was done": f"{judged.estimates[0].logged:.4g} a case" if judged.estimates else None,
        "overlap": f"{support.overlap:.2f}",
        "weights": f"mean {support.mean_weight:.3f}, largest {support.max_weight:.3g}",
    }
    table = aligned(("estimator", "reward", "95 % interval", "gain"), rows)
    return f"{table}\n\n{facts(told)}\n\n{judged.outcome.upper()}: {judged.reason}"
