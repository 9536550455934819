"""`service-….json`: how the command line finds a service that runs on a data directory.

Each service has files of its own: on a PostgreSQL database several may have the same data directory.
"""

from __future__ import annotations

import http.client
import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from gatewright.runtime.workers import liveness

FILES = "service-*.json"
PROBE_TIMEOUT = 2.0  # seconds


class Presence(BaseModel):
    """Where a service listens. `instance` is what its `/livez` answers, `token_file` holds what it asks for, and
    `process` tells whether it is gone."""

    url: str
    pid: int
    process: str = ""
    instance: str
    token_file: Path | None = None

    def token(self) -> str:
        """The token of the service, empty if it needs none."""
        return self.token_file.read_text("utf-8").strip() if self.token_file else ""


def announce(data_dir: Path, url: str, *, instance: str, token: str = "") -> None:
    """Tell the clients of this data directory where the service listens. Only its owner can read the files.

    What services left behind that were killed on this machine is taken away.
    """
    for file in data_dir.glob(FILES):
        left = _read(file)
        if left is not None and liveness.dead(left.process):
            withdraw(data_dir, instance=left.instance)
    token_file = data_dir / f"service-{instance}.token" if token else None
    if token_file:
        _write(token_file, token)
    presence = Presence(
        url=url, pid=os.getpid(), process=liveness.this_process(), instance=instance, token_file=token_file
    )
    _write(_file(data_dir, instance), presence.model_dump_json(exclude_none=True))


def withdraw(data_dir: Path, *, instance: str) -> None:
    """Take this instance's announcement back, if there is one."""
    file = _file(data_dir, instance)
    file.unlink(missing_ok=True)
    file.with_suffix(".token").unlink(missing_ok=True)


def find(data_dir: Path) -> Presence | None:
    """A service that runs on `data_dir` now, the one that began last; None if none does.

    The instance is compared before a token is sent: another program may listen on the port of a service that died.
    """
    begun = sorted(((_written(file), file) for file in data_dir.glob(FILES)), reverse=True)
    announced = (_read(file) for _when, file in begun)
    return next((presence for presence in announced if presence is not None and _answers(presence)), None)


def _answers(presence: Presence) -> bool:
    address = urlsplit(presence.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=PROBE_TIMEOUT)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().headers.get("x-gatewright-instance") == presence.instance
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _file(data_dir: Path, instance: str) -> Path:
    return data_dir / f"service-{instance}.json"


def _written(file: Path) -> int:
    """When it was written; 0 where it has been taken away since it was listed."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _read(file: Path) -> Presence | None:
    try:
        return Presence.model_validate(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, ValidationError):
        return None


def _write(file: Path, text: str) -> None:
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
    draft.replace(file)
