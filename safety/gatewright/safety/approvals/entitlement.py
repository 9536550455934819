"""Who may decide a request: roles, numbers, four eyes, emergencies."""

from __future__ import annotations

from gatewright.agents.errors import ConflictError, UsageError

from .ballots import Request, Vote
from .terms import BREAK_GLASS, NAME, ROLE


class NotEntitledError(UsageError):
    """This person may not decide this request; somebody else must."""


def check(request: Request, vote: Vote) -> None:
    """Check that a person may cast this vote.

    Raises:
        NotEntitledError: the person is excluded or lacks a role, who they are is not proven and matters, or it is no
            person.
        ConflictError: the person has voted already, themselves or through a delegate.
        UsageError: the vote has no name, or breaks the glass without a reason.
    """
    if not vote.by:
        raise UsageError("a vote needs the name of the person who casts it")
    if vote.program and request.kind != "question":
        raise NotEntitledError(
            f"request {request.id!r} asks people, and {vote.by!r} is a program's account; sign in as a person"
        )
    if vote.break_glass:
        _check_emergency(request, vote)
        return
    _check_excluded(request, vote)
    _check_distinct(request, vote)
    if not vote.authenticated:
        _check_unproven(request, vote)
    _check_roles(request, vote)


def _check_excluded(request: Request, vote: Vote) -> None:
    excluded = request.excluded
    for name in sorted(vote.people):
        if name in excluded:
            raise NotEntitledError(
                f"{name!r} {excluded[name]} and may not decide request {request.id!r}; ask somebody else"
            )


def _check_distinct(request: Request, vote: Vote) -> None:
    for earlier in request.votes:
        if twice := sorted(earlier.people & vote.people):
            raise ConflictError(f"{twice[0]!r} has had a say on request {request.id!r} already; it needs somebody else")


def _check_unproven(request: Request, vote: Vote) -> None:
    """Names that are only said are enough on a developer's own machine, where nothing depends on who it is."""
    needs = (
        f"a person with the role {sorted(request.terms.roles)[0]!r}"
        if request.terms.roles
        else f"{request.terms.quorum} different people"
        if request.terms.quorum > 1
        else "somebody else than whoever started the run or wrote the arguments"
        if {request.requester, *request.editors} & request.excluded.keys()
        else "a delegate of whom it is known who they are"
        if vote.on_behalf_of
        else "somebody else to look at it"
        if request.kind == "review"
        else ""
    )
    if needs:
        raise NotEntitledError(
            f"request {request.id!r} needs {needs}, and nothing proves that this is {vote.by!r}; configure `[people]` "
            "and sign in"
        )


def _check_roles(request: Request, vote: Vote) -> None:
    called = request.called
    if {f"{ROLE}{role}" for role in vote.roles} & called or {f"{NAME}{name}" for name in vote.people} & called:
        return
    missing = sorted(request.asked.roles - vote.roles)
    if missing:
        holder = vote.on_behalf_of or vote.by
        raise NotEntitledError(
            f"request {request.id!r} needs the role {missing[0]!r}, {holder!r} has {sorted(vote.roles)}; "
            "ask somebody who has it"
        )


def _check_emergency(request: Request, vote: Vote) -> None:
    if request.kind != "approval" or vote.verdict not in ("approve", "reject"):
        raise UsageError(
            f"breaking the glass approves or rejects an action, it cannot {vote.verdict} this {request.kind}"
        )
    if not vote.authenticated or BREAK_GLASS not in vote.roles or vote.on_behalf_of:
        raise NotEntitledError(
            f"breaking the glass needs a person who has signed in and holds the role {BREAK_GLASS!r} themselves, "
            f"{vote.by!r} has {sorted(vote.roles)}"
        )
    if vote.by == request.requester:
        raise NotEntitledError(f"{vote.by!r} started the run; nobody breaks the glass for themselves")
    if vote.by in request.editors:
        raise NotEntitledError(f"{vote.by!r} wrote the arguments; nobody breaks the glass for what they wrote")
    if not vote.reason.strip():
        raise UsageError("breaking the glass needs a reason; somebody will review it")
