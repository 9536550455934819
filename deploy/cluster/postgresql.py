"""A PostgreSQL server from its binaries."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
from pathlib import Path

from gatewright.agents.errors import UnavailableError

from .processes import Server, Service, free_port

START = 60.0  # seconds, recovery included
_USER = "gatewright"
_UNSAFE = ("fsync=off", "full_page_writes=off")  # with synchronous_commit=off even our `kill` would lose commits


class PostgreSQL(Server):
    """A server with its data in a folder; a folder that has data already is taken as it is.

    It trusts whoever reaches it, so anybody on this machine: it is for tests and trials. PostgreSQL refuses to run
    as root; for root it runs as `postgres` or else `nobody`, who must be able to enter the folders above `folder`.

    Args:
        host: IPv4 address that it listens on besides 127.0.0.1 and is reached at; its whole subnet is trusted.
        port: 0 is any free one, the same in every life of this object.
        fsync: False is faster; what was committed still outlives `kill`, but not the loss of the machine's power.

    Raises:
        UnavailableError: no binaries, a folder that its user cannot enter, or it does not start.
    """

    _ending = signal.SIGINT  # "fast shutdown": SIGTERM would wait for the clients to leave

    def __init__(self, folder: Path, *, host: str = "127.0.0.1", port: int = 0, fsync: bool = True) -> None:
        found = binaries()
        if found is None:
            raise UnavailableError("PostgreSQL is not installed; install its server, as by `apt install postgresql`")
        self._binaries = found
        self.folder = folder.absolute()
        self.host = host
        self.port = port or free_port()
        self._fsync = fsync
        self._user = _unprivileged()
        if not (self.folder / "PG_VERSION").exists():
            self._create()

    def _launch(self) -> Service:
        addresses = "127.0.0.1" if self.host == "127.0.0.1" else f"127.0.0.1,{self.host}"
        settings = [
            f"listen_addresses={addresses}",
            f"port={self.port}",
            "unix_socket_directories=",  # the path of a socket may have 107 characters, ours may be longer
            "max_connections=300",
            *(() if self._fsync else _UNSAFE),
        ]
        options = [part for setting in settings for part in ("-c", setting)]
        service = Service(
            [self._binaries / "postgres", "-D", self.folder, *options],
            log=self.folder / "server.log",
            environ={"LC_ALL": "C", "TZ": "UTC"},
            user=self._user,
        )
        service.wait_until(lambda: self._answers(service.pid), seconds=START)
        return service

    def url(self, database: str) -> str:
        """What `--database` and SQLAlchemy take."""
        return f"postgresql+psycopg://{_USER}@{self.host}:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Create an empty database; gives its URL."""
        self._sql(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def ensure_database(self, name: str) -> str:
        """Create a database unless it is there; gives its URL."""
        if name not in self._sql("SELECT datname FROM pg_database").split():
            self.create_database(name)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database and break off who is connected to it."""
        self._sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _sql(self, statement: str) -> str:
        return self._run(
            self._binaries / "psql",
            *("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.host, "-p", str(self.port)),
            *("-U", _USER, "-d", "postgres", "-c", statement),
        )

    def _answers(self, pid: int) -> bool:
        # As pg_ctl does. A connection would not tell our server from another that holds the port.
        file = self.folder / "postmaster.pid"
        lines = file.read_text("utf-8").split("\n") if file.exists() else []
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._run(
            *(self._binaries / "initdb", "-D", self.folder, "-U", _USER, "-E", "UTF8", "--no-locale", "-A", "trust"),
            *(() if self._fsync else ("--no-sync",)),
        )
        if self.host != "127.0.0.1":
            with (self.folder / "pg_hba.conf").open("a", encoding="utf-8") as rules:
                rules.write("host all all samenet trust\n")

    def _run(self, *command: str | Path) -> str:
        done = subprocess.run(
            command, cwd="/", user=self._user, env={**os.environ, "LC_ALL": "C"}, capture_output=True, check=False
        )
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace")[-2000:]
            who = f" as user {self._user!r}, who must be able to enter it" if self._user else ""
            raise UnavailableError(f"{Path(command[0]).name} for {str(self.folder)!r}{who} failed and said: {said!r}")
        return done.stdout.decode()


def binaries() -> Path | None:
    """The folder of `postgres`, `initdb` and `psql`, or nothing where PostgreSQL's server is not installed.

    Looked for on the PATH, where `pg_config` points, and where Debian puts the versions, the newest first.
    """
    places: list[Path] = []
    if (found := shutil.which("postgres")) is not None:
        places.append(Path(found).resolve().parent)
    if (config := shutil.which("pg_config")) is not None:
        told = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False).stdout.strip()
        places.append(Path(told))
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    places += sorted(versions, key=lambda place: [int(n) for n in re.findall(r"\d+", place.parent.name)], reverse=True)
    needed = ("postgres", "initdb", "psql")
    return next((place for place in places if all((place / program).exists() for program in needed)), None)


def _unprivileged() -> str | None:
    """Who the server runs as when we are root; nobody else, and then as ourselves."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
