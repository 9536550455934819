"""The page of an evidence pack for people: what was decided, by whom, under which rules. Needs no other file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment

from gatewright.runtime import summaries
from gatewright.runtime.display import MISLEADING
from gatewright.runtime.views import RecordView

LONGEST = 2_000  # characters of a value

_PAGE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Evidence from {{ manifest.origin }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1b1f24 }
table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid #d0d7de; padding: .4rem .6rem; text-align: left; vertical-align: top }
code, pre { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; margin: 0 }
</style>
</head>
<body>
<h1>Evidence from {{ manifest.origin }}</h1>
<p>{{ manifest.records }} of the {{ manifest.size }} records of the log: {{ manifest.chosen }}.
{% if rows|length < manifest.records %}
Shown are the last {{ rows|length }}; all are in <code>records.jsonl</code>.
{% endif %}
</p>
<h2>How to verify it</h2>
<p>With Python 3.11 or newer and nothing else, in the unpacked folder:</p>
<pre>python verify.py --key KEY</pre>
<p>KEY is the log's verifier key, from somebody who answers for the log and not from this pack, which names
<code>{{ manifest.key }}</code>. It proves that the records are those that were logged. It does not prove that what was
logged was true, or that everything was logged. This page is for reading; the records are the evidence.</p>
<h2>The checkpoint</h2>
<pre>{{ note }}</pre>
<h2>The records</h2>
<table>
<thead><tr><th>Index</th><th>Time</th><th>What</th><th>Rules</th><th>Decided by</th><th>Outcome</th>
<th>Details</th></tr></thead>
<tbody>
{% for row in rows %}
<tr id="record-{{ row.index }}"><td>{{ row.index }}</td><td>{{ row.time }}</td><td>{{ row.kind }} {{ row.name }}</td>
<td>{{ row.verdict }} {{ row.rules }}</td><td>{{ row.approver }}</td><td>{{ row.outcome }}</td>
<td>{% for name, value in row.facts %}<p>{{ name }} <code>{{ value }}</code></p>{% endfor %}
<p>leaf <code>{{ row.leaf }}</code></p></td></tr>
{% endfor %}
</tbody>
</table>
</body>
</html>
""")


def report(manifest: Mapping[str, Any], shown: Sequence[RecordView], note: str) -> str:
    """The page as HTML. Sealed values are on it as far as `shown` holds them."""
    return _PAGE.render(manifest=manifest, rows=[_row(view) for view in shown], note=note).translate(MISLEADING)


def _row(view: RecordView) -> dict[str, Any]:
    summary = summaries.of(view)
    record = view.record
    values = {
        "deployment": record["deployment"],
        "agent": record["agent"],
        "case": record["case_id"],
        "run": record["run_id"],
        **({"detail": record["detail"]} if record["detail"] else {}),
        **view.opened,
    }
    return {
        "index": view.index,
        "time": record["time"],
        "kind": summary.kind,
        "name": summary.name,
        "verdict": summary.verdict,
        "rules": ", ".join(summary.rules),
        "approver": summary.approver,
        "outcome": summary.outcome,
        "facts": [(name, _text(value)) for name, value in values.items() if value not in ("", None)],
        "leaf": view.leaf_hash,
    }


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"
