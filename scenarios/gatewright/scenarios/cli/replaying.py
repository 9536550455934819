"""`gatewright scenario replay`: recorded episodes run again, and what came out differently."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from gatewright.runtime.cli.desk import Desk, desk
from gatewright.runtime.cli.grammar import Command

from . import branching, strictly
from .branching import Candidate

DIFFERS = 1
NOTHING = 3
MODES = ("strict", "tools-live", "counterfactual")


@click.command(cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE [CANDIDATE]", type=click.Path(path_type=Path))
@click.option(
    "--mode",
    type=click.Choice(MODES),
    required=True,
    help="strict: everything from the record · tools-live: every tool call executed in the world · "
    "counterfactual: what another policy or other rules would have made of it.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder of the world's data set; without it, that of FILE.",
)
@click.option("--policy", "policies", multiple=True, metavar="POINT=FILE", help="Counterfactual: a learned policy.")
@click.option(
    "--rules", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Counterfactual: a rule pack."
)
@click.option("--simulate", is_flag=True, help="Counterfactual: go on in the simulated world off the record.")
@click.option(
    "--approvals",
    type=click.Choice(("approve", "reject")),
    help="Counterfactual: what people answer off the record; without it, the replay stops there.",
)
@desk
def replay(
    desk: Desk,
    files: tuple[Path, ...],
    mode: str,
    data: Path | None,
    policies: tuple[str, ...],
    rules: Path | None,
    simulate: bool,
    approvals: Literal["approve", "reject"] | None,
) -> int:
    """Run the recorded episodes in FILE again and name what comes out differently.

    strict runs the teams of the configuration, with every effect answered from the record, and names the first one
    that comes out differently. It reads what `gatewright scenario record` writes; nothing leaves the process.

    counterfactual does the same with the configuration, or the policies and rules that are given, and goes on where
    they leave the record: to the first thing that nobody can say, or on in the simulated world. What is off the record
    is marked, and nothing is executed outside of a simulated world.

    tools-live reads tau-bench's airline files and tau2-bench's retail files. With a second file, a candidate's on the
    same tasks, the tasks that it fixed and broke are named.

    Exit code 1 if a tool result or a reward differs, or an episode is not one of its task; 3 if there are no episodes.
    """
    candidate = Candidate(policies=policies, rules=rules, simulate=simulate, approvals=approvals)
    if data is not None and mode != "tools-live":
        raise click.UsageError(f"--data belongs to --mode tools-live; {mode} reads no data set")
    if candidate != Candidate() and mode != "counterfactual":
        raise click.UsageError(
            f"--policy, --rules, --simulate and --approvals belong to --mode counterfactual, not {mode}"
        )
    if mode == "strict":
        return strictly.replay(desk, files)
    if mode == "counterfactual":
        return branching.replay(desk, files, candidate)
    return _tools_live(desk, files, data)


def _tools_live(desk: Desk, files: tuple[Path, ...], data: Path | None) -> int:
    from gatewright.scenarios.replay import toolslive, wording

    if len(files) > 2:
        raise click.UsageError(f"{len(files)} files were named; tools-live takes one, or a baseline and a candidate")
    replays = [toolslive.replay(file, data) for file in files]
    reports = {str(file): each.report for file, each in zip(files, replays, strict=True)}
    parts = [wording.table(reports), *(wording.divergences(report.diverged) for report in reports.values())]
    if len(replays) == 1:
        value = replays[0].report.model_dump(exclude_none=True)
    else:
        tasks = toolslive.turned(*replays)
        sides = zip(("baseline", "candidate"), replays, strict=True)
        value = {name: each.report.model_dump(exclude_none=True) for name, each in sides} | tasks.model_dump()
        parts.append(wording.turned(tasks))
    desk.show(value, lambda: "\n\n".join(part for part in parts if part))
    if any(each.report.diverged for each in replays):
        return DIFFERS
    return 0 if all(each.report.episodes for each in replays) else NOTHING
