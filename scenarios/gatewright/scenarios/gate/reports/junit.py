"""A report as JUnit XML, as both Ant's schema and that of Jenkins' xUnit plug-in have it.

Every rule is a test case, and every case of the suite is. The file is red exactly where the gate did not pass: single
cases that broke by chance do not turn a build red that the gate let through, they are told as skipped.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal, NamedTuple
from xml.etree import ElementTree

from gatewright.runtime.display import clean
from gatewright.scenarios.gate.verdict import Finding

from .document import Document, Line

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2


class Status(NamedTuple):
    """What is told of a test case that did not simply pass."""

    kind: Literal["failure", "error", "skipped"]
    message: str


def xml(document: Document) -> str:
    """The report as XML with a declaration."""
    root = ElementTree.Element("testsuites")
    gate = [(finding.rule, _judged(finding), 0.0, "") for finding in document.findings]
    if document.outcome is not None:
        _suite(root, document, "gate", gate)
    cases = [
        (line.name, _status(document, line), line.seconds or 0.0, "\n".join(line.notes)) for line in document.lines
    ]
    _suite(root, document, "cases", cases)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


def _judged(finding: Finding) -> Status | None:
    if finding.outcome == "pass":
        return None
    return Status("failure" if finding.outcome == "fail" else "error", finding.reason)


def _status(document: Document, line: Line) -> Status | None:
    failed = line.share is not None and line.share <= 0.5
    said = f"{line.base_result} -> {line.result}" if line.base_result else f"{line.result} trials succeeded"
    if line.change == "gone":
        return Status(
            "error" if document.outcome in (None, "inconclusive") else "skipped", "the candidate did not run it"
        )
    if line.share is None:
        return Status("skipped" if document.outcome == "pass" else "error", "it is not known how it ended")
    blocking = line.severity == "block" and line.share < 1
    if document.base is None:
        return Status("failure", said) if failed or blocking else None
    if line.change == "broken" or blocking:
        red = document.outcome in (None, "fail")
        return Status("failure" if red else "skipped", said if red else f"{said}, which alone does not fail the gate")
    told = said if line.change == "new" else f"{said}, fails as it did before"
    return Status("skipped", told) if failed else None


def _suite(
    root: ElementTree.Element, document: Document, name: str, cases: list[tuple[str, Status | None, float, str]]
) -> None:
    kinds = [status.kind for _, status, _, _ in cases if status]
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name=name,
        package=_text(document.name) or "gatewright",
        id=str(len(root)),
        timestamp=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        hostname="localhost",
        tests=str(len(cases)),
        failures=str(kinds.count("failure")),
        errors=str(kinds.count("error")),
        skipped=str(kinds.count("skipped")),
        time=f"{sum(seconds for _, _, seconds, _ in cases):.3f}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    facts = {"baseline": document.base, "verdict": document.outcome, **document.about}
    for key, value in facts.items():
        if value is not None:
            ElementTree.SubElement(properties, "property", name=_text(key) or "-", value=_text(value))
    for case, status, seconds, notes in cases:
        element = ElementTree.SubElement(
            suite, "testcase", name=_text(case), classname=f"gatewright.{name}", time=f"{seconds:.3f}"
        )
        if status is None:
            continue
        told = ElementTree.SubElement(element, status.kind)
        if status.kind != "skipped":
            told.set("type", status.kind)
        told.set("message", _text(status.message))
        told.text = _text(notes) or None
    ElementTree.SubElement(suite, "system-out")
    ElementTree.SubElement(suite, "system-err")


def _text(value: str) -> str:
    return _ILLEGAL.sub("�", clean(value))
