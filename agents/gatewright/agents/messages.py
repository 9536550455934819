"""Messages between the agents of a team."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .effects import current


def ask(agent: str, payload: Mapping[str, Any], *, topic: str = "request") -> Any:
    """Ask another agent of this team and give its reply, the output of its run.

    The agent works on a thread of its own below this case, one request at a time. While it works (or waits for
    a person) the asking run is parked and holds no worker. Asking again after a restart finds the same request.

    Args:
        payload: the input of the other agent's graph, JSON values.

    Raises:
        OutsideRunError: no run is active.
        DeniedError: a rule refused the message.
    """
    return current().chain.ask(agent, payload, topic=topic)


def send(agent: str, payload: Mapping[str, Any], *, topic: str = "notice") -> str:
    """Send to another agent of this team without waiting; gives the message id.

    Raises:
        OutsideRunError: no run is active.
        DeniedError: a rule refused the message.
    """
    return current().chain.send(agent, payload, topic=topic)
