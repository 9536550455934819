"""Messages: between the agents of a team, and on the topics of the bus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .effects import current


def ask(agent: str, payload: Mapping[str, Any], *, topic: str = "request", timeout: float | None = None) -> Any:
    """Ask another agent of this team and give its reply, the output of its run.

    The agent works on a thread of its own below this case, one request at a time. While it works (or waits for
    a person) the asking run is parked and holds no worker. Asking again after a restart finds the same request.

    Args:
        payload: the input of the other agent's graph, JSON values.
        timeout: seconds from now until the reply is of no use any more. What the other agent asks in turn ends with it
            too, whatever time-out it gives, and so does what was not begun by then. Without, it may take as long as
            the asking run itself.

    Raises:
        OutsideRunError: no run is active.
        DeniedError: a rule refused the message.
        ExpiredError: there was no reply in time; the other agent's run is cancelled.
    """
    return current().chain.ask(agent, payload, topic=topic, timeout=timeout)


def send(agent: str, payload: Mapping[str, Any], *, topic: str = "notice") -> str:
    """Send to another agent of this team without waiting; gives the message id.

    Raises:
        OutsideRunError: no run is active.
        DeniedError: a rule refused the message.
    """
    return current().chain.send(agent, payload, topic=topic)


def publish(
    topic: str,
    payload: Any,
    *,
    key: str | None = None,
    type: str | None = None,
    timeout: float | None = None,
) -> str:
    """Publish a message on a topic of the bus, for whoever subscribes to it; gives the message id.

    It is an effect like any other, and published once, however often the step is executed. Deployments subscribe to
    topics in their manifest or configuration, and other systems through Kafka. While the topic holds as much as it may,
    the run is given back to the queue and comes to this again.

    Args:
        payload: JSON values, or a pydantic model.
        key: messages of one key are handled in the order in which they were published.
        type: the schema of the payload and its version, `claim.received@1.0`; without, that of the topic's models
            which fits, else the name of the topic.
        timeout: seconds from now until nobody needs it handled any more.

    Raises:
        OutsideRunError: no run is active.
        DeniedError: a rule refused the message.
        UsageError: the topic does not take it.
    """
    return current().chain.publish(topic, payload, key=key, type=type, timeout=timeout)
