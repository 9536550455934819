"""What clients send. Unknown keys are errors, so that a misspelt one is not taken for its default."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from gatewright.agents import Conversation
from gatewright.runtime.views import Multitask

Name = Annotated[str, Field(min_length=1, max_length=200)]
Id = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]*$")]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewThread(Body):
    deployment: Name
    thread_id: Id | None = None
    metadata: dict[str, Any] | None = None
    settings: dict[str, Any] | None = None


class NewRun(Body):
    """`run_id` makes the request safe to repeat: the same id never starts a second run."""

    deployment: Name
    input: Any = None
    thread_id: Id | None = None
    run_id: Id | None = None
    settings: dict[str, Any] | None = None
    multitask: Multitask = "enqueue"
    metadata: dict[str, Any] | None = None


class NewRunToWaitFor(NewRun):
    """`timeout` in seconds; without one the answer comes when the run ends or waits for a person."""

    timeout: Annotated[float, Field(ge=0)] | None = None


class Signed(Body):
    """`by` is needed where no people are configured; elsewhere the token says who it is, and `by` may only agree."""

    by: Name | None = None


class Cancellation(Signed):
    reason: str = ""


class Resumption(Signed):
    """To go on with a failed run."""


class Decision(Signed):
    """`value`: the edited arguments, or the answer."""

    reason: str = ""
    value: Any = None


class Reasoned(Signed):
    """A decision that the agent is told the reason of."""

    reason: Annotated[str, Field(min_length=1)]
    value: Any = None


class Held(Body):
    """A recorded conversation that was held again as `case_id`, with what the team said."""

    deployment: Name
    conversation: Conversation
    case_id: Id
    replies: list[str]


class Score(BaseModel):
    """The final reward in [0, 1]."""

    score: float
