"""What every benchmark is as a program: its options, and a folder of its own."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .figures import Figure, report, say

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where a benchmark works and how much. `quick` is enough to see that it works, and not to believe its numbers."""

    folder: Path
    quick: bool = False

    def size(self, full: int, quick: int) -> int:
        """How many times to do something."""
        return quick if self.quick else full


Benchmark = Callable[[Setting], Awaitable[Sequence[Figure]]]


def options(description: str, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options that all benchmarks have: `json`, `quick`, `folder`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--quick", action="store_true", help="a tiny round, to see that it works")
    parser.add_argument("--dir", type=Path, dest="folder", help="work here; the disk is what fsync is measured on")
    return parser.parse_args(arguments)


def run(benchmark: Benchmark, description: str, arguments: Sequence[str] | None = None) -> int:
    """Run a benchmark in a folder of its own and print what it measured; gives the exit code."""
    given = options(description, arguments)
    with tempfile.TemporaryDirectory(prefix="gatewright-benchmark-", dir=given.folder) as folder:
        setting = Setting(folder=Path(folder), quick=given.quick)
        figures = asyncio.run(_measured(benchmark, setting))
    return report(figures, as_json=given.json)


async def _measured(benchmark: Benchmark, setting: Setting) -> Sequence[Figure]:
    return await benchmark(setting)


def shared_data() -> Path:
    """The folder of recorded data sets, which the repository does not hold."""
    return Path(os.environ.get("GATEWRIGHT_SHARED_DATA", SHARED_DATA))


def main(benchmark: Benchmark, description: str | None) -> None:
    """The end of a benchmark's module."""
    sys.exit(run(benchmark, (description or "").partition("\n")[0]))


__all__ = ["Benchmark", "Setting", "main", "options", "run", "say", "shared_data"]
