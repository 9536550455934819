"""What came due on open requests: a row says when something happens to it next, and whoever polls lets it happen.

Nothing depends on a timer in a process. What came due while no process ran happens at the first look, once and in
order.
"""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from gatewright.runtime import requests, runs
from gatewright.runtime.clock import moment
from gatewright.runtime.notices import telling
from gatewright.runtime.store import schema
from gatewright.runtime.store.writer import Transaction
from gatewright.safety.approvals import deadlines
from gatewright.safety.approvals.ballots import Request
from gatewright.safety.approvals.deadlines import Happening

from . import entries

MOST = 1000  # requests of one look; the next look takes the others

_APPROVAL = schema.Approval.__table__  # type: ignore[attr-defined]  # SQLModel adds it
DUE = (
    sa.select(_APPROVAL.c.id)
    # literals, so that the partial index serves
    .where(sa.text("state = 'open'"), _APPROVAL.c.due_at <= sa.bindparam("now"))
    .order_by(_APPROVAL.c.due_at, _APPROVAL.c.number)
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True)
)


class Moved(NamedTuple):
    """A request that something happened to, and the run that asked."""

    run_id: str
    request: Request
    happenings: tuple[Happening, ...]


def happen(transaction: Transaction, *, now: int) -> list[Moved]:
    """Let everything happen that came due; runs whose requests ended by that go on."""
    moved: list[Moved] = []
    for (request_id,) in transaction.all(DUE, now=now, most=MOST):
        request, row = requests.find(transaction, request_id)
        happenings = tuple(deadlines.advanced(request, moment(now)))
        if not happenings:
            continue
        after = happenings[-1].request
        requests.store(transaction, row, request, after, now=now)
        for happening in happenings:
            entries.happened(transaction, row, happening, now=now)
            telling.happened(transaction, happening, now=now)
        if after.state != "open":
            runs.arrived(transaction, row.run_id, request_id, now=now)
        moved.append(Moved(row.run_id, after, happenings))
    return moved
