"""`python -m benchmarks`: all of them, one after the other, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from .figures import HEADING, say
from .program import options

NAMES = (
    "engine",
    "chain",
    "http",
    "footprint",
    "recorded",
    "toolslive",
    "replays",
    "airline_policy",
    "policy",
    "probes",
    "approvals",
    "bus",
    "claims",
    "outage",
    "scale",
    "explanations",
    "gate",
    "verifying",
    "serving",
)


def main() -> int:
    """Run all; gives the exit code: 0, or 1 where a bar was missed, or 4 where a benchmark did not end."""
    given = options("All benchmarks; the figures of each are named NAME.FIGURE.")
    passed = ["--json"] if given.json else []
    passed += ["--quick"] if given.quick else []
    passed += ["--dir", str(given.folder.resolve())] if given.folder else []
    figures: dict[str, object] = {}
    codes: list[int] = []
    for name in NAMES:
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", *passed],
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        codes.append(done.returncode if done.returncode in (0, 1) and done.stdout else 4)
        if codes[-1] == 4:
            say(f"benchmark {name!r} did not end as it should (exit code {done.returncode}); its reason is above")
        elif given.json:
            figures |= {f"{name}.{figure}": entry for figure, entry in json.loads(done.stdout).items()}
        else:
            print(f"\n{name}\n{done.stdout.removeprefix(HEADING).strip()}", flush=True)
    if given.json:
        print(json.dumps(figures, indent=2))
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
