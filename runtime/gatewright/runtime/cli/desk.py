"""What every command has at hand: the shared options, the configuration, and where its output goes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gatewright.runtime import display

if TYPE_CHECKING:
    from gatewright.runtime.config import Config
    from gatewright.runtime.store.database import Database

T = TypeVar("T")

CONTROL = {**display.MISLEADING, 0x0D: "�"}
"""What misleads; a carriage return, too, could rewrite what the terminal shows."""


@dataclass
class Desk:
    """One invocation. Results go to stdout, everything else to stderr."""

    as_json: bool = False
    verbose: bool = False
    config_file: Path | None = None
    data_dir: Path | None = None
    database: str = ""

    def config(self, **overrides: Any) -> Config:
        """The configuration, with what the command line says on top; graphs of its `python_path` can be imported."""
        from gatewright.runtime import config

        if self.data_dir:
            overrides["data_dir"] = str(self.data_dir.resolve())
        if self.database:
            overrides["database"] = self.database
        found = config.load(self.config_file, overrides=overrides)
        for folder in reversed(found.python_path):
            if str(folder) not in sys.path:
                sys.path.insert(0, str(folder))
        return found

    def store(self) -> Database:
        """The database of the configuration."""
        from gatewright.runtime.store import database

        config = self.config()
        return database.of(config.database, config.data_dir)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine; Ctrl-C cancels it."""
        import asyncio

        return asyncio.run(main)

    def say(self, text: str) -> None:
        """A word to the person at the terminal, which is no result."""
        click.echo(clean(text), err=True)

    def show(self, value: Any, text: Callable[[], str]) -> None:
        """A result: `value` in JSON mode, `text()` otherwise."""
        if self.as_json:
            click.echo(json.dumps(value, ensure_ascii=False, default=str))
        else:
            click.echo(clean(text()))

    def table(self, value: Any, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
        """A result that is a list: a table for people, `value` in JSON mode."""
        if self.as_json:
            click.echo(json.dumps(value, ensure_ascii=False, default=str))
        elif not rows:
            click.echo(empty, err=True)
        elif sys.stdout.isatty():
            _rich(columns, rows)
        else:
            click.echo(aligned(columns, rows))


desk = click.make_pass_decorator(Desk, ensure=True)


def clean(text: str) -> str:
    """Text without control characters, tabs and line ends apart."""
    return text.translate(CONTROL)


def aligned(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table as plain text: every value whole, on one line, columns two spaces apart."""
    lines = [[name.upper() for name in columns], *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def facts(values: Mapping[str, Any]) -> str:
    """Names and values, a line each; what is None is left out."""
    shown = {name: value for name, value in values.items() if value is not None}
    width = max((len(name) for name in shown), default=0)
    return "\n".join(f"{name.ljust(width)}  {_cell(value)}" for name, value in shown.items())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str).strip('"')
    return clean(" ".join(text.split())) or "-"


def _rich(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(columns):
        table.add_column(name.capitalize(), overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))  # Text, so that data is never read as markup
    Console(highlight=False).print(table)


@contextmanager
def progress_bar(desk: Desk, total: int) -> Generator[Callable[[int], None]]:
    """A bar on stderr if that is a terminal, a line at every tenth part otherwise; give it what has been done."""
    done = 0
    if not sys.stderr.isatty():

        def step(count: int) -> None:
            nonlocal done
            before, done = done, done + count
            if before * 10 // total != done * 10 // total:
                desk.say(f"{done} of {total}")

        yield step
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)
