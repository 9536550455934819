"""`gatewright scenario import|export`: episodes from other harnesses, and for other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from gatewright.agents.errors import UsageError
from gatewright.runtime.cli.desk import Desk, desk, facts
from gatewright.runtime.cli.grammar import Command
from gatewright.runtime.files import replacing

EMPTY = 3


@click.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file.")
@desk
def take(desk: Desk, file: Path, output: Path) -> int:
    """Write the recordings in FILE, of tau-bench, tau2-bench or Who&When, as a file of episodes.

    Formats are told apart by what a file holds. What was not recorded stays unknown: times, costs, what people decided.
    Exit code 3 if there was nothing to write.
    """
    from gatewright.scenarios.episodes import files
    from gatewright.scenarios.importers import episodes, read

    found = read(file).recordings
    with files.writing(output) as writer:
        for recording in found:
            writer.write(episodes.recorded(recording))
    failures = [each.failure for each in found if each.failure is not None]
    value = {
        "file": str(output),
        "episodes": len(found),
        "rewards": sum(each.reward is not None for each in found),
        "labelled": len(failures),
        "inconsistent_labels": sum(each.finding is not None for each in failures),
        "bytes": output.stat().st_size,
    }
    desk.show(value, lambda: facts({name.replace("_", " "): shown for name, shown in value.items()}))
    return 0 if found else EMPTY


@click.command(cls=Command)
@click.argument("paths", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file.")
@click.option("--point", help="Only decisions of this decision point.")
@desk
def give(desk: Desk, paths: Sequence[Path], output: Path, point: str | None) -> int:
    """Write the decisions in FILEs of episodes as JSON Lines, one a line, for other programs.

    A line has the features, the options, those that were closed and why, the option taken with its propensity and
    policy, and the reward of the episode. Exit code 3 if there is none.
    """
    from gatewright.scenarios.episodes import read
    from gatewright.scenarios.episodes.decisions import decisions

    count = 0
    try:
        with replacing(output) as draft, draft.open("w", encoding="utf-8") as stream:
            for path in paths:
                for recorded in read(path):
                    for row in decisions(recorded, point):
                        stream.write(json.dumps(row, ensure_ascii=False) + "\n")
                        count += 1
    except OSError as error:
        raise UsageError(f"cannot write decisions to {str(output)!r}: {error.strerror}") from error
    value = {"file": str(output), "decisions": count}
    desk.show(value, lambda: facts(value))
    return 0 if count else EMPTY
