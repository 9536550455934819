"""Who is told when: what becomes of approvals, budgets and deployments, in the transaction that makes it so."""

from __future__ import annotations

from gatewright.runtime.clock import MICROSECONDS
from gatewright.runtime.store.writer import Transaction
from gatewright.safety.approvals.ballots import Request
from gatewright.safety.approvals.deadlines import Happening
from gatewright.safety.verdicts import RuleHit

from . import facts, outbox
from .facts import Facts

QUIET = 3600  # seconds in which a budget that stays used up is told once


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


def paused(transaction: Transaction, deployment: str, reason: str, *, now: int) -> None:
    """Somebody stopped a deployment."""
    said = Facts(
        deployment=deployment, subject=f"deployment {deployment}", state="paused", reason=facts.masked(reason, {})
    )
    outbox.enqueue(transaction, "deployment.paused", deployment, said, now=now)


def used_up(transaction: Transaction, hit: RuleHit, deployment: str, agent: str, *, now: int) -> None:
    """A limit refused, asked or degraded. All the calls that it does so to are one message an hour."""
    budget = f"{deployment}/{hit.rule_id}"
    if not outbox.told(transaction, "budget.hit", budget, since=now - QUIET * MICROSECONDS):
        said = Facts(
            deployment=deployment,
            agent=agent,
            subject=hit.rule_id,
            state="used up",
            reason=facts.masked(hit.reason, {}),
        )
        outbox.enqueue(transaction, "budget.hit", budget, said, now=now)
