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

ApprovalKind = Literal["approval", "question", "unknown"]
"""`approval`: may this action be performed? · `question`: the agent asks for an answer · `unknown`: the outcome of an
effect is not known (the process died while it was being performed): did it happen?"""

ApprovalState = Literal[
    "open", "approved", "rejected", "answered", "edited", "cancelled", "expired", "void", "consumed"
]

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
    status: Literal["idle", "busy", "waiting"]
    metadata: dict[str, Any] = Field(default_factory=dict)
    created_at: datetime


class RunView(BaseModel):
    """One execution on a thread. `waiting_for` holds approval ids, or `run:ID` of the agent that was asked."""

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


class ApprovalView(BaseModel):
    """A request to people, bound to one exact action by `digest`.

    `action` is what would be done: `{"kind", "name", "args"}`; for a question, `{"kind": "human", "payload": …}`.
    `form` is the JSON schema of what an edit (of the arguments) or an answer must look like.
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
