"""Reports as files; the ending of the name says which.

The JSON of a gate holds both tables and the rules beside what was found, so that every other report can be made of it
later: the gate is judged again, and since all its draws are seeded it says the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from gatewright.agents.errors import IntegrityError, UsageError
from gatewright.scenarios.gate import recorded, rules
from gatewright.scenarios.gate.comparison import Comparison, compare
from gatewright.scenarios.gate.trials import Table
from gatewright.scenarios.gate.verdict import Verdict, judge

from . import junit, markdown, page
from .document import Document, of_comparison, of_run, of_verdict

FORMAT: Final = "gatewright.gate"

FORMATS: dict[str, Callable[[Document], str]] = {".html": page.html, ".xml": junit.xml, ".md": markdown.text}
"""How a report is written, by the ending of its file; `.json` is the fourth."""


def write(path: Path, subject: Verdict | Comparison | Table) -> None:
    """Write the report of it.

    Raises:
        UsageError: the file's ending is none of ours, or it cannot be written.
    """
    if path.suffix == ".json":
        text = json.dumps(plain(subject), ensure_ascii=False, indent=1) + "\n"
    elif writer := FORMATS.get(path.suffix):
        text = writer(document(subject))
    else:
        known = ", ".join([*FORMATS, ".json"])
        raise UsageError(f"no report is written as {str(path)!r}; its name must end in one of {known}")
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"cannot write the report {str(path)!r}: {error.strerror}") from error


def document(subject: Verdict | Comparison | Table) -> Document:
    """What the report of it says."""
    if isinstance(subject, Verdict):
        return of_verdict(subject)
    return of_comparison(subject) if isinstance(subject, Comparison) else of_run(subject)


def plain(subject: Verdict | Comparison | Table) -> dict[str, Any]:
    """The report as JSON: the document, with the tables and rules that it can be made of again."""
    value: dict[str, Any] = {"format": FORMAT, "version": 1, **document(subject).plain()}
    if isinstance(subject, Table):
        return value | {"candidate_table": _table(subject)}
    compared = subject.comparison if isinstance(subject, Verdict) else subject
    value |= {"base_table": _table(compared.base), "candidate_table": _table(compared.candidate)}
    return value | ({"gate": subject.gate.model_dump(mode="json")} if isinstance(subject, Verdict) else {})


def load(path: Path) -> Verdict | Comparison | Table:
    """What a report is to be written of: the JSON of a gate, comparison or run, or a result file.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it holds something else.
        IntegrityError: the verdict that it states is not what its trials give.
    """
    value = _stored(path)
    if value is None:
        return recorded.read(path)
    try:
        candidate = Table.model_validate(value["candidate_table"])
        base = Table.model_validate(value["base_table"]) if "base_table" in value else None
    except (KeyError, ValidationError) as error:
        raise UsageError(f"{str(path)!r} is no report that another can be made of: {error}") from error
    if base is None:
        return candidate
    if "gate" not in value:
        return compare(base, candidate)
    judged = judge(base, candidate, rules.parse(value["gate"], str(path)))
    if judged.outcome != value.get("outcome"):
        raise IntegrityError(
            f"{str(path)!r} says {value.get('outcome')!r}, but its trials and rules give {judged.outcome!r}; "
            "do not trust it, judge the result files again"
        )
    return judged


def _stored(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None  # the reader of result files says what is wrong with it
    return value if isinstance(value, dict) and value.get("format") == FORMAT else None


def _table(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "about": table.about,
        "trials": [trial.model_dump(mode="json", exclude_defaults=True) for trial in table.trials],
    }
