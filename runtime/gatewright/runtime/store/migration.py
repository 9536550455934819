"""Bringing a database to the schema of this version, and checking that it is there.

Alembic is loaded where there is something to migrate or to compare: nearly every start finds the database as it is
to be, and would load it for nothing (an eighth of the time that a worker needs to start).
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection

from gatewright.agents.errors import UnavailableError

from . import schema

FOLDER = Path(__file__).parent / "migrations"

_VERSION = sa.table("alembic_version", sa.column("version_num", sa.String))


def revisions() -> list[str]:
    """The revisions that this version of Gatewright knows, oldest first: the beginnings of their files' names."""
    return sorted(file.name.partition("_")[0] for file in (FOLDER / "versions").glob("[0-9]*_*.py"))


def head() -> str:
    """The revision that this version of Gatewright works with."""
    return revisions()[-1]


def current(connection: Connection) -> str | None:
    """The revision the database is at; None for an empty one."""
    if not sa.inspect(connection).has_table(_VERSION.name):
        return None
    found: str | None = connection.scalar(sa.select(_VERSION.c.version_num))
    return found


def ensure_known(revision: str | None) -> None:
    """Refuse a revision of which this version knows nothing.

    Raises:
        UnavailableError: a newer version of Gatewright has written the database.
    """
    if revision is not None and revision not in revisions():
        raise UnavailableError(
            f"the database is at schema {revision!r}, which this version does not know (it knows up to {head()!r}); "
            "install the newer Gatewright that wrote it"
        )


def upgrade(connection: Connection) -> None:
    """Bring the database to `head()`.

    Raises:
        UnavailableError: a newer version of Gatewright has written it.
    """
    found = current(connection)
    if found == head():
        return
    ensure_known(found)
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def drift(connection: Connection) -> list[str]:
    """How the database differs from the schema of this version, a line each; empty when it does not."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    names = set(schema.METADATA.tables)

    def ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name in names

    context = MigrationContext.configure(connection, opts={"include_name": ours})
    return [str(difference) for difference in compare_metadata(context, schema.METADATA)]
