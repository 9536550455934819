"""What is shown of the bus."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

LetterState = Literal["dead", "redriving", "redriven"]


class DeadLetterView(BaseModel):
    """A message that a group could not handle; `message` is its envelope in JSON."""

    id: str
    topic: str
    group: str
    partition: int
    offset: int
    key: str | None
    message_id: str
    reason: str
    detail: str
    stack: str | None
    attempts: int
    state: LetterState
    message: str
    created_at: datetime
    redriven_at: datetime | None


class LagView(BaseModel):
    """How far a group is behind: `waiting` messages are not settled yet, `parked` ones wait for another attempt, or
    behind one that does; `members` share the partitions now."""

    topic: str
    group: str
    waiting: int
    parked: int
    dead: int
    members: int


class TopicView(BaseModel):
    """A topic: `published` counts all messages that were ever appended, `stored` those that are kept."""

    name: str
    partitions: int
    published: int
    stored: int
    created_at: datetime
