"""Kafka from asyncio: a producer, a group member and the care of topics over kafka-python, without its pitfalls.

Transport only: it knows neither the database nor the meaning of a message. Needs the extra `kafka`.
"""

from .consumer import Consumer
from .producer import Producer
from .records import Batch, Partition, Position, Received, Record, UnknownOutcomeError
from .settings import Settings
from .topics import Description, Topics

__all__ = [
    "Batch",
    "Consumer",
    "Description",
    "Partition",
    "Position",
    "Producer",
    "Received",
    "Record",
    "Settings",
    "Topics",
    "UnknownOutcomeError",
]
