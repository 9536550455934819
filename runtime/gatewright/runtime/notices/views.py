"""What the service shows of its messages."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

State = Literal["waiting", "sent", "dead"]
"""`waiting` for its next attempt · `sent`: the receiver has taken it · `dead`: given up, until somebody retries it."""


class NoticeView(BaseModel):
    """A message to one receiver. `attempts` counts those made; `error` is why the last one failed.

    `due_at` is when the next attempt is made, or when the last one was.
    """

    id: str
    receiver: str
    event: str
    subject_id: str
    state: State
    attempts: int
    error: str | None
    created_at: datetime
    due_at: datetime
