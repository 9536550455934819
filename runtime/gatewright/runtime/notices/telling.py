"""Who is told when: what becomes of an approval, as messages in the transaction that makes it so."""

from __future__ import annotations

from gatewright.runtime.store.writer import Transaction
from gatewright.safety.ballots import Request
from gatewright.safety.deadlines import Happening

from . import facts, outbox


def opened(transaction: Transaction, request: Request, *, now: int) -> None:
    """People are asked."""
    outbox.enqueue(transaction, "approval.opened", request.id, facts.of_request(request), now=now)


def voted(transaction: Transaction, before: Request, after: Request, *, now: int) -> None:
    """Somebody voted: it is decided, or the next stage's people are asked, or more of the same must agree."""
    if after.state != "open":
        outbox.enqueue(transaction, "approval.decided", after.id, facts.of_request(after), now=now)
    elif after.stage != before.stage:
        opened(transaction, after, now=now)


def happened(transaction: Transaction, happening: Happening, *, now: int) -> None:
    """Something came due. A request that is held when its time is over stays open, and is told as expired once."""
    request, to = happening.request, happening.to or None
    if happening.what == "reminder":
        outbox.enqueue(transaction, "approval.reminder", request.id, facts.of_request(request, to), now=now)
    elif to is not None:  # a step of the escalation, or the deadline put off for its sake
        outbox.enqueue(transaction, "approval.escalated", request.id, facts.of_request(request, to), now=now)
    else:
        outbox.enqueue(transaction, "approval.expired", request.id, facts.of_request(request), now=now)
