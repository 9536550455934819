"""`gatewright doctor`: what must be right before a service can run here, checked one by one."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import click

from gatewright.agents.errors import GatewrightError, UnavailableError

from .desk import Desk, desk
from .grammar import Command

if TYPE_CHECKING:
    from gatewright.runtime.config import Config

LITTLE_SPACE = 1 << 30  # bytes
WANTED_SQLITE = (3, 35)  # RETURNING
PATIENCE = 5.0  # seconds that Kafka has to answer
UNHEALTHY = 4


class Finding(NamedTuple):
    """One check. `remedy` says what to do about a state that is not `ok`."""

    check: str
    state: Literal["ok", "warning", "bad"]
    found: str
    remedy: str = ""


@click.command(cls=Command)
@desk
def doctor(desk: Desk) -> int:
    """Check that this machine and folder can run a service. Exit code 0, or 4 if something must be mended."""
    findings = list(examine(desk))
    rows = [(finding.check, finding.state, finding.found, finding.remedy) for finding in findings]
    value = [finding._asdict() for finding in findings]
    desk.table(value, ("check", "state", "found", "remedy"), rows, empty="nothing to check")
    return UNHEALTHY if any(finding.state == "bad" for finding in findings) else 0


def examine(desk: Desk) -> Iterator[Finding]:
    """Every check, in the order in which one needs the other."""
    yield Finding("python", "ok", sys.version.split()[0])
    yield _sqlite()
    try:
        config = desk.config()
    except GatewrightError as error:
        yield Finding("configuration", "bad", str(error), "correct the file or the variable that is named")
        return
    yield Finding("configuration", "ok", f"deployments: {', '.join(config.deployments)}")
    checks: tuple[Callable[[Config], Finding], ...] = (_directory, _space, _locking, _schema, _bus, _port)
    for check in checks:
        yield check(config)
    for name in config.deployments:
        yield _deployment(config, name)


def _sqlite() -> Finding:
    if sqlite3.sqlite_version_info >= WANTED_SQLITE:
        return Finding("sqlite", "ok", sqlite3.sqlite_version)
    wanted = ".".join(map(str, WANTED_SQLITE))
    return Finding("sqlite", "bad", sqlite3.sqlite_version, f"use a Python with SQLite {wanted} or newer")


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _directory(config: Config) -> Finding:
    folder = _nearest(config.data_dir)
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Finding("data directory", "ok", str(config.data_dir))
    except OSError as error:
        remedy = "make it writable for this user, or set data_dir to another folder"
        return Finding("data directory", "bad", f"{folder}: {error.strerror}", remedy)


def _space(config: Config) -> Finding:
    free = shutil.disk_usage(_nearest(config.data_dir)).free
    found = f"{free / (1 << 30):.1f} GiB free"
    return Finding("disk", "ok", found) if free > LITTLE_SPACE else Finding("disk", "warning", found, "free some space")


def _locking(config: Config) -> Finding:
    """SQLite's write-ahead log needs shared memory and locks that network file systems do not give."""
    import fcntl

    if config.database:
        return Finding("file locks", "ok", "not needed with PostgreSQL")
    try:
        with tempfile.TemporaryFile(dir=_nearest(config.data_dir)) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return Finding("file locks", "bad", str(error.strerror), "put data_dir on a local file system")
    return Finding("file locks", "ok", "work")


def _schema(config: Config) -> Finding:
    from sqlalchemy import exc

    from gatewright.runtime.store import database, migration

    try:
        store = database.of(config.database, config.data_dir)
        if not store.exists():
            return Finding("database", "ok", f"none yet in {store.place}; the first service creates it")
        engine = store.connect(readonly=True)
    except GatewrightError as error:
        return Finding("database", "bad", str(error), "correct `database`, or mend what it names")
    try:
        with engine.connect() as connection:
            found = migration.current(connection)
        migration.ensure_known(found)
    except UnavailableError as error:
        return Finding("database", "bad", str(error), "install the newer version, or name another database")
    except exc.DatabaseError as error:
        return Finding("database", "bad", str(store.unavailable(error)), "restore it from a backup")
    finally:
        engine.dispose()
    if found == migration.head():
        return Finding("database", "ok", f"schema {found} in {store.place}")
    return Finding("database", "warning", f"schema {found}, not {migration.head()}", "`gatewright db upgrade`")


def _bus(config: Config) -> Finding:
    if not config.bus:
        return Finding("bus", "ok", "messages stay in the database")
    try:
        topics = asyncio.run(_topics(config))
    except GatewrightError as error:
        remedy = "start Kafka, or correct `bus` and the options under [kafka]"
        return Finding("bus", "bad", str(error), remedy)
    return Finding("bus", "ok", f"{config.bus} answers and shows {topics} topics")


async def _topics(config: Config) -> int:
    """How many topics of Kafka these settings may see."""
    from gatewright.runtime.kafka import Settings, Topics

    topics, deadline = Topics(Settings.parse(config.bus, config.kafka)), time.monotonic() + PATIENCE
    try:
        return len(await topics.names(deadline=deadline))
    finally:
        await topics.close(deadline=deadline)


def _port(config: Config) -> Finding:
    from gatewright.runtime.api import presence, server

    running = presence.find(config.data_dir)
    if running:
        return Finding("service", "ok", f"running at {running.url}, process {running.pid}")
    try:
        server.bind(config).close()
    except (GatewrightError, socket.gaierror) as error:
        return Finding("service", "bad", str(error), "choose another with server.host and server.port")
    return Finding("service", "ok", f"not running; port {config.server.port} of {config.server.host} is free")


def _deployment(config: Config, name: str) -> Finding:
    """Whether its files are there; code is only loaded by a service."""
    deployment = config.deployments[name]
    file = Path(deployment.graph.rpartition(":")[0])
    if deployment.graph and file.suffix == ".py" and not file.exists():
        return Finding(f"deployment {name}", "bad", f"no file {str(file)!r}", "correct `graph`")
    if deployment.rules and not os.access(deployment.rules, os.R_OK):
        return Finding(f"deployment {name}", "bad", f"cannot read {str(deployment.rules)!r}", "correct `rules`")
    return Finding(f"deployment {name}", "ok", deployment.team or deployment.graph)
