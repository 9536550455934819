"""`gatewright scenario record`: cases of the ledger, as a file of episodes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path

import click

from gatewright.agents.errors import NotFoundError, UsageError
from gatewright.runtime.cli.backtests import selecting
from gatewright.runtime.cli.desk import Desk, desk, facts
from gatewright.runtime.cli.grammar import Command
from gatewright.runtime.cli.packs import progress

EMPTY = 3
NAMED = 5  # cases that a message names


@click.command(cls=Command)
@click.argument("cases", nargs=-1, metavar="[CASE]...")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file.")
@click.option("--score", is_flag=True, help="Ask the simulated world that cases were in what each has earned.")
@selecting
@desk
def record(
    desk: Desk,
    cases: Sequence[str],
    output: Path,
    score: bool,
    deployment: str | None,
    since: datetime | None,
    case: str | None,
    limit: int | None,
) -> int:
    """Write CASEs (thread ids), or all that are chosen, to a file of episodes.

    An episode is all that a case did: `gatewright scenario replay FILE --mode strict` runs it again. The file is
    compressed where its name ends with `.gz`, and holds what customers said: treat it like the database. Cases with
    runs that have not ended are left out. Reads the database; a running service is no hindrance.

    The reward of an episode is what learning and off-policy evaluation go by. With --score it is asked of the
    deployment's world, if that prices what happens in it, as the claims desk does.

    Exit code 3 if there was nothing to write.
    """
    from gatewright.runtime import episodes
    from gatewright.runtime.policy import backtest
    from gatewright.scenarios.episodes import files, scores

    if case is not None:
        cases = (*cases, case)
    if cases and (deployment or since or limit):
        raise UsageError("name cases, or choose them with --deployment, --since and --limit, not both")
    left: list[str] = []
    written = scored = 0
    with backtest.ledger(desk.store()) as engine:
        known = backtest.Selection(deployment=deployment, since=since, limit=limit).ids(engine)
        if unknown := sorted(set(cases) - set(known)):
            raise NotFoundError(f"the ledger has no case {unknown[0]!r} here; `gatewright run list` shows what ran")
        chosen = list(dict.fromkeys(cases)) or known
        rewards = scores.opened(desk.config()) if score else nullcontext(scores.unknown)
        with rewards as earned, files.writing(output) as writer, progress(desk, len(chosen)) as step:
            for name in chosen:
                with engine.connect() as connection:
                    episode = episodes.read(connection, name)
                if episode.ended:
                    reward = earned(episode)
                    scored += reward is not None
                    writer.write(files.Recorded(episode=episode, versions=files.versions(), reward=reward))
                    written += 1
                else:
                    left.append(name)
                step(1)
    if left:
        shown = ", ".join(left[:NAMED]) + (f" and {len(left) - NAMED} more" if len(left) > NAMED else "")
        desk.say(f"left out, since they have not ended: {shown}")
    size = output.stat().st_size
    value = {"file": str(output), "episodes": written, "rewards": scored, "left_out": left, "bytes": size}
    shown_facts = {"episodes": written, "rewards": scored, "left out": len(left), "bytes": size, "file": output}
    desk.show(value, lambda: facts(shown_facts))
    return 0 if written else EMPTY
