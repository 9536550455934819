"""`gatewright people` and `whoami`: who may sign in, the tokens they do it with, and who one is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from gatewright.agents.errors import UsageError
from gatewright.runtime.api import presence
from gatewright.runtime.views import IdentityView

from . import clients
from .desk import Desk, desk, facts
from .grammar import Command, Group

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


@click.group(cls=Group, default="list")
def people() -> None:
    """See who may sign in, and make their tokens. Without a command: list."""


@people.command("list")
@desk
def list_people(desk: Desk) -> None:
    """List the people of the configuration with their roles."""
    known = desk.config().people
    rows = [(name, ", ".join(person.roles)) for name, person in known.items()]
    desk.table(
        [{"name": name, "roles": list(person.roles)} for name, person in known.items()],
        ("name", "roles"),
        rows,
        empty="nobody is configured; `gatewright people token NAME` makes a token and says where to put it",
    )


@people.command("token")
@click.argument("name")
@click.option("--role", "roles", multiple=True, help="A role to put into the lines; may be repeated.")
@desk
def token(desk: Desk, name: str, roles: tuple[str, ...]) -> None:
    """Make a token for NAME, and print it once with the lines that gatewright.toml needs.

    It changes no file. A token that is replaced in the file is void when the service is started again.
    """
    from pydantic import ValidationError

    from gatewright.runtime import people
    from gatewright.runtime.config import Config, Person

    known = desk.config().people.get(name)
    made = people.new_token()
    try:
        person = Person(roles=roles or (known.roles if known else ()), token_sha256=people.digest(made))
        Config(people={name: person})
    except ValidationError as error:
        raise UsageError("; ".join(_said(name, detail) for detail in error.errors())) from None
    lines = "\n".join(
        (
            f"[people.{json.dumps(name, ensure_ascii=False)}]",
            f"roles = {json.dumps(list(person.roles))}",
            f'token_sha256 = "{person.token_sha256}"',
        )
    )
    desk.show(
        {"name": name, "token": made, **person.model_dump(mode="json")},
        lambda: f"the token of {name}, which is not shown again:\n\n{made}\n\nfor gatewright.toml:\n\n{lines}",
    )


def _said(name: str, detail: ErrorDetails) -> str:
    """What is wrong with somebody; errors about the whole configuration name them already."""
    message = detail["msg"].removeprefix("Value error, ")
    return f"{name!r} {message}" if detail["loc"] else message


@click.command(cls=Command)
@desk
def whoami(desk: Desk) -> None:
    """Say whose token the command line sends: the one in GATEWRIGHT_TOKEN, else the service's own."""

    async def ask() -> IdentityView:
        config = desk.config()
        if presence.find(config.data_dir) is None:
            return await clients.whoami(None, config)
        async with clients.connect(config) as client:
            return await clients.whoami(client, config)

    found = desk.run(ask())
    desk.show(found.model_dump(mode="json"), lambda: describe(found))


def describe(found: IdentityView) -> str:
    """An identity for a person."""
    said = {
        "person": found.name,
        "service": "the service account, which has no role",
        "anyone": "not known here: no people are configured, so decisions carry the name that you give",
    }[found.kind]
    return facts({"you": said, "roles": ", ".join(found.roles) or None, "operates": "yes" if found.operates else "no"})
