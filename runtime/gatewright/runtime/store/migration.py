"""Bringing a database to the schema of this version, and checking that it is there."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from gatewright.agents.errors import UnavailableError

from . import schema

FOLDER = Path(__file__).parent / "migrations"


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The revision that this version of Gatewright works with."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    found = ScriptDirectory.from_config(config).get_current_head()
    assert found is not None, "the package ships its migrations"
    return found


def current(connection: Connection) -> str | None:
    """The revision the database is at; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(connection: Connection) -> None:
    """Bring the database to `head()`.

    Raises:
        UnavailableError: a newer version of Gatewright has written it.
    """
    found = current(connection)
    if found == head():
        return
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise UnavailableError(
            f"the database is at schema {found!r}, which this version does not know (it knows up to {head()!r}); "
            "install the newer Gatewright that wrote it"
        )
    command.upgrade(_config(connection), "head")


def drift(connection: Connection) -> list[str]:
    """How the database differs from the schema of this version, a line each; empty when it does not."""
    names = set(schema.METADATA.tables)

    def ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name in names

    context = MigrationContext.configure(connection, opts={"include_name": ours})
    return [str(difference) for difference in compare_metadata(context, schema.METADATA)]
