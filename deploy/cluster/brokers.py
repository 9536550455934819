"""The best broker of Kafka's protocol that this machine can run."""

from __future__ import annotations

from pathlib import Path

from . import jars
from .kafka import Kafka
from .tansu import Tansu


def broker(folder: Path, *, port: int = 0) -> Kafka | Tansu:
    """Apache Kafka, or Tansu where Java or Maven is missing (`jars.missing` tells); not started yet.

    Raises:
        UnavailableError: this machine has neither.
    """
    return Kafka(folder, port=port) if jars.missing() is None else Tansu(folder, port=port)
