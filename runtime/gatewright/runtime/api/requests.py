"""What clients send. Unknown keys are errors, so that a misspelt one is not taken for its default."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gatewright.agents import Conversation
from gatewright.runtime.search import Search
from gatewright.runtime.views import GrantOffer, Multitask

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


class Closing(Signed):
    """To end a thread."""


class Resumption(Signed):
    """To go on with a failed run."""


class Vote(Signed):
    """A vote.

    `value`: the edited arguments, or the answer · `grant`: with an approval, what to let pass without asking again ·
    `on_behalf_of`: who delegated their vote · `break_glass`: decide alone, in an emergency · `shown`: the digest of the
    action that the person saw · `vote_id`: chosen by the client, so that the same vote sent twice is one.
    """

    value: Any = None
    grant: GrantOffer | None = None
    on_behalf_of: str = ""
    break_glass: bool = False
    shown: str = ""
    vote_id: str = ""


class Decision(Vote):
    """A vote with or without a reason."""

    reason: str = ""


class Rejection(Vote):
    """A vote that the agent is told the reason of."""

    reason: Annotated[str, Field(min_length=1)]


class Batch(Signed):
    """The same vote on several requests; each is decided and recorded for itself. `shown`: by id, as in a decision."""

    ids: Annotated[list[Name], Field(min_length=1, max_length=1000)]
    verb: Literal["approve", "reject"]
    reason: str = ""
    shown: dict[str, str] = Field(default_factory=dict)


class NewDelegation(Signed):
    """`to` may vote in one's place until `until`. Empty fields take any; without `roles`, all of one's own."""

    to: Name
    until: AwareDatetime
    roles: list[Name] | None = None
    deployment: str = ""
    agent: str = ""
    name: str = ""
    reason: str = ""


class Revocation(Signed):
    """The end of a grant or delegation."""


class Held(Body):
    """A recorded conversation that was held again as `case_id`, with what the team said."""

    deployment: Name
    conversation: Conversation
    case_id: Id
    replies: list[str]


class Score(BaseModel):
    """The final reward in [0, 1]."""

    score: float


class Explanation(Signed):
    """Why a decision came out as it did, as `gatewright.scenarios.explanations.record` gives it."""

    explanation: dict[str, Any]


class Asked(Search):
    """A search and which page of it: records with an index below `before`, at most `limit`."""

    before: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
