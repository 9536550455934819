"""Whether pauses and waivers are as the ledger says: who can write to the database could otherwise lift either."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from sqlalchemy import Connection

from gatewright.runtime import leaves
from gatewright.runtime.clock import moment
from gatewright.runtime.store import schema
from gatewright.safety.ledger import records

_PAUSE = schema.Pause.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_WAIVER = schema.Waiver.__table__  # type: ignore[attr-defined]


def contradictions(connection: Connection) -> Iterator[str]:
    """What is stored and no record says, and what records say and is not stored."""
    paused, waived = _recorded(connection)
    shown = {row.deployment: (row.by, _time(row.since)) for row in connection.execute(_PAUSE.select())}
    for deployment in sorted(paused.keys() | shown.keys()):
        if paused.get(deployment) != shown.get(deployment):
            yield f"deployment {deployment!r} is shown as {_state(shown, deployment)}, the records say otherwise"
    stored = {row.id: _stored(row) for row in connection.execute(_WAIVER.select())}
    for waiver in sorted(waived.keys() | stored.keys()):
        if waived.get(waiver) != stored.get(waiver):
            yield f"waiver {waiver!r} is not as the records say"


def _recorded(connection: Connection) -> tuple[dict[str, Any], dict[str, Any]]:
    paused: dict[str, Any] = {}
    waived: dict[str, Any] = {}
    for stored in leaves.of_kinds(connection, ["control"]):
        record = orjson.loads(stored.body)
        said, deployment = record["detail"], record["deployment"]
        match said.get("action"):
            case "pause":
                paused[deployment] = (said["by"], record["time"])
            case "resume":
                paused.pop(deployment, None)
            case "waive":
                waived[said["waiver"]] = (said["rule"], said["scope"], said["by"], said["until"], None)
            case "revoke" if said["waiver"] in waived:
                waived[said["waiver"]] = (*waived[said["waiver"]][:-1], (said["by"], record["time"]))
            case _:
                pass
    return paused, waived


def _stored(row: Any) -> tuple[Any, ...]:
    revoked = None if row.revoked_at is None else (row.revoked_by, _time(row.revoked_at))
    return (row.rule_id, orjson.loads(row.scope), row.by, _time(row.until_at), revoked)


def _time(microseconds: int) -> str:
    return records.timestamp(moment(microseconds))


def _state(shown: dict[str, Any], deployment: str) -> str:
    return "paused" if deployment in shown else "running"
