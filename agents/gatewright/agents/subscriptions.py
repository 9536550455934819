"""Subscriptions: which topics of the bus an agent is given messages of, and what it makes of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Format = Literal["cloudevents", "json", "raw"]
"""`cloudevents`: what producers that know the bus write; `data` is the event's data · `json`: bytes of producers that
know nothing of us, which hold JSON; `data` is that value · `raw`: such bytes that hold text; `data` is the text."""


class Subscription(BaseModel):
    """The messages of a topic start runs of an agent, or feed those of the thread that they belong to.

    `agent` is that of the deployment's entry where none is named. `group` names those who share the messages among
    them, `DEPLOYMENT.AGENT` where none is named. `thread` is a CEL expression for the case that a message belongs to:
    messages of one value go to one thread, one after the other. Without, it is the message's key, and for messages
    without a key each has a thread of its own. `input` gives the fields of the agent's input as CEL expressions;
    without, the payload itself is the input. Expressions see `data` (the payload), `key` (empty where there is none)
    and `message` (the attributes of the envelope). `start` says where a new group begins: with what is there, or with
    what comes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic: Annotated[str, Field(min_length=1)]
    agent: str = ""
    group: str = ""
    thread: str = ""
    input: dict[str, str] = Field(default_factory=dict)
    format: Format = "cloudevents"
    start: Literal["earliest", "latest"] = "earliest"

    @model_validator(mode="after")
    def _text_is_no_input(self) -> Subscription:
        if self.format == "raw" and not self.input:
            raise ValueError(
                'needs `input` for format "raw", for example {"text": "data"}: a text is no input by itself'
            )
        return self
