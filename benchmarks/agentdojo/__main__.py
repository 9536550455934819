"""AgentDojo: attacks that succeed, and what the rules cost, with an agent that obeys everybody."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import report as print_figures
from benchmarks.figures import say

from . import plans, report, suites


def main() -> int:
    """Hold all rounds and print what came of them; gives 1 where a bar was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agentdojo", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print figures and deviations as JSON")
    parser.add_argument("--quick", action="store_true", help="a stratified sample, to see that it works")
    parser.add_argument("--details", action="store_true", help="list every deviation by task")
    parser.add_argument("--dir", type=Path, dest="folder", help="work here")
    given = parser.parse_args()
    planned = plans.plan(quick=given.quick)
    processes = 1 if given.quick else min(os.cpu_count() or 1, 4)
    episodes = sum(len(round.pairs) for round in planned)
    say(f"agentdojo {suites.VERSION}: {episodes} episodes in {len(planned)} rounds, {processes} processes")
    with tempfile.TemporaryDirectory(prefix="gatewright-benchmark-", dir=given.folder) as folder:
        found = plans.hold(planned, Path(folder), processes)
    figures = report.figures(found)
    if given.json:
        entries = {figure.name: figure.entry() for figure in figures}
        print(json.dumps({**entries, "deviations": report.deviations(found)}, indent=2))
        return 0 if all(figure.passed for figure in figures) else 1
    code = print_figures(figures, as_json=False)
    print(f"\n{report.table(found)}\n\n{report.PUBLISHED}")
    if given.details:
        print(report.details(found))
    return code


if __name__ == "__main__":
    sys.exit(main())
