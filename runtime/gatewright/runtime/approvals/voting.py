"""Votes in the database, each in one transaction with its ledger entry and with all that follows from it."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from gatewright.runtime import identifiers, requests, runs
from gatewright.runtime.approvals.rows import Row
from gatewright.runtime.clock import moment
from gatewright.runtime.interop import questions
from gatewright.runtime.notices import telling
from gatewright.runtime.store.writer import Transaction
from gatewright.safety import approvals
from gatewright.safety.approvals import deadlines
from gatewright.safety.approvals.ballots import Request, Vote, Voter
from gatewright.safety.approvals.delegations import standing_in
from gatewright.safety.approvals.grants import Offer

from . import delegations, entries, grants


class Voted(NamedTuple):
    """What a vote led to: the request after it, the run that asked, and the review that an emergency is due."""

    request: Request
    run_id: str
    review: Request | None = None


def decide(transaction: Transaction, request_id: str, vote: Vote, *, offer: Offer | None = None, now: int) -> Voted:
    """Store a vote; if it decides, the run that waits for it goes on.

    Raises:
        NotFoundError, ConflictError, UsageError: see `requests.find`, `gatewright.safety.approvals.decide` and
            `gatewright.safety.approvals.grants.granted`.
    """
    request, row = requests.find(transaction, request_id)
    vote = questions.translated(request, vote)
    if vote.on_behalf_of:
        voter = Voter(name=vote.by, roles=vote.roles, authenticated=vote.authenticated)
        held = delegations.between(transaction, vote.on_behalf_of, vote.by)
        given = standing_in(held, voter, vote.on_behalf_of, request.action, moment(now))
        vote = dataclasses.replace(vote, roles=given.roles)
    decided = approvals.decide(request, vote)
    if decided is request:
        return Voted(request, row.run_id)
    for happening in deadlines.advanced(request, moment(now)):
        entries.happened(transaction, row, happening, now=now)
        telling.happened(transaction, happening, now=now)
    requests.store(transaction, row, request, decided, now=now)
    entries.voted(transaction, row, request, decided, vote, now=now)
    telling.voted(transaction, request, decided, now=now)
    if offer is not None:
        grants.give(transaction, row, request, vote, offer, now=now)
    review = _review(transaction, row, decided, vote, now=now) if vote.break_glass else None
    if decided.state != "open":
        runs.arrived(transaction, row.run_id, request_id, now=now)
    return Voted(decided, row.run_id, review)


def _review(transaction: Transaction, row: Row, request: Request, vote: Vote, *, now: int) -> Request:
    review = approvals.reviewing(request, vote, identifiers.new("ask"))
    requests.open_request(transaction, row.run_id, row, f"{row.key}!{request.id}", review, now=now)
    return review
