"""What the service shows of runs, threads, approvals and records: the same for HTTP, console and command line."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

RunStatus = Literal["queued", "running", "waiting", "succeeded", "failed", "cancelled"]
"""`waiting`: parked for a person or for another agent's reply; holds no worker. The last three are final."""

FINAL: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})

Multitask = Literal["enqueue", "reject", "interrupt", "rollback"]
"""What a second input on a busy thread does: wait its turn · be refused · cancel the run that is active, keeping what
it did · cancel it and go back to the state before it."""

ApprovalKind = Literal["approval", "question", "unknown", "review"]
"""`approval`: may this action be performed? · `question`: the agent asks for an answer · `unknown`: the outcome of an
effect is not known (the process died while it was being performed): did it happen? · `review`: somebody broke the
glass; was that right?"""

ApprovalState = Literal[
    "open", "approved", "rejected", "answered", "edited", "superseded", "cancelled", "expired", "void", "consumed"
]
"""`edited`: the new arguments are approved · `superseded`: others must approve them, as another request."""

Verb = Literal["approve", "reject", "edit", "answer"]


IdentityKind = Literal["person", "service", "anyone"]
"""`person`: of the configuration, by their token · `service`: by `server.token`, beside people · `anyone`: no people
are configured; `server.token`, if there is one, proves nothing about who somebody is."""


class IdentityView(BaseModel):
    """Who a request comes from; `anyone` has no name. `operates`: see docs/people.md."""

    kind: IdentityKind
    name: str
    roles: list[str]
    operates: bool


class Failure(BaseModel):
    """Why a run failed: the class of the error and its message."""

    type: str
    message: str


class ThreadView(BaseModel):
    """One case or conversation. `case_id` is the thread at the root (itself, unless another agent was asked)."""

    id: str
    deployment: str
    agent: str
    case_id: str
    status: Literal["idle", "busy", "waiting", "closed"]
    metadata: dict[str, Any] = Field(default_factory=dict)
    created_at: datetime


class RunView(BaseModel):
    """One execution on a thread. `waiting_for` holds approval ids, `run:ID` of the agent that was asked, or
    `pause:DEPLOYMENT` while that is paused."""

    id: str
    thread_id: str
    case_id: str
    deployment: str
    agent: str
    status: RunStatus
    attempt: int
    input: Any = None
    output: Any = None
    error: Failure | None = None
    waiting_for: list[str] = Field(default_factory=list)
    parent_run_id: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None


class VoteView(BaseModel):
    """What somebody said. `roles` are those that the vote counted with; `authenticated`: whether the name is proven."""

    by: str
    verdict: Verb
    reason: str = ""
    roles: list[str] = Field(default_factory=list)
    time: datetime | None = None
    authenticated: bool = False
    via: str = ""
    on_behalf_of: str = ""
    break_glass: bool = False


class ApprovalView(BaseModel):
    """A request to people, bound to one exact action by `digest`.

    `action` is what would be done: `{"kind", "name", "args"}`; for a question, `{"kind": "human", "payload": …}`.
    `form` is the JSON schema of what an edit (of the arguments) or an answer must look like. `answers` are the verbs
    that it takes. `needed` approvals by different people make it approved, `given` of them are there; whoever votes
    now must hold all of `roles`, or be called by the escalation (`called`: `role:NAME`, `name:PERSON`). `excluded` are
    people who may not decide, with the reason. `expires_at` is when it ends by `on_expiry`; `overdue` says that it
    passed and the request is held. `about` is the request that this one follows.
    """

    id: str
    kind: ApprovalKind
    state: ApprovalState
    run_id: str
    thread_id: str
    case_id: str
    deployment: str
    agent: str
    action: dict[str, Any]
    digest: str
    reason: str = ""
    rules: list[str] = Field(default_factory=list)
    form: dict[str, Any] = Field(default_factory=dict)
    created_at: datetime
    decided_at: datetime | None = None
    decided_by: str | None = None
    decision: Verb | None = None
    decision_reason: str = ""
    answers: list[Verb] = Field(default_factory=list[Verb])
    needed: int = 1
    given: int = 0
    roles: list[str] = Field(default_factory=list)
    called: list[str] = Field(default_factory=list)
    excluded: dict[str, str] = Field(default_factory=dict)
    votes: list[VoteView] = Field(default_factory=list[VoteView])
    requester: str = ""
    expires_at: datetime | None = None
    on_expiry: Literal["approve", "hold", "escalate", "reject"] | None = None
    overdue: bool = False
    always_ask: bool = False
    about: str = ""


class DecisionOutcome(BaseModel):
    """What became of one of several decisions: `state` after it, or the class and the words of its error."""

    id: str
    state: ApprovalState | None = None
    error: Failure | None = None


class GrantOffer(BaseModel):
    """What to let pass without asking again, beside an approval: the same tool of the same agent under the same rules,
    with the same values of `arguments`, for the rest of the `run`, of the `thread`, or `until` a time."""

    reach: Literal["run", "thread", "until"]
    arguments: list[str] = Field(default_factory=list)
    until: datetime | None = None


class GrantView(BaseModel):
    """A grant. `place` is the run or thread that it reaches, empty for all; `active`: whether it is in force."""

    id: str
    reach: Literal["run", "thread", "until"]
    place: str
    deployment: str
    agent: str
    name: str
    rules: list[str]
    args: dict[str, Any]
    by: str
    approval_id: str
    created_at: datetime
    until: datetime | None = None
    revoked_at: datetime | None = None
    active: bool


class DelegationView(BaseModel):
    """`by` lets `to` vote in their place, with `roles`; an empty `deployment`, `agent` or `name` takes any."""

    id: str
    by: str
    to: str
    roles: list[str]
    deployment: str = ""
    agent: str = ""
    name: str = ""
    reason: str = ""
    created_at: datetime
    until: datetime
    revoked_at: datetime | None = None
    active: bool


class RecordView(BaseModel):
    """A decision record: `record` is what was hashed, `opened` the sealed values (arguments, result) not erased."""

    index: int
    time: datetime
    kind: str
    run_id: str | None
    case_id: str | None
    leaf_hash: str
    record: dict[str, Any]
    opened: dict[str, Any] = Field(default_factory=dict)


class Event(BaseModel):
    """Something that happened in a run, in order of `seq`; the stream ends after a `run` event that is final.

    `run`: the status changed (data: the run) · `update`: a step finished (data: {node: update}) ·
    `effect`: an effect was performed or refused (data: kind, name, verdict, outcome) · `approval`: a request was opened
    or decided.
    """

    seq: int
    type: Literal["run", "update", "effect", "approval"]
    data: dict[str, Any]


class LedgerView(BaseModel):
    """The head of the ledger: size, hex root, the newest signed checkpoint and the key that verifies it."""

    size: int
    root: str
    checkpoint: str
    key: str


class Overview(BaseModel):
    """What the console's first page says at a glance."""

    runs: dict[str, int]
    approvals_open: int
    oldest_approval: datetime | None
    ledger: LedgerView
