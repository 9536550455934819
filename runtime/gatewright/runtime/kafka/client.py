"""The one place that imports kafka-python, and what all of its clients are told.

kafka-python has no annotations: what comes from here is `Any`, and the modules beside this one give it types.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gatewright.agents.errors import MissingExtraError

try:
    import kafka
    from kafka import errors, structs
    from kafka.consumer.subscription_state import ConsumerRebalanceListener
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
    from kafka.partitioner.default import murmur2
    from kafka.protocol.consumer import OffsetSpec
    from kafka.structs import OffsetAndMetadata, TopicPartition

    from . import network
except ModuleNotFoundError as missing:
    raise MissingExtraError("Kafka", "kafka", missing) from missing

__all__ = [
    "CONNECTING",
    "CooperativeStickyAssignor",
    "KafkaError",
    "MemberState",
    "OffsetAndMetadata",
    "OffsetSpec",
    "RebalanceListener",
    "TopicPartition",
    "connect",
    "is_refusal",
    "kafka",
    "kafka_errors",
    "murmur2",
]

CONNECTING = 2.0  # seconds of one attempt to reach a broker; whoever owns a client tries again until told to stop
RECONNECT_MOST = 1000  # milliseconds between attempts; kafka-python would wait 30 s before it sees a broker come back

kafka_errors: Any = errors
_structs: Any = structs  # its stub is incomplete
MemberState: Any = _structs.MemberState
KafkaError: type[Exception] = kafka_errors.KafkaError
RebalanceListener: Any = ConsumerRebalanceListener

_REFUSALS: tuple[type[Exception], ...] = (
    kafka_errors.AuthorizationError,
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.IllegalSaslStateError,
    kafka_errors.UnsupportedVersionError,
    kafka_errors.IncompatibleBrokerVersion,
    kafka_errors.KafkaConfigurationError,
)


def is_refusal(error: BaseException) -> bool:
    """Whether the broker will say the same until somebody changes the settings or its access rules."""
    return isinstance(error, _REFUSALS)


def connect(kind: Callable[..., Any], **options: Any) -> Any:
    """A client of a kind (`kafka.KafkaProducer`, …), connected; blocks for at most about `CONNECTING` seconds.

    Raises:
        KafkaError: no broker answered in time, or it refused.
    """
    made: list[Any] = []

    def net_client(**more: Any) -> Any:
        made.append(network.client(**more))
        return made[-1]

    options.setdefault("proxy_url", network.DIRECT)
    try:
        return kind(
            bootstrap_timeout_ms=int(CONNECTING * 1000),
            reconnect_backoff_max_ms=RECONNECT_MOST,
            kafka_client=net_client,
            **options,
        )
    except BaseException as error:
        for client in made:  # the constructor that failed leaves its sockets open and its thread running
            with suppress(Exception):
                client.close()
        if isinstance(error, kafka_errors.KafkaTimeoutError) and "SASL" in options.get("security_protocol", ""):
            raise kafka_errors.KafkaTimeoutError(
                f"{error}; it may also have closed the connection because it does not take the user or the password"
            ) from error
        raise
