"""What time does to an open request: reminders, escalation, expiry. A pure schedule; the runtime looks at the clock."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import datetime
from typing import Literal, NamedTuple

from .ballots import Request, State
from .terms import Escalation

What = Literal["reminder", "escalation", "expiry"]
_ORDER: tuple[What, ...] = ("reminder", "escalation", "expiry")


class Due(NamedTuple):
    """Something that is to happen to a request at a time."""

    at: datetime
    what: What


class Happening(NamedTuple):
    """Something that happened to a request because its time had come.

    `to` is whom it calls: everybody who may decide, or one step of the escalation. `request` is how it left it.
    """

    at: datetime
    what: What
    to: tuple[str, ...]
    request: Request


def following(request: Request) -> Due | None:
    """What happens to a request next if nobody decides; None where it is over or nothing more will.

    Raises:
        UsageError: its terms have times, and it has none at which it was opened.
    """
    if request.state != "open":
        return None
    found: list[Due] = []
    terms = request.terms
    if request.reminded < len(terms.reminders):
        found.append(Due(request.after(terms.reminders[request.reminded]), "reminder"))
    step = _step(request)
    if step is not None:
        found.append(Due(request.after(step.after), "escalation"))
    if request.due is not None:
        found.append(Due(request.due, "expiry"))
    return min(found, key=lambda due: (due.at, _ORDER.index(due.what)), default=None)


def advanced(request: Request, now: datetime) -> Iterator[Happening]:
    """All that came due by `now`, each thing once and in its order: how long nobody looked makes no difference."""
    while (due := following(request)) is not None and due.at <= now:
        if due.what == "reminder":
            to = _deciders(request)
            request = dataclasses.replace(request, reminded=request.reminded + 1)
        elif due.what == "escalation":
            to = _called(request)
            request = dataclasses.replace(request, level=request.level + 1)
        else:
            to = _called(request) if request.terms.on_expiry == "escalate" else ()
            request = _expired(request)
        yield Happening(due.at, due.what, to, request)


def _step(request: Request) -> Escalation | None:
    """The step of the escalation that is called next, with the time at which it is, over all rounds."""
    ladder = request.terms.escalation
    if not ladder:
        return None
    turn, at = divmod(request.level, len(ladder))
    if turn > request.terms.repeat:
        return None
    return dataclasses.replace(ladder[at], after=turn * ladder[-1].after + ladder[at].after)


def _called(request: Request) -> tuple[str, ...]:
    step = _step(request)
    return () if step is None else (step.to,)


def _deciders(request: Request) -> tuple[str, ...]:
    return tuple(sorted({f"role:{role}" for role in request.asked.roles} | request.called))


def _expired(request: Request) -> Request:
    match request.terms.on_expiry:
        case "hold":
            return dataclasses.replace(request, overdue=True)
        case "escalate" if _step(request) is not None:
            return dataclasses.replace(request, level=request.level + 1, extended=request.extended + 1)
        case "approve" if request.kind == "approval" and not request.irreversible:
            return dataclasses.replace(request, state="approved")
        case _:
            state: State = "expired"
            return dataclasses.replace(request, state=state)
