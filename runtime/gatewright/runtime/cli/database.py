"""`gatewright db`: the schema of the database."""

from __future__ import annotations

import click

from gatewright.agents.errors import UnavailableError

from .desk import Desk, desk
from .grammar import Group

OUTDATED = 1


@click.group(cls=Group, default="check")
def db() -> None:
    """Look after the database's schema. Without a command: check."""


@db.command("upgrade")
@desk
def upgrade(desk: Desk) -> None:
    """Bring the database to this version's schema, or create it. No service may be running on a SQLite file."""
    from gatewright.runtime.store import migration
    from gatewright.runtime.store.database import make_folder

    database = desk.store()
    if not database.shared:
        make_folder(desk.config().data_dir)
    database.hold()
    try:
        database.prepare()
    finally:
        database.release()
    desk.show({"schema": migration.head()}, lambda: f"the database is at schema {migration.head()}")


@db.command("check")
@desk
def check(desk: Desk) -> int:
    """Say whether the database has this version's schema: exit code 0, or 1 if it must be upgraded."""
    from sqlalchemy import exc

    from gatewright.runtime.store import migration

    database = desk.store()
    if not database.exists():
        raise UnavailableError(f"there is nothing in {database.place!r}; `gatewright db upgrade` creates the schema")
    engine = database.connect(readonly=True)
    try:
        with engine.connect() as connection:
            found = migration.current(connection)
            migration.ensure_known(found)
            differences = migration.drift(connection)
    except exc.DatabaseError as error:
        raise database.unavailable(error) from error
    finally:
        engine.dispose()
    head = migration.head()
    good = found == head and not differences
    if good:
        lines = [f"schema {found}, as it should be"]
    elif found == head:
        lines = [f"schema {found}, but not as it should be", *differences]
        lines.append("it was changed by hand, which no upgrade mends; undo that, or go back to a backup")
    else:
        lines = [f"schema {found}, this version works with {head}", *differences, "run `gatewright db upgrade`"]
    value = {"schema": found, "head": head, "differences": differences, "ok": good}
    desk.show(value, lambda: "\n".join(lines))
    return 0 if good else OUTDATED
