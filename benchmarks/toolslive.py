"""Replay with the tools live: the recorded airline episodes beside tau-bench's own environment.

Both sides are processes of their own that execute every recorded call and work out every reward; what counts is their
processor time without imports. Ours includes reading the episodes and the data, the reference's begins at `Env.reset`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from subprocess import PIPE, run
from typing import Any

from gatewright.environments.airline.world import CONVERSATIONS

from . import taubench
from .figures import Bar, Figure, Pair, compare, say
from .program import Setting, main, shared_data
from .recorded import EPISODES

FASTER = Bar(value=30.0, sense="at least")
ALL = 1_000_000
OURS = """
import json, sys, time
from pathlib import Path
from gatewright.scenarios.replay.toolslive import replay

began = time.process_time()
report = replay(Path(sys.argv[1]), Path(sys.argv[2])).report
taken = time.process_time() - began
print(json.dumps({
    "episodes": report.episodes, "seconds": taken,
    "results": report.tool_results.equal, "rewards": report.rewards.equal,
}))
"""


def _measured(who: str, *command: str | Path) -> dict[str, Any]:
    """What a side came to."""
    done = run([sys.executable, *map(str, command)], cwd=Path(__file__).parents[1], stdout=PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    say(
        f"toolslive: {who}: {found['episodes']} episodes, {found['results']} tool results and {found['rewards']} "
        f"rewards equal, {found['seconds']:.2f} s"
    )
    return found


def _alone(name: str, episodes: Path, data: Path) -> Figure:
    """Our side without a reference."""
    ours = _measured("ours", "-c", OURS, episodes, data)
    return Figure(name=name, unit="1/s", ours=ours["episodes"] / ours["seconds"])


def _few(path: Path, folder: Path, most: int) -> Path:
    """The first episodes of a file, as a file."""
    few = folder / "few.json"
    few.write_text(json.dumps(json.loads(path.read_bytes())[:most]))
    return few


async def measure(setting: Setting) -> Sequence[Figure]:
    """Episodes per second of processor time."""
    path = shared_data() / EPISODES
    if not path.is_file():
        say(f"toolslive: the small set that comes along, as there is no {str(path)!r}; no reference knows its data")
        return [_alone("small_set", CONVERSATIONS, CONVERSATIONS.parent)]
    most = setting.size(ALL, 4)
    episodes = _few(path, setting.folder, most)
    if taubench.checkout() is None:
        say(f"toolslive: no reference, as {taubench.CHECKOUT} names no checkout of tau-bench at commit 7362a17")
        return [_alone("episodes", episodes, path.parent)]
    pairs: list[Pair] = []
    for _ in range(setting.size(2, 1)):
        ours = _measured("ours", "-c", OURS, episodes, path.parent)
        reference = _measured("tau-bench", "-m", "benchmarks.taubench", episodes, str(most))
        if (ours["results"], ours["rewards"]) != (reference["results"], reference["rewards"]):
            say("toolslive: the two sides did not come to the same; the figure compares different work")
        pairs.append(Pair(ours["episodes"] / ours["seconds"], reference["episodes"] / reference["seconds"]))
    return [compare("episodes", "1/s", pairs, FASTER)]


if __name__ == "__main__":
    main(measure, __doc__)
