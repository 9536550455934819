"""The systemd units: verified, hardened alike, and started with commands that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from gatewright.runtime.config import Worker

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
PROGRAM = "/opt/gatewright/bin/gatewright"
EXPOSURE = 20  # of 100, as systemd counts: 14 now, 96 with no hardening at all
NOT_HARDENING = ("Type", "Exec", "Restart", "Kill", "Timeout")


def settings(unit: Path) -> list[tuple[str, str]]:
    """The assignments of a unit, in order."""
    return re.findall(r"^(\w+)=(.*)$", unit.read_text("utf-8"), re.MULTILINE)


def installed(unit: Path, folder: Path, change: tuple[str, str] = ("", "")) -> Path:
    """The unit as on a host that has the program, a template with an instance."""
    text = unit.read_text("utf-8").replace(PROGRAM, str(Path(sys.executable).with_name("gatewright")))
    place = folder / unit.name.replace("@.", "@1.")
    place.write_text(text.replace(*change), "utf-8")
    return place


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """systemd-analyze, which needs no systemd that runs."""
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *map(str, arguments)], capture_output=True, text=True, timeout=60
    )


@pytest.fixture(autouse=True, scope="module")
def program(needed: Callable[[str | None], None]) -> None:
    missing = "systemd-analyze is not installed: `apt install systemd`"
    needed(None if shutil.which("systemd-analyze") else missing)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_the_unit(unit: Path, tmp_path: Path) -> None:
    done = analyze("verify", "--man=no", "--recursive-errors=no", installed(unit, tmp_path))

    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_tells_of_a_setting_that_it_does_not_know(tmp_path: Path) -> None:
    wrong = installed(UNITS[0], tmp_path, ("ProtectHome=", "ProtectHouse="))

    assert "ProtectHouse" in analyze("verify", "--man=no", "--recursive-errors=no", wrong).stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_unit_leaves_little_to_a_program_that_was_taken_over(unit: Path, tmp_path: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", installed(unit, tmp_path))

    assert done.returncode == 0, done.stdout[-300:]


def test_a_unit_without_hardening_is_found(tmp_path: Path) -> None:
    bare = tmp_path / "bare.service"
    bare.write_text(f"[Service]\nUser=gatewright\nExecStart={sys.executable}\n", "utf-8")

    assert analyze("security", "--offline=true", f"--threshold={EXPOSURE}", bare).returncode != 0


def test_all_units_are_hardened_alike() -> None:
    found = [[(name, value) for name, value in settings(unit) if not name.startswith(NOT_HARDENING)] for unit in UNITS]
    hardening = [items[items.index(("User", "gatewright")) :] for items in found]
    shared = [[item for item in items if item[0] != "WantedBy"] for items in hardening]

    assert len(shared[0]) > 25
    assert all(items == shared[0] for items in shared)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_unit_starts_a_command_that_exists(unit: Path, takes: Callable[[Sequence[str]], None]) -> None:
    program, *words = dict(settings(unit))["ExecStart"].split()

    assert program == PROGRAM
    takes(words)


@pytest.mark.parametrize("unit", [unit for unit in UNITS if "migrate" not in unit.name], ids=lambda unit: unit.name)
def test_a_process_that_stays_is_started_again_and_has_time_to_drain(unit: Path) -> None:
    found = dict(settings(unit))

    assert (found["Restart"], found["StartLimitIntervalSec"], found["KillSignal"]) == ("always", "0", "SIGTERM")
    assert float(found["TimeoutStopSec"]) > 2 * Worker().drain + 2


def test_the_example_of_an_environment_is_a_configuration(configures: Callable[[Mapping[str, str]], None]) -> None:
    lines = (FOLDER / "environment.example").read_text("utf-8").splitlines()

    configures(dict(line.lstrip("#").split("=", 1) for line in lines if re.match(r"#?[A-Z_]+=", line)))
