"""`gatewright init`: a configuration, a small agent and its rules, to change into one's own."""

from __future__ import annotations

from pathlib import Path

import click

from gatewright.agents.errors import ConflictError, UnavailableError

from .desk import Desk, desk
from .grammar import Command

STARTER = Path(__file__).parent / "starter"
FILES = ("gatewright.toml", "agent.py", "rules.yaml")


@click.command(cls=Command)
@click.argument("path", type=click.Path(path_type=Path, file_okay=False), default=Path("."))
@desk
def init(desk: Desk, path: Path) -> None:
    """Write a configuration, a small agent that runs offline, and its rules into PATH.

    Nothing is overwritten.
    """
    taken = [name for name in FILES if (path / name).exists()]
    if taken:
        raise ConflictError(f"{str(path / taken[0])!r} exists and is not overwritten; choose another folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (path / name).write_text((STARTER / name).read_text("utf-8"), "utf-8")
    except OSError as error:
        raise UnavailableError(f"cannot write to {str(path)!r}: {error.strerror}") from error
    there = "" if path == Path(".") else f"cd {path}\n"
    request = '{"order": "B-02", "amount": 400}'
    desk.show(
        {"path": str(path.resolve()), "files": list(FILES)},
        lambda: (
            f"wrote {', '.join(FILES)}; now:\n\n{there}gatewright run start clerk --input '{request}'\ngatewright serve"
        ),
    )
