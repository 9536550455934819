"""A ledger of many events, and what a back-test over it costs beside judging the same events in memory."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa

from gatewright.runtime.policy import backtest, recorded
from gatewright.runtime.store import schema
from gatewright.runtime.store.sqlite import SQLite
from gatewright.safety import Guard, canonical
from gatewright.safety.ledger import records

from . import rulebook
from .figures import Bar, Figure, Pair, say

EVENTS_PER_SECOND = Bar(value=0.5, sense="at least")
GROWTH = Bar(value=8.0, sense="at most", of="ours")
EFFECTS = 50  # of a case; each is two events
RULES = 20

_WRITTEN = 200  # cases at once


def write(folder: Path, events: int) -> None:
    """A data directory with a ledger of so many events: tool calls of cases with `EFFECTS` of them."""
    chance = random.Random(7)
    SQLite(folder).prepare()
    engine = SQLite(folder).connect()
    tables = schema.Table.metadata.tables
    cases = events // (2 * EFFECTS)
    for first in range(0, cases, _WRITTEN):
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("thread", "run", "leaf", "place", "sealed")}
        for case in range(first, min(first + _WRITTEN, cases)):
            _case(rows, case, chance)
        with engine.begin() as connection:
            for name, values in rows.items():
                connection.execute(sa.insert(tables[name]), values)
    engine.dispose()


def _case(rows: dict[str, list[dict[str, Any]]], case: int, chance: random.Random) -> None:
    name = f"case-{case}"
    began = rulebook.NOW + timedelta(hours=case)
    at = int(began.timestamp() * 1_000_000)
    common = {"deployment": "bench", "agent": "desk", "case_id": name, "created_at": at}
    rows["thread"].append({"id": name, "salt": b"", "settings": "{}", "metadata": "{}", **common})
    rows["run"].append(
        {"number": case + 1, "id": f"run-{case}", "thread_id": name, "status": "succeeded", "started_at": at}
        | {"epoch": 0, "attempt": 1, "crashes": 0, "waiting_for": "[]", **common}
    )
    for step in range(EFFECTS):
        position = case * EFFECTS + step
        tool = chance.choice((*rulebook.TOOLS, "read_file"))
        args: dict[str, Any] = {
            "path": f"/data/{step}",
            "to": [f"a{step}@corp.example", f"b{case % 97}@elsewhere.example"],
            "amount": chance.choice((12.5, 1020.5, 99_000.0)),
            "body": f"Please pay invoice {position} into account {case} until Friday, as agreed on the telephone.",
            "account": f"DE{case:020}",
        }
        sealed = {"args": args, "result": {"size": step, "owner": f"user-{step}", "note": "it is done"}}
        seals = {field: records.seal(orjson.dumps(value)) for field, value in sealed.items()}
        record = records.Record(
            kind="effect",
            time=records.timestamp(began + timedelta(seconds=3 * step)),
            deployment="bench",
            agent="desk",
            run_id=f"run-{case}",
            thread_id=name,
            case_id=name,
            effect=records.EffectPart(kind="tool", name=tool, key=f"{step}", digest=canonical.digest(args)),
            guard=records.GuardPart(before=records.Judgement(verdict="allow", pack="bench@0#000000000000")),
            outcome="ok",
            duration_ms=12,
            sealed={field: seal.commitment for field, seal in seals.items()},
        )
        leaf = {"id": position, "kind": "effect", "run_id": record.run_id, "case_id": name}
        rows["leaf"].append({**leaf, "body": record.encode()})
        rows["place"].append({"position": position, "leaf": position, "hash": b""})
        rows["sealed"] += [
            {"leaf": position, "field": field, "type": "json", "value": orjson.dumps(value), "salt": seal.salt}
            for (field, value), seal in zip(sealed.items(), seals.values(), strict=True)
        ]


def measure(folder: Path, events: int) -> list[Figure]:
    """Events a second, and how much memory the second half of the pass needs beyond the first."""
    folder.mkdir()
    write(folder, events)
    guard = rulebook.guard(RULES)
    peaks: list[int] = []
    with backtest.ledger(SQLite(folder)) as engine:
        ids = backtest.Selection().ids(engine)
        began = time.thread_time()
        report = backtest.run(engine, ids, guard, step=lambda _count: peaks.append(_peak()))
        ours = time.thread_time() - began
        bare = sum(_bare(engine, ids, guard))
    assert report.events == events, (report.events, events)
    matches = sum(report.hits.values())
    say(f"backtest: {events} events of {report.cases} cases, {matches} matches, {report.changes.count} changes")
    pair = Pair(ours=events / ours, reference=events / bare)
    return [
        Figure(
            name="backtest",
            unit="events/s",
            ours=pair.ours,
            reference=pair.reference,
            ratio=pair.ours / pair.reference,
            bar=EVENTS_PER_SECOND,
        ),
        Figure(name="backtest_growth", unit="MB", ours=(peaks[-1] - peaks[len(peaks) // 2]) / 1024, bar=GROWTH),
    ]


def _bare(engine: sa.Engine, ids: list[str], guard: Guard) -> Iterator[float]:
    """Seconds of CPU time that judging each case takes when its events are in memory."""
    for case in backtest.cases(engine, ids, lambda _count: None):
        began = time.thread_time()
        for _judged in recorded.judged(case, guard):
            pass
        yield time.thread_time() - began


def _peak() -> int:
    """The most memory that this process has had, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
