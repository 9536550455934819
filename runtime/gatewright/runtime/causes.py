"""Causes: what a run knows of the message that started it, and what it passes on to those that it sends.

So who looks at any message or run of a chain finds all others: by `correlation_id`, which stays the same along it; by
`causation_id`, which names the one before; and by the trace that `traceparent` carries on (W3C Trace Context, level 1).
All of it follows from the run and the place of the effect, so that a message is the same when it is sent again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple, Self

import orjson

from gatewright.agents.envelopes import Message

_PARENT = re.compile(r"00-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})")
_SAMPLED = "01"


@dataclass(frozen=True, kw_only=True)
class Cause:
    """The message that started a run. `topic` is where it was published; empty where an agent of the team wrote it."""

    id: str
    correlation_id: str
    traceparent: str
    causation_id: str = ""
    topic: str = ""

    @classmethod
    def of(cls, topic: str, message: Message) -> Self:
        """What a run keeps of a message of a topic."""
        return cls(
            id=message.id,
            correlation_id=message.correlation_id or message.id,
            traceparent=_child(message.traceparent, message.correlation_id or message.id, message.id),
            causation_id=message.causation_id or "",
            topic=topic,
        )

    @classmethod
    def load(cls, stored: str | None) -> Self | None:
        """What `dump` gave; None where no message started the run."""
        return None if stored is None else cls(**orjson.loads(stored))

    def dump(self) -> str:
        """As it is stored with the run."""
        return orjson.dumps(self.plain()).decode()

    def plain(self) -> dict[str, Any]:
        """As it stands in records: what is not empty."""
        return {name: value for name, value in vars(self).items() if value}


class Place(NamedTuple):
    """The effect by which a run writes a message, and where the run belongs."""

    run_id: str
    case_id: str
    key: str


def passed_on(cause: Cause | None, place: Place, message_id: str) -> Cause:
    """What a message says of where it comes from: it is the cause of whatever it starts.

    Args:
        cause: of the run that writes it.
    """
    return Cause(
        id=message_id,
        correlation_id=place.case_id if cause is None else cause.correlation_id,
        traceparent=_child(None if cause is None else cause.traceparent, place.case_id, place.run_id, place.key),
        causation_id=place.run_id if cause is None else cause.id,
    )


def _child(parent: str | None, trace: str, *span: str) -> str:
    """The next step of a trace: of the parent's, or else of one that `trace` names."""
    found = _PARENT.fullmatch(parent or "")
    trace_id = sha256(trace.encode()).hexdigest()[:32] if found is None else found["trace"]
    flags = _SAMPLED if found is None else found["flags"]
    return f"00-{trace_id}-{sha256(chr(10).join(span).encode()).hexdigest()[:16]}-{flags}"
