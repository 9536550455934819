"""What a message may say: names, a masked reason, who may decide and until when. Arguments are never among it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from pydantic import TypeAdapter

from gatewright.safety import approvals
from gatewright.safety.approvals.terms import ROLE

MASK = "•••"
LONGEST_REASON = 300  # characters
SHORTEST_PART = 3  # characters of a value that is masked within words too
LONGEST_WORD = 30  # characters; what is longer is a key or a token rather than a word
MOST_DIGITS = 3  # of a word; what has more identifies somebody or something

_AROUND = ".,;:!?()[]{}<>\"'"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a notice is about.

    `subject`: the effect, as "tool issue_refund". `state`: what the subject came to. `to`: who may decide, as
    `role:NAME` and `name:PERSON`; empty for everybody. `due`: until when.
    """

    deployment: str = ""
    agent: str = ""
    subject: str = ""
    state: str = ""
    reason: str = ""
    to: tuple[str, ...] = ()
    due: datetime | None = None


_FACTS = TypeAdapter(Facts)


def dump(facts: Facts) -> str:
    """Facts for a text column."""
    return _FACTS.dump_json(facts).decode()


def load(text: str) -> Facts:
    """The facts of a text column."""
    return _FACTS.validate_json(text)


def of_request(request: approvals.Request, to: tuple[str, ...] | None = None) -> Facts:
    """What may be said of a request to people.

    What an agent asks in its own words is not said at all: nobody knows what it holds.

    Args:
        to: who is called now; those who may decide where not given.
    """
    action = request.action
    return Facts(
        deployment=action.deployment,
        agent=action.agent,
        subject=f"question of {action.name}" if request.kind == "question" else f"{action.kind} {action.name}",
        state="overdue" if request.overdue and request.state == "open" else request.state,
        reason=masked(request.prompt, action.args) if request.kind == "approval" else "",
        to=_deciders(request) if to is None else to,
        due=request.due,
    )


def _deciders(request: approvals.Request) -> tuple[str, ...]:
    roles = request.asked.roles if request.state == "open" else request.terms.roles
    return tuple(sorted({f"{ROLE}{role}" for role in roles} | request.called))


def masked(reason: str, args: Mapping[str, Any]) -> str:
    """A rule's reason without the values that its author put into it: arguments, addresses, numbers, keys.

    >>> masked("a refund of 25.5 to mia@example.org on AB-12345 is large", {"amount": 25.5})
    'a refund of ••• to ••• on ••• is large'
    """
    reason = reason[: 10 * LONGEST_REASON]
    words = {word.strip(_AROUND) for word in reason.split()}
    values = {text for text in _texts(args) if text in words or (len(text) >= SHORTEST_PART and text in reason)}
    for value in sorted(values - {""}, key=len, reverse=True):
        reason = reason.replace(value, MASK) if len(value) >= SHORTEST_PART else _word_masked(reason, value)
    return " ".join(MASK if _telling(word) else word for word in reason.split())[:LONGEST_REASON]


def _word_masked(reason: str, value: str) -> str:
    return " ".join(word.replace(value, MASK) if word.strip(_AROUND) == value else word for word in reason.split())


def _telling(word: str) -> bool:
    return (
        "@" in word
        or "://" in word
        or len(word) > LONGEST_WORD
        or sum(character.isdigit() for character in word) > MOST_DIGITS
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in cast("Mapping[str, Any]", value).values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in cast("list[Any]", value):
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value.strip()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
