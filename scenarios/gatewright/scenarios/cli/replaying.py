"""`gatewright scenario replay`: recorded episodes run again, and what came out differently."""

from __future__ import annotations

from pathlib import Path

import click

from gatewright.runtime.cli.desk import Desk, desk
from gatewright.runtime.cli.grammar import Command

from . import strictly

DIFFERS = 1
MODES = ("strict", "tools-live")


@click.command(cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE [CANDIDATE]", type=click.Path(path_type=Path))
@click.option(
    "--mode",
    type=click.Choice(MODES),
    required=True,
    help="strict: everything from the record · tools-live: every tool call executed in the world.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder of the world's data set; without it, that of FILE.",
)
@desk
def replay(desk: Desk, files: tuple[Path, ...], mode: str, data: Path | None) -> int:
    """Run the recorded episodes in FILE again and name what comes out differently.

    strict runs the teams of the configuration, with every effect answered from the record, and names the first one
    that comes out differently. It reads what `gatewright scenario record` writes; nothing leaves the process.

    tools-live reads tau-bench's airline files and tau2-bench's retail files. With a second file, a candidate's on the
    same tasks, the tasks that it fixed and broke are named.

    Exit code 1 if a tool result or a reward differs, or an episode is not one of its task.
    """
    if mode == "strict":
        if data is not None:
            raise click.UsageError("--data belongs to --mode tools-live; a strict replay opens no world")
        return strictly.replay(desk, files)
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
    return DIFFERS if any(each.report.diverged for each in replays) else 0
