"""Apache Kafka as jars from Maven Central, kept in a cache; `python -m deploy.cluster.jars` fills it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from gatewright.agents.errors import UnavailableError

POM = Path(__file__).with_name("pom.xml")
_VERSION = re.search(r"<kafka\.version>(.*)</", POM.read_text("utf-8"))
assert _VERSION is not None
VERSION = _VERSION[1]
JAVA = 17  # the oldest that a broker of Kafka 4 runs on
_DOWNLOAD = 600.0  # seconds


def place() -> Path:
    """Where the jars are or will be: below `GATEWRIGHT_CACHE`, which is `~/.cache/gatewright` unless it is set."""
    cache = os.environ.get("GATEWRIGHT_CACHE") or Path.home() / ".cache" / "gatewright"
    return Path(cache).absolute() / f"kafka-{VERSION}"


def missing() -> str | None:
    """What keeps this machine from running Kafka, with the remedy; nothing where it can."""
    program = shutil.which("java")
    told = "" if program is None else subprocess.run([program, "-version"], capture_output=True, text=True).stderr
    found = re.search(r'version "(\d+)', told)
    if found is None or int(found[1]) < JAVA:
        has = f"is {found[1]}" if found else "is not installed"
        return f"Java {has} and Kafka {VERSION} needs {JAVA}: `apt install default-jre-headless`"
    if not place().exists() and shutil.which("mvn") is None:
        return f"Kafka {VERSION} is not in {str(place())!r} and Maven is not installed: `apt install maven`"
    return None


def install() -> Path:
    """The folder of the jars, which are downloaded first where they are not there.

    Raises:
        UnavailableError: Java or Maven is missing, or Maven cannot get them.
    """
    folder = place()
    if (reason := missing()) is not None:
        raise UnavailableError(reason)
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        jars = Path(temporary) / "jars"
        command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", "-DincludeScope=runtime"]
        done = subprocess.run(
            [*command, f"-DoutputDirectory={jars}"],
            cwd=temporary,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD,
        )
        if done.returncode:
            said = (done.stdout + done.stderr)[-2000:]
            raise UnavailableError(f"Maven cannot get Kafka {VERSION}; mend this and retry, it said: {said!r}")
        try:
            jars.rename(folder)  # whole or not at all, whoever does the same now
        except OSError:
            if not folder.exists():
                raise
    return folder


if __name__ == "__main__":
    print(install())
