"""`gatewright scenario run|from-run`: suites run on the real team, and made of runs that went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from gatewright.runtime.cli.desk import Desk, desk, facts, progress_bar
from gatewright.runtime.cli.grammar import Command

FAILED = 1
SHOWN = 20  # trials
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(cls=Command)
@click.argument("suite", type=FILE)
@click.option("-o", "--output", type=FILE, help="The result file; one that was broken off is gone on with.")
@click.option("--jobs", type=click.IntRange(1, 1024), default=1, show_default=True, help="Trials at the same time.")
@click.option("--case", "only", multiple=True, metavar="ID", help="Only this case; may be given more than once.")
@click.option("--trials", type=click.IntRange(1), help="Of each case, whatever the suite says.")
@desk
def run(desk: Desk, suite: Path, output: Path | None, jobs: int, only: Sequence[str], trials: int | None) -> int:
    """Run the trials of SUITE on the real team, each in a service and a world of its own that are thrown away.

    The result is a file of trials for `gatewright scenario gate`. Exit code 1 if a trial of a case with the severity
    `block` failed.
    """
    from gatewright.scenarios import suites
    from gatewright.scenarios.gate import reports

    name = suite.stem if output is None else output.stem
    prepared = suites.prepare(suites.read(suite), desk.config(), name=name, only=only, of_each=trials)
    total = len(prepared.tasks)
    with progress_bar(desk, total) as step:
        try:
            table = suites.run(prepared, output, jobs=jobs, step=step)
        except KeyboardInterrupt:
            if output is not None:
                desk.say(f"{output} holds what was done; the same command goes on with it")
            raise
    blocked = [trial for trial in table.trials if trial.severity == "block" and trial.success is False]
    wrong = [trial for trial in table.trials if trial.success is False]
    value = {
        "result": None if output is None else str(output),
        "name": table.name,
        "about": table.about,
        "trials": [trial.model_dump(mode="json", exclude_defaults=True) for trial in table.trials],
        "failed": len(wrong),
        "blocked": len(blocked),
    }
    document = reports.of_run(table)
    desk.show(value, lambda: reports.text(document))
    for trial in wrong[:SHOWN]:
        desk.say(f"{trial.case}, trial {trial.trial}: {trial.note}")
    if len(wrong) > SHOWN:
        desk.say(f"and {len(wrong) - SHOWN} more; --json has all")
    return FAILED if blocked else 0


@click.command(name="from-run", cls=Command)
@click.argument("run_id", metavar="RUN")
@click.option("-o", "--output", type=FILE, required=True, help="The suite's file; the episode is written beside it.")
@click.option("--expect", metavar="CEL", help="What should have come of it, as a check over the case.")
@desk
def from_run(desk: Desk, run_id: str, output: Path, expect: str | None) -> None:
    """Make a suite of RUN, which went wrong: it fails until that is mended.

    It gives the case what it was given, has people answer what they answered, and checks that it succeeds and asks for
    nothing that was refused, or what --expect says. The files hold what customers said: treat them like the database.
    """
    from gatewright.agents.errors import UsageError
    from gatewright.runtime import episodes
    from gatewright.runtime.cli.clients import connect
    from gatewright.runtime.policy import backtest
    from gatewright.scenarios.suites import regressions

    async def look() -> regressions.Looked:
        async with connect(desk.config()) as client:
            return await regressions.look(client, run_id)

    if output.exists():
        raise UsageError(f"there is a file {str(output)!r} already; name another, or remove it")
    looked = desk.run(look())
    with backtest.ledger(desk.store()) as engine, engine.connect() as connection:
        episode = episodes.read(connection, looked.run.case_id)
    recording = f"{output.stem}.episode.jsonl.gz"
    document = regressions.suite(looked, episode, expect=expect, recording=recording)
    regressions.write(output, document, episode)
    wanted = document["cases"][0]["checks"]
    value = {"suite": str(output), "episode": str(output.with_name(recording)), "checks": wanted}
    desk.show(value, lambda: facts({**value, "checks": ", ".join(wanted), "next": f"gatewright scenario run {output}"}))
