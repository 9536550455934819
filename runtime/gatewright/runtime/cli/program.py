"""The program: its commands, and what becomes of an error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from .desk import Desk, clean
from .grammar import Group, Lazy

HERE = "gatewright.runtime.cli"
PLUGINS = "gatewright.commands"
INTERRUPTED = 130
UNEXPECTED = 4

COMMANDS = {
    "init": Lazy(f"{HERE}.starting:init", "Write a configuration and a small agent that runs offline."),
    "dev": Lazy(f"{HERE}.serving:dev", "Serve with the sample conversations, to look around."),
    "serve": Lazy(f"{HERE}.serving:serve", "Serve the HTTP API and the console, and execute runs."),
    "worker": Lazy(f"{HERE}.serving:worker", "Execute runs without HTTP."),
    "workers": Lazy(f"{HERE}.workers:workers", "See the processes that execute runs."),
    "run": Lazy(f"{HERE}.runs:run", "Start, watch and steer runs."),
    "approvals": Lazy(f"{HERE}.approvals:approvals", "See what waits for a person, and decide it."),
    "deploy": Lazy(f"{HERE}.deploy:deploy", "See the deployments, and stop one in an emergency."),
    "policy": Lazy(f"{HERE}.policy:policy", "Look after rule packs, and waive rules."),
    "people": Lazy(f"{HERE}.people:people", "See who may sign in, and make their tokens."),
    "whoami": Lazy(f"{HERE}.people:whoami", "Say whose token the command line sends."),
    "notices": Lazy(f"{HERE}.notices:notices", "See what people are told, and what did not reach them."),
    "bus": Lazy(f"{HERE}.bus:bus", "See how messages flow, and redrive dead letters."),
    "audit": Lazy(f"{HERE}.audit:audit", "Verify, read and export the ledger."),
    "doctor": Lazy(f"{HERE}.health:doctor", "Check that this machine and folder can run a service."),
    "db": Lazy(f"{HERE}.database:db", "Look after the database's schema."),
}


class Program(Group):
    """The root group, which tells about errors and gives the exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(words, prog_name or "gatewright", complete_var, standalone_mode=False, **extra)
        except Exception as error:
            code = _report(error, as_json="--json" in words, verbose=bool({"-v", "--verbose"} & set(words)))
        except KeyboardInterrupt:
            code = _report(click.Abort(), as_json="--json" in words, verbose=False)
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else 0)


def _report(error: Exception, *, as_json: bool, verbose: bool) -> int:
    """Tell about an error; gives the exit code."""
    if verbose and not isinstance(error, (click.ClickException, click.Abort)):
        import traceback

        traceback.print_exception(error)
    message, code = _explain(error)
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()  # whoever read our output has gone; there is nobody to tell
        return code
    click.echo(f"error: {clean(message)}", err=True)  # it may quote what an agent wrote
    if as_json:
        click.echo(json.dumps({"error": {"type": _kind(error), "message": message, "exit_code": code}}))
    return code


def _explain(error: Exception) -> tuple[str, int]:
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "gatewright"
        return f"{error.format_message()} (see `{path} --help`)", 2
    if isinstance(error, click.ClickException):
        return error.format_message(), 2
    if isinstance(error, click.Abort):
        return "interrupted", INTERRUPTED
    from gatewright.agents.errors import GatewrightError

    if isinstance(error, GatewrightError):
        return str(error), error.exit_code
    if isinstance(error, TimeoutError):
        return str(error) or "the time was over before there was a result", 3
    return f"{type(error).__name__}: {error} (run it again with -v for the traceback)", UNEXPECTED


def _kind(error: Exception) -> str:
    return "UsageError" if isinstance(error, click.ClickException) else type(error).__name__


@click.group(
    cls=Program,
    name="gatewright",
    lazy=COMMANDS,
    plugins=PLUGINS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="gatewright", prog_name="gatewright")
@click.pass_context
def main(context: click.Context) -> None:
    """Run teams of LangGraph agents as a service that its owners can answer for.

    Exit codes: 0 pass, 1 the check said no, 2 usage, 3 inconclusive, 4 environment, 5 integrity, 130 interrupted.
    """
    if context.ensure_object(Desk).verbose:
        import logging

        from . import logs

        logging.basicConfig(level=logging.INFO, format=logs.FORMAT, datefmt=logs.DATES)
