"""Where a request to people belongs."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """The columns of a stored request beside the request itself."""

    number: int
    run_id: str
    thread_id: str
    case_id: str
    deployment: str
    agent: str
    key: str
