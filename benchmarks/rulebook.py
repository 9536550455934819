"""Rules and an event to judge by them, for every engine alike: seven kinds of rules over four tools, fifty effects ago.

A quarter of the rules is about the event's tool; the others are told from it by the first condition. No index helps:
every engine evaluates every rule.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from gatewright.safety import Event, Guard, Pack, Past

TOOLS = ("send_email", "send_money", "post_message", "share_file")
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
_HEAD = "apiVersion: gatewright/v1\nkind: RulePack\nname: bench\nversion: 1\n"

_ARGS: dict[str, Any] = {
    "to": ["kim@corp.example", "lee@corp.example", "pat@elsewhere.example"],
    "amount": 1020.5,
    "body": "Please pay the attached invoice into account 12345 until Friday, as agreed on the telephone.",
    "subject": "Invoice",
    "account": "DE89370400440532013000",
    "urgent": True,
}

# Condition by condition, an argument or so that it holds for, and one that it does not hold for.
_KINDS: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ('!args.to.all(r, r.endsWith("@corp{n}.example"))', {"args": {"to": ["a@b.org"]}}, {"args": {"to": []}}),
    ("args.amount > {n}00.0", {"args": {"amount": 1e6}}, {"args": {"amount": 0}}),
    (
        'history.exists(h, h.name == "read_file" && h.args.path == "/data/{n}")',
        {"history": [{"name": "read_file", "args": {"path": "/data/{n}"}}]},
        {},
    ),
    (
        'targets.exists(t, !t.known && t.path.startsWith("account") && args.amount > {n}00.0)',
        {"args": {"amount": 1e6, "account": "A1"}},
        {"args": {"amount": 0, "account": "A1"}},
    ),
    (
        'size(history.filter(h, h.name == "{tool}" && h.seconds_ago < {n}0.0)) >= 1',
        {"history": [{"name": "{tool}", "seconds_ago": 1}]},
        {},
    ),
    ('args.body.matches("account [0-9]*{n}$")', {"args": {"body": "account {n}"}}, {"args": {"body": ""}}),
    ('agent == "intern-{n}"', {"agent": "intern-{n}"}, {}),
)


def conditions(count: int) -> list[str]:
    """The conditions of so many rules, in CEL."""
    return [f'tool.name == "{tool}" && {kind}' for tool, kind, _match, _pass in _filled(count)]


def guard(count: int) -> Guard:
    """The same as a rule pack."""
    rules = [
        {
            "id": f"rule-{at}",
            "on": {"hook": "tool.before"},
            "when": condition,
            "then": "ask",
            "reason": f"rule {at} is about {{{{ tool.name }}}}",
            "examples": {"match": [{"name": tool, **match}], "pass": [{"name": tool, **passes}]},
        }
        for at, ((tool, _kind, match, passes), condition) in enumerate(
            zip(_filled(count), conditions(count), strict=True)
        )
    ]
    described = {tool: {"labels": ["egress"], "target": ["account"], "payload": ["body"]} for tool in TOOLS}
    return Guard([Pack.parse(f"{_HEAD}tools: {json.dumps(described)}\nrules: {json.dumps(rules)}\n")])


def event(rules: Guard) -> Event:
    """A call with six arguments after fifty effects of its case, with the index that a service would keep of them."""
    history = [
        Past(
            kind="tool",
            name="read_file" if at % 2 else TOOLS[at % 4],
            args={"path": f"/data/{at}", "to": [f"a{at}@corp.example"]},
            result={"size": at, "owner": f"user-{at}"},
            time=NOW - timedelta(seconds=3 * at),
        )
        for at in reversed(range(50))
    ]
    index = rules.index()
    for past in history:
        index.add(past)
    return Event(
        hook="tool.before",
        name="send_email",
        agent="desk",
        deployment="bench",
        run_id="run-1",
        thread_id="thread-1",
        args=_ARGS,
        history=history,
        index=index,
        time=NOW,
    )


def values(given: Event) -> dict[str, Any]:
    """What the variables of the conditions stand for, as an engine alone would be given it: already found out."""
    return {
        "tool.name": given.name,
        "agent": given.agent,
        "args": dict(given.args),
        "history": [
            {"name": past.name, "args": dict(past.args), "seconds_ago": (NOW - past.time).total_seconds()}
            for past in given.history
        ],
        "targets": [{"path": "account", "value": _ARGS["account"], "known": False, "source": ""}],
    }


def _filled(count: int) -> list[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
    found: list[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]] = []
    for at in range(count):
        tool = TOOLS[at % len(TOOLS)]
        kind, match, passes = _KINDS[at // len(TOOLS) % len(_KINDS)]

        def fill(text: str, tool: str = tool, at: int = at) -> str:
            return text.replace("{tool}", tool).replace("{n}", str(at))

        found.append((tool, fill(kind), json.loads(fill(json.dumps(match))), passes))
    return found
