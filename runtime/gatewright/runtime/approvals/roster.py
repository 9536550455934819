"""What people gave and can give no longer: delegations and grants of those who have left or lost a role."""

from __future__ import annotations

from collections.abc import Mapping

from gatewright.runtime.store.writer import Transaction

from . import delegations, grants

BY = "system"


def withdraw(transaction: Transaction, people: Mapping[str, frozenset[str]], *, now: int) -> int:
    """End what rests on people or roles that are not there any more; gives how many. For when a service is opened.

    Args:
        people: everybody whom the configuration knows, with their roles. Where it knows nobody, nothing is proven of
            anybody, and nothing ends.
    """
    if not people:
        return 0
    ended = 0
    for delegation in delegations.in_force(transaction, now=now):
        if delegation.to not in people or not delegation.roles <= people.get(delegation.by, frozenset()):
            delegations.end(transaction, delegation, by=BY, now=now)
            ended += 1
    for grant in grants.in_force(transaction, now=now):
        vote = grant.vote
        if not (vote.authenticated and vote.by in people and vote.roles <= people[vote.by]):
            grants.end(transaction, grant, by=BY, now=now)
            ended += 1
    return ended
