"""Questions to people, each bound to one exact action: a pure state machine, the runtime stores its states.

```
         ┌─ approve (k of n) ─▶ open ─┐
         ├────────────────────────────┘
         ├─ approve (n of n) ─▶ approved ─┐
         ├─ edit ──────┬──────▶ edited ───┤
 open ───┼─ answer ────┼──────▶ answered ─┼─ consume ─▶ consumed
  ▲ │    │             │                  └─ void ────▶ void   the action or the rules are not those decided on
  └─┘    │             └▶ superseded     what was written must be approved by others: it is asked anew
 remind  ├─ reject ───▶ rejected         one is enough
 escalate├─ cancel ───▶ cancelled        the run is over
 hold    └─ expire ───▶ expired          nobody decided in time (or approved, where the terms say so)
```

A decision is made once, stored, used once and never computed again.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime

from gatewright.agents.errors import ConflictError, UsageError

from . import deadlines, entitlement, forms
from .ballots import Request, State, Vote
from .terms import NAME, ApprovalTerms, Stage

_USABLE: tuple[State, ...] = ("approved", "edited", "answered")


def decide(request: Request, vote: Vote) -> Request:
    """The request after a person has voted: decided, or still open where more people must approve.

    A vote whose id it holds already leaves it as it is.

    Raises:
        ConflictError: it is no longer open, its time is over, the person has voted on it before, or saw another action.
        NotEntitledError: the person is excluded or lacks a role.
        UsageError: an answer that this request does not take, a rejection without a reason, an edit that is no object,
            or a value that the request's schema does not allow (the message has the path into it).
    """
    if vote.id and (earlier := next((one for one in request.votes if one.id == vote.id), None)) is not None:
        if (earlier.by, earlier.verdict, earlier.value) == (vote.by, vote.verdict, vote.value):
            return request  # the same vote, sent again
        raise ConflictError(f"vote {vote.id!r} on request {request.id!r} was another one; choose another id")
    if request.state != "open":
        by = f" by {request.vote.by!r}" if request.vote else ""
        raise ConflictError(f"request {request.id!r} is {request.state}{by} already; a decision is made once")
    request = _at(request, vote)
    entitlement.check(request, vote)
    if vote.shown and vote.shown != request.action.digest:
        raise ConflictError(
            f"{vote.by!r} was shown action {vote.shown[:12]}, request {request.id!r} is about "
            f"{request.action.digest[:12]}; look at it again"
        )
    forms.check(request, vote)
    counted = dataclasses.replace(vote, stage=request.stage)
    voted = dataclasses.replace(request, votes=(*request.votes, counted))
    return dataclasses.replace(voted, state=_state(voted, counted))


def _at(request: Request, vote: Vote) -> Request:
    """The request at the time of the vote, with all that came due before."""
    if deadlines.following(request) is None:
        return request
    if vote.time is None:
        raise UsageError(f"request {request.id!r} has terms of time; the vote needs the time it was cast")
    due = request.due
    for happening in deadlines.advanced(request, vote.time):
        request = happening.request
    if request.state != "open":
        at = "" if due is None else f" at {due.isoformat()}"
        raise ConflictError(f"request {request.id!r} expired{at}; the action must be asked for anew")
    return request


def _state(request: Request, vote: Vote) -> State:
    """The state after the vote that came last."""
    match vote.verdict:
        case "approve":
            done = vote.break_glass or request.stage == len(request.terms.stages)
            return "approved" if done else "open"
        case "edit":
            return "edited" if edits_alone(request, vote) else "superseded"
        case "answer":
            return "answered"
        case "reject":
            return "rejected"


def edits_alone(request: Request, vote: Vote) -> bool:
    """Whether who edits also approves what they wrote; else others must, and it is asked anew.

    Like all exclusions, that of the editor counts where it is known who that is.
    """
    return request.terms.quorum == 1 and not ("editor" in request.terms.excluded and vote.authenticated)


def by_default(request: Request) -> bool:
    """Whether an approved request was approved because nobody decided in time."""
    return request.stage < len(request.terms.stages) and not any(vote.break_glass for vote in request.votes)


def following(request: Request, edited: Request) -> Request:
    """A request about the arguments that somebody wrote into another one.

    Others decide it; what the rules asked for the first arguments is asked for these too, and whoever wrote any
    of them is an editor.
    """
    editors = edited.editors | frozenset(vote.by for vote in edited.votes if vote.verdict == "edit")
    return dataclasses.replace(
        request,
        terms=edited.terms.join(request.terms) if request.rules else edited.terms,
        rules=request.rules | edited.rules,
        editors=editors | frozenset(vote.on_behalf_of for vote in edited.votes if vote.verdict == "edit") - {""},
        irreversible=request.irreversible or edited.irreversible,
        prompt=request.prompt or edited.prompt,
        about=edited.id,
    )


def reviewing(request: Request, vote: Vote, id: str) -> Request:
    """The question to others whether somebody was right to break the glass: never to whom it served.

    Args:
        request: as the vote left it.
    """
    excluded = frozenset(f"{NAME}{name}" for name in {vote.by, request.requester} - {""})
    asked = request.terms.stages[request.votes[-1].stage]
    return Request(
        id=id,
        kind="review",
        action=request.action,
        terms=ApprovalTerms(stages=(Stage(roles=asked.roles),), excluded=excluded),
        prompt=f"{vote.by} broke the glass to {vote.verdict} request {request.id}: {vote.reason}",
        opened=vote.time,
        requester=request.requester,
        owner=request.owner,
        about=request.id,
    )


def consume(request: Request, digest: str) -> Request:
    """The request after its decision has been used. Do it in the transaction that records the use.

    Args:
        digest: of the action about to be performed, under the rules now in force.

    Raises:
        ConflictError: there is no decision to use, it was used before, or it is void: the action or the rules are not
            those that were decided on. In the last case store `void(request)` and ask anew.
    """
    if request.state == "consumed":
        raise ConflictError(f"the decision on request {request.id!r} was used before; it counts once, ask anew")
    if request.state not in _USABLE:
        raise ConflictError(f"request {request.id!r} is {request.state}; there is no decision to use")
    if digest != request.digest:
        raise ConflictError(
            f"the decision on request {request.id!r} is void: it was about action {request.digest[:12]}, this is "
            f"{digest[:12]} (other arguments, or other rules); ask anew"
        )
    return dataclasses.replace(request, state="consumed")


def void(request: Request) -> Request:
    """The request after its action or the rules changed under it.

    Raises:
        ConflictError: it was used, or is over.
    """
    return _ended(request, "void", ("open", *_USABLE))


def cancel(request: Request) -> Request:
    """The request after the run that asked is over.

    Raises:
        ConflictError: it was used, or is over.
    """
    return _ended(request, "cancelled", ("open", *_USABLE))


def expire(request: Request, now: datetime) -> Request:
    """The request as it is at `now`, after all that came due: see `deadlines.advanced` for each of it."""
    for happening in deadlines.advanced(request, now):
        request = happening.request
    return request


def _ended(request: Request, state: State, possible: tuple[State, ...]) -> Request:
    if request.state not in possible:
        raise ConflictError(f"request {request.id!r} is {request.state}; it cannot become {state}")
    return dataclasses.replace(request, state=state)
