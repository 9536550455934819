"""`gatewright audit explain`: why a decision came out as it did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatewright.runtime.cli.clients import BY, acting, connect
from gatewright.runtime.cli.desk import Desk, aligned, desk, facts
from gatewright.runtime.cli.grammar import LARGEST, Command

if TYPE_CHECKING:
    from gatewright.runtime.config import Config
    from gatewright.runtime.policies.artefact import Artefact
    from gatewright.scenarios.explanations.decisions import Explained

WIDTH = 24  # characters of the longest bar


@click.command("explain", cls=Command)
@click.argument("decision", type=click.IntRange(0, LARGEST))
@click.option("--against", metavar="OPTION", help="Why not this one? Without: the runner-up.")
@click.option("--exact", is_flag=True, help="All coalitions of up to 14 features, instead of a sample with errors.")
@click.option("--seed", type=click.IntRange(0, LARGEST), default=0, show_default=True, help="Of the sample.")
@click.option(
    "--policy", "files", multiple=True, type=click.Path(path_type=Path, dir_okay=False), help="A policy file, too."
)
@click.option("--log", is_flag=True, help="Record the explanation in the ledger, so that it can be computed again.")
@click.option("--by", help=BY)
@desk
def explain(
    desk: Desk,
    decision: int,
    against: str | None,
    exact: bool,
    seed: int,
    files: Sequence[Path],
    log: bool,
    by: str | None,
) -> None:
    """Explain DECISION, an index of the ledger: why this option rather than another.

    It was made by a learned policy, whose file the configuration names, or --policy. Values are in log odds, against
    the newest 1,000 decisions of the same point before it.
    """
    from gatewright.scenarios.explanations.decisions import declared, explain_decision

    async def ask() -> Explained:
        config = desk.config()
        async with connect(config) as client:
            view = await client.record(decision)
            deployment, effect = view.record["deployment"], view.record["effect"] or {}
            found = await explain_decision(
                client,
                decision,
                _artefacts(config, files),
                against=against,
                exact=exact,
                seed=seed,
                allowed=declared(config, deployment, str(effect.get("name", ""))),
            )
            if log:
                who = await acting(client, config, by)
                await client.note_explanation(decision, found.record, by=who.name)
            return found

    found = desk.run(ask())
    desk.show(found.plain(), lambda: _described(found))
    if log:
        desk.say("recorded in the ledger")


def _artefacts(config: Config, files: Sequence[Path]) -> list[Artefact]:
    from gatewright.runtime.policies import artefact

    configured = {
        chooser.file
        for deployment in config.deployments.values()
        for chooser in deployment.policies.values()
        if chooser.file is not None
    }
    return [artefact.load(file) for file in (*files, *sorted(configured))]


def _described(found: Explained) -> str:
    told = found.contrast
    said = facts(
        {
            "decision": found.view.index,
            "point": found.point,
            "policy": found.policy,
            "chosen": told.option,
            "decided by": found.approver or None,
            "why not": told.against,
        }
    )
    longest = max((abs(bar.value) for bar in told.bars), default=0.0) or 1.0
    rows = [
        (
            str(bar.rank),
            bar.feature,
            found.features.get(bar.feature),
            f"{bar.value:+.3f}",
            f"± {2 * bar.error:.3f}",
            ("+" if bar.value > 0 else "-") * round(WIDTH * abs(bar.value) / longest) or ".",
        )
        for bar in told.bars
    ]
    bars = aligned(("rank", "feature", "value", "log odds", "2 SE", "for + / against -"), rows)
    return "\n".join(
        [
            said,
            "",
            f"log odds of {told.option} against {told.against}: {told.output:+.3f}, usually {told.base:+.3f}; the rest",
            "",
            bars,
            "",
            *_notes(found),
        ]
    )


def _notes(found: Explained) -> list[str]:
    lines = ["chances   " + ", ".join(f"{option} {share:.3f}" for option, share in found.chances.items())]
    lines += [f"closed    {option}: {reason}" for option, reason in found.closed.items()]
    if found.change is not None:
        steps = " and ".join(f"{step.feature} {step.before} to {step.after}" for step in found.change.steps)
        lines.append(f"change    {steps}: then {found.change.option}")
    else:
        lines.append("change    none of one or two features was found that flips the choice")
    method, reference = found.record["method"], found.record["reference"]
    lines.append(f"method    {method['name']}, {method['evaluations']} evaluations; {reference['query']}")
    lines.append(
        f"          ({reference['rows']} rows, records {reference['first']} to {reference['last']}); "
        f"{found.attribution.off_support:.0%} of the combinations are unlike any of them"
    )
    if not found.attribution.settled:
        lines.append("          errors are larger than asked for: the budget of evaluations was used up")
    return lines
