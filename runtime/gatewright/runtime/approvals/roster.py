"""Who is there: names that must be known, and what those who have left or lost a role can give no longer."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

from gatewright.agents.errors import UsageError
from gatewright.runtime.deployments import LoadedDeployment
from gatewright.runtime.store.writer import Transaction

from . import delegations, grants

BY = "system"
_NAMED = "name:"  # begins the name of a person in `excluded`


def check(deployment: LoadedDeployment, people: Collection[str]) -> None:
    """Check that whom a deployment and its rules name is there: a misspelt name would exclude nobody.

    Args:
        people: everybody whom the configuration knows; nobody is checked where it knows nobody.

    Raises:
        UsageError: somebody is not.
    """
    named = {f"`owner` of deployment {deployment.name!r}": deployment.owner} if deployment.owner else {}
    for pack in deployment.guard.packs:
        for rule in pack.rules:
            for name in () if rule.terms is None else rule.terms.excluded:
                if name.startswith(_NAMED):
                    named[f"`excluded` of rule {rule.id!r} of {pack.name!r}"] = name.removeprefix(_NAMED)
    for place, name in named.items():
        if people and name not in people:
            near = difflib.get_close_matches(name, people, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {sorted(people)}"
            raise UsageError(f"{place} names {name!r}, who is not among [people]; {hint}")


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
