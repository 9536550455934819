"""`service.json`: how the command line finds the service that runs on a data directory."""

from __future__ import annotations

import http.client
import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

FILE = "service.json"
PROBE_TIMEOUT = 2.0  # seconds


class Presence(BaseModel):
    """Where a service listens. `instance` is what its `/livez` answers, `token_file` holds what it asks for."""

    url: str
    pid: int
    instance: str
    token_file: Path | None = None

    def token(self) -> str:
        """The token of the service, empty if it needs none."""
        return self.token_file.read_text("utf-8").strip() if self.token_file else ""


def announce(data_dir: Path, url: str, *, instance: str, token: str = "") -> None:
    """Tell the clients of this data directory where the service listens. Only its owner can read the files."""
    token_file = data_dir / "service.token" if token else None
    if token_file:
        _write(token_file, token)
    presence = Presence(url=url, pid=os.getpid(), instance=instance, token_file=token_file)
    _write(data_dir / FILE, presence.model_dump_json(exclude_none=True))


def withdraw(data_dir: Path, *, instance: str) -> None:
    """Take the announcement back, if it is still this instance's."""
    presence = _read(data_dir)
    if presence and presence.instance == instance:
        (data_dir / FILE).unlink(missing_ok=True)
        (data_dir / "service.token").unlink(missing_ok=True)


def find(data_dir: Path) -> Presence | None:
    """The service that runs on `data_dir` now; None if none does, or one was killed and left its file behind.

    The instance is compared before a token is sent: another program may listen on the port of a service that died.
    """
    presence = _read(data_dir)
    if presence is None:
        return None
    address = urlsplit(presence.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=PROBE_TIMEOUT)
    try:
        connection.request("GET", "/livez")
        alive = connection.getresponse().headers.get("x-gatewright-instance") == presence.instance
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return presence if alive else None


def _read(data_dir: Path) -> Presence | None:
    try:
        return Presence.model_validate(json.loads((data_dir / FILE).read_text("utf-8")))
    except (OSError, ValueError, ValidationError):
        return None


def _write(file: Path, text: str) -> None:
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
    draft.replace(file)
