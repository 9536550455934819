"""A report as Markdown, for the comment on a change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gatewright.runtime.display import clean
from gatewright.scenarios.gate import wording

from .document import AS_BASELINE, BEFOREHAND, Document, Line, Row

SHOWN = 50  # cases of each kind: comments have a limit
_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~@&])")


def text(document: Document) -> str:
    """The report: verdict and reasons first, then numbers, then what was fixed and broken."""
    return "\n".join(_parts(document)) + "\n"


def _parts(document: Document) -> Iterator[str]:
    against = f" against {_plain(document.base)}" if document.base is not None else ""
    outcome = f": {document.outcome}" if document.outcome else ""
    yield f"## {_plain(document.name)}{against}{outcome}\n"
    for finding in document.findings:
        yield f"- **{finding.outcome}**, {_plain(finding.rule)}: {_plain(finding.reason)}"
    if document.beforehand:
        yield f"\n{BEFOREHAND if document.base is not None else AS_BASELINE}:\n"
        yield from (f"- {_plain(line)}" for line in document.beforehand)
    yield ""
    yield from _metrics(document)
    if document.base is not None:
        for change in ("broken", "fixed"):
            yield from _cases(change.capitalize(), document.changed(change))
        yield from _cases("Not run by the candidate", document.changed("gone"), always=False)


def _metrics(document: Document) -> Iterator[str]:
    if document.base is None:
        yield from _table(["metric", "mean", "95 % interval"], [_alone(row) for row in document.rows])
    else:
        columns = ["metric", "baseline", "candidate", "change", "95 % interval", "p worse"]
        yield from _table(columns, [_compared(row) for row in document.rows])


def _alone(row: Row) -> list[str]:
    ends = "" if row.own is None else " to ".join(wording.value(row.name, end) for end in row.own)
    return [row.name, wording.known(row.name, row.value), ends]


def _compared(row: Row) -> list[str]:
    return [
        row.name,
        wording.known(row.name, row.base),
        wording.known(row.name, row.value),
        wording.change(row.name, row.difference),
        "" if row.interval is None else wording.interval(row.name, row.interval),
        "" if row.p_worse is None else wording.chance(row.p_worse),
    ]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    yield from (f"| {' | '.join(map(_plain, row))} |" for row in rows)


def _cases(word: str, lines: list[Line], *, always: bool = True) -> Iterator[str]:
    if not lines and not always:
        return
    yield f"\n**{word}: {len(lines)}**"
    if lines:
        yield ""
    for line in lines[:SHOWN]:
        note = f": {_plain(line.notes[0])}" if line.notes else ""
        yield f"- {_plain(line.name)}, {line.base_result or '?'} to {line.result or 'not run'}{note}"
    if len(lines) > SHOWN:
        yield f"- and {len(lines) - SHOWN} more"


def _plain(value: str) -> str:
    """Text that Markdown and the HTML within it leave as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(clean(value).split()))
