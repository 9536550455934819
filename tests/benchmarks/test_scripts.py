"""Each benchmark works and prints what it promises, in its tiny mode; whether a bar is reached is not for tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.__main__ import NAMES

ROOT = Path(__file__).parents[2]
LONG = frozenset("claims explanations http outage policy replays scale serving verifying".split())  # even the tiny mode
ROUNDS = [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in NAMES]


@pytest.mark.parametrize("name", ROUNDS)
def test_a_quick_round_prints_its_figures_as_json(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--json", "--dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode in (0, 1), done.stderr
    figures = json.loads(done.stdout)
    assert figures
    for figure in figures.values():
        assert set(figure) == {"ours", "reference", "ratio", "bar", "pass"}
        measured = [figure["ours"], figure["reference"]] if figure["reference"] is not None else []
        assert all(number > 0 for number in measured)
    assert list(tmp_path.iterdir()) == [], "a benchmark takes its folder away"


def test_every_script_is_among_those_that_run_together() -> None:
    programs = [
        path.stem for path in (ROOT / "benchmarks").glob("*.py") if "main(measure, __doc__)" in path.read_text("utf-8")
    ]
    assert sorted(programs) == sorted(NAMES)


def test_the_documentation_tells_of_every_script() -> None:
    told = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    assert [name for name in NAMES if f"| `{name}` |" not in told] == []
