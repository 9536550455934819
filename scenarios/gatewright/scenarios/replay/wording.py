"""What a replay with the tools live came to, for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gatewright.runtime.cli.desk import aligned

from .toolslive import Divergence, Report, Turned

BEFORE, AFTER = 40, 160  # characters around the first difference of two texts
_MEANING = {
    "tool_result": "answered otherwise",
    "reward": "reward cannot be reproduced",
    "task": "not an episode of its task",
}


def table(reports: Mapping[str, Report]) -> str:
    """The figures of each report, a line each."""
    most = max((len(report.pass_k) for report in reports.values()), default=0)
    columns = ["file", "episodes", "tool results", "rewards", *(f"pass^{k}" for k in range(1, most + 1)), "seconds"]
    rows = [
        [
            name,
            report.episodes,
            f"{report.tool_results.equal} of {report.tool_results.total}",
            f"{report.rewards.equal} of {report.rewards.total}",
            *(f"{report.pass_k[str(k)]:.3f}" if str(k) in report.pass_k else "-" for k in range(1, most + 1)),
            f"{report.seconds:.2f}",
        ]
        for name, report in reports.items()
    ]
    return aligned(columns, rows)


def divergences(diverged: Sequence[Divergence]) -> str:
    """Each divergence with what was recorded and what came out."""
    return "\n".join(_divergence(each) for each in diverged)


def _divergence(each: Divergence) -> str:
    head = f"{each.episode}  {_MEANING[each.kind]}"
    if each.tool is not None:
        head += f": call {each.call}, {each.tool}({json.dumps(each.args, ensure_ascii=False)})"
    recorded, actual = _around(_text(each.recorded), _text(each.actual))
    return f"{head}\n  recorded  {recorded}\n  actual    {actual}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _around(one: str, other: str) -> tuple[str, str]:
    """Both texts on one line, cut to where they first differ."""
    same = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, same - BEFORE)
    return _cut(one, start), _cut(other, start)


def _cut(text: str, start: int) -> str:
    end = start + BEFORE + AFTER
    cut = text[start:end].replace("\n", "\\n")
    return ("..." if start else "") + cut + ("..." if end < len(text) else "")


def turned(tasks: Turned) -> str:
    """Which tasks the candidate turned, each by its id."""
    lines = [
        f"{name.ljust(7)} {len(found)}: {', '.join(found) or '-'}"
        for name, found in (("fixed", tasks.fixed), ("broken", tasks.broken))
    ]
    if tasks.unpaired:
        lines.append(f"in one file only, not compared: {', '.join(tasks.unpaired)}")
    return "\n".join(lines)
