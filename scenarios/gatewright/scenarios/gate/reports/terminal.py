"""A report as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from gatewright.agents.wording import counted
from gatewright.runtime.cli.desk import aligned
from gatewright.scenarios.gate import wording

from .document import AS_BASELINE, BEFOREHAND, Document, Line, Row

SHOWN = 20  # cases of each kind


def text(document: Document) -> str:
    """The report: what could be seen, the numbers, what was fixed and broken, then the verdict with its reasons."""
    return "\n".join(_parts(document))


def _parts(document: Document) -> Iterator[str]:
    against = f" against {document.base}" if document.base is not None else ""
    yield f"{document.name}{against}: {counted(len(document.lines), 'case')}"
    if document.beforehand:
        yield f"\n{BEFOREHAND if document.base is not None else AS_BASELINE}:"
        yield from (f"    {line}" for line in document.beforehand)
    yield f"\n{_table(document)}"
    if document.icc is not None:
        yield f"\ntrials of one case agree with ICC {document.icc:.2f}"
    if document.mcnemar is not None:
        yield f"McNemar's exact test of the single trials, two-sided: {wording.probability(document.mcnemar)}"
    if document.base is not None:
        yield from _list("fixed", document.changed("fixed"))
        yield from _list("broken", document.changed("broken"))
        if gone := document.changed("gone"):
            yield from _list("not run by the candidate", gone)
        if new := document.changed("new"):
            yield from _list("not in the baseline", new)
    if document.outcome is not None:
        yield ""
        yield from (f"{finding.outcome}: {finding.rule}: {finding.reason}" for finding in document.findings)
        yield f"\n{document.outcome.upper()}"


def _table(document: Document) -> str:
    if document.base is None:
        columns = ["metric", "cases", "mean", "95 % interval", "unknown"]
        return aligned(columns, [_alone(row) for row in document.rows])
    columns = ["metric", "cases", "baseline", "candidate", "change", "95 % interval", "p worse", "unknown"]
    return aligned(columns, [_compared(row) for row in document.rows])


def _alone(row: Row) -> list[str]:
    low_high = "-" if row.own is None else " to ".join(wording.value(row.name, end) for end in row.own)
    return [row.name, str(row.cases), wording.known(row.name, row.value), low_high, str(row.missing or "-")]


def _compared(row: Row) -> list[str]:
    return [
        row.name,
        str(row.cases),
        wording.known(row.name, row.base),
        wording.known(row.name, row.value),
        wording.change(row.name, row.difference),
        "-" if row.interval is None else wording.interval(row.name, row.interval),
        "-" if row.p_worse is None else wording.chance(row.p_worse),
        str(row.missing or "-"),
    ]


def _list(word: str, lines: list[Line]) -> Iterator[str]:
    yield f"\n{word}: {len(lines)}"
    for line in lines[:SHOWN]:
        moved = f"{line.base_result} -> {line.result}" if line.base_result and line.result else line.result
        yield f"    {line.name}  {moved or line.base_result}" + (f"  ({line.notes[0]})" if line.notes else "")
    if len(lines) > SHOWN:
        yield f"    and {len(lines) - SHOWN} more, see --json or a report"
