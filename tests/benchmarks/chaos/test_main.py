"""The whole of it, small: one process on SQLite, killed while it works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.chaos.history import VIOLATIONS, History
from benchmarks.chaos.processes import ROOT


@pytest.mark.slow  # a minute of it, on real services, is part of CI
def test_a_service_that_is_killed_keeps_its_promises_to_whoever_looks_from_outside(tmp_path: Path) -> None:
    arguments = ["--backend", "sqlite", "--threads", "6", "--seconds", "8", "--json", "--keep", str(tmp_path / "kept")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads(done.stdout)
    assert shown["kept"] is True
    assert shown["ledger_holds"] is True
    assert shown["faults"]["kill serve"] >= 1
    found = shown["findings"]
    assert found["accepted"] == found["finished"] > 6
    assert found["changes"] > 6
    assert [found[name] for name in VIOLATIONS] == [[]] * len(VIOLATIONS)
    history = History.model_validate_json((tmp_path / "kept" / "history.json").read_text("utf-8"))
    assert len(history.accepted) + len(history.steps) == found["accepted"]
    assert found["steps"] == len(history.steps) > 0
    assert len([one for one in history.invocations if one.performed]) == found["changes"]
