"""How commands are found and written: lazily loaded groups, a default command, options that all share.

A group names its commands with their help and the `module:attribute` they live in, so that `--help` imports none.
Commands of plug-ins are imported for their help: their modules should import what is heavy when they are called.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

import click

from .desk import Desk

LARGEST = 2**63 - 1  # what the database can count to


class Lazy(NamedTuple):
    """Where a command is, and the line that `--help` says of it."""

    place: str
    help: str


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Put a shared option where every command finds it; the innermost one that was given counts."""
    if value not in (None, False):
        setattr(context.ensure_object(Desk), str(parameter.name), value)
    return value


def _shared() -> list[click.Parameter]:
    return [
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON, and nothing else, on stdout."),
        click.Option(["-v", "--verbose"], is_flag=True, help="Show log messages, and tracebacks of errors."),
        click.Option(
            ["--config", "config_file"],
            type=click.Path(path_type=Path, dir_okay=False),
            help="Read this file instead of the nearest gatewright.toml or langgraph.json.",
        ),
        click.Option(
            ["--data-dir"],
            type=click.Path(path_type=Path, file_okay=False),
            help="Work on this data directory instead of the configured one.",
        ),
        click.Option(
            ["--database"],
            metavar="URL",
            help="Work on this PostgreSQL database; a URL with a password is safer in GATEWRIGHT_DATABASE.",
        ),
    ]


class Command(click.Command):
    """A command with the shared options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _share(self)


class Group(click.Group):
    """A group whose commands are imported when they are called.

    `default` is what the bare noun means: `gatewright run` is `gatewright run list`. `plugins`: the entry point group
    through which packages add commands; none takes the place of a command of ours.
    """

    command_class = Command

    def __init__(
        self,
        *args: Any,
        lazy: Mapping[str, Lazy] | None = None,
        default: str | None = None,
        plugins: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = dict(lazy or {})
        self.default = default
        self.plugins = plugins
        _share(self)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.lazy, *self.commands, *self._added()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if found := self.lazy.get(cmd_name):
            return load(found.place)
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        place = self._added().get(cmd_name)
        return load(place) if place else None

    def _added(self) -> dict[str, str]:
        """Where the commands of plug-ins are."""
        if self.plugins is None:
            return {}
        taken = {*self.lazy, *self.commands}
        return {found.name: found.value for found in entry_points(group=self.plugins) if found.name not in taken}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None:
            known = self.list_commands(ctx)
            close = get_close_matches(name, known, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
            raise click.UsageError(f"no command {name!r} in {ctx.command_path!r}; {remedy}", ctx)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if self.default and not any(arg in ("--help", "-h") for arg in args[:1]):
            first = args[0] if args else "-"
            if first.startswith("-"):
                args = [self.default, *args]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        lines = [(name, found.help) for name, found in self.lazy.items()]
        lines += [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
        lines += self._added_lines()
        with formatter.section("Commands"):
            formatter.write_dl(lines)

    def _added_lines(self) -> Iterator[tuple[str, str]]:
        for name, place in self._added().items():
            try:
                yield name, load(place).get_short_help_str(80)
            except Exception as error:  # somebody else's code: help must come nevertheless
                yield name, f"cannot be loaded from {place}: {error}"


def load(place: str) -> click.Command:
    """The command at `module:attribute`."""
    module, _, attribute = place.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    if not isinstance(command, click.Command):
        raise click.UsageError(f"{place!r} is not a Click command, it is {type(command).__name__}")
    return command


def _share(command: click.Command) -> None:
    for parameter in _shared():
        parameter.expose_value = False
        parameter.is_eager = True
        parameter.callback = _keep
        command.params.append(parameter)
