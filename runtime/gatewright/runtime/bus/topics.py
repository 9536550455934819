"""Topics: how each is kept, how often its messages are tried, and how much of it may wait."""

from __future__ import annotations

import random
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from gatewright.agents.envelopes import PARTITIONS, version
from gatewright.agents.errors import UsageError

Durability = Literal["memory", "process", "disk"]
"""What a message survives once it is published. `memory`: nothing, it is gone with the process. `process`: the end of
the process, however it ends; when the machine loses power, the last moments may be lost. `disk`: loss of power."""

NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")  # what Kafka takes too
_NAMED = "1 to 200 of letters, digits, dots, hyphens and underscores"
JITTER = 0.2  # of a delay, either way


class Topic(BaseModel):
    """The settings of a topic.

    `partitions` is fixed when the topic is first used. `attempts` is how often a message is delivered to a group before
    it becomes a dead letter; between them `backoff` seconds pass, doubled each time up to `longest_backoff`. `limit` is
    how many messages may wait for the slowest group before publishers have to wait. What all groups have settled is
    kept for `retention` seconds; for as long, publishing an id again changes nothing. `schemas` gives the pydantic
    models of its types: `"refund.requested@1.2" = "module:Model"`; where there are any, other types are dead letters.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    partitions: Annotated[int, Field(ge=1, le=1024)] = PARTITIONS
    durability: Durability = "process"
    attempts: Annotated[int, Field(ge=1, le=1000)] = 5
    backoff: Annotated[float, Field(ge=0, le=86400)] = 1.0
    longest_backoff: Annotated[float, Field(ge=0, le=86400)] = 300.0
    limit: Annotated[int, Field(ge=1)] = 100_000
    retention: Annotated[float, Field(ge=0)] = 7 * 24 * 3600.0
    schemas: dict[str, str] = Field(default_factory=dict)

    @field_validator("schemas")
    @classmethod
    def _versioned(cls, schemas: dict[str, str]) -> dict[str, str]:
        for name in schemas:
            if version(name) is None:
                raise ValueError(f"has a schema {name!r}; name it with its version, for example '{name}@1.0'")
        return schemas

    def delay(self, attempts: int) -> float:
        """Seconds until the next delivery after `attempts` failed ones, with jitter."""
        return min(self.backoff * 2.0 ** (attempts - 1), self.longest_backoff) * random.uniform(1 - JITTER, 1 + JITTER)


def check(name: str) -> None:
    """Refuse what is no name of a topic.

    Raises:
        UsageError: it is not.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a topic: {_NAMED}")


def _configured(name: str) -> str:
    if name and not NAME.fullmatch(name):
        raise ValueError(f"is {name!r}, which is no name of a topic: {_NAMED}")
    return name


Name = Annotated[str, AfterValidator(_configured)]
"""The name of a topic in the configuration; "" for none."""
