"""Processes as they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

WorkerState = Literal["alive", "draining", "left", "lost"]


class WorkerView(BaseModel):
    """A process that works on the database.

    `deployments` are those it executes, empty for all; `concurrency` is how many runs at a time, 0 where it leaves them
    to others; `lease_left` is how many seconds it may still be silent before others take what it holds.
    """

    id: str
    kind: Literal["serve", "worker", "command"]
    host: str
    pid: int
    deployments: list[str]
    state: WorkerState
    runs: int
    concurrency: int
    duties: list[str]
    started_at: datetime
    seen_at: datetime
    lease_left: float
