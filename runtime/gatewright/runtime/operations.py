"""What the doors open onto: the same operations for HTTP, console and command line.

The service implements them, and so does the client that speaks to a service in another process. A command or a page
is written once, against this.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gatewright.agents import Conversation
from gatewright.safety.approvals.ballots import Voter

from .bus.views import DeadLetterView, LagView, LetterState, TopicView
from .config import Config
from .controls.views import DeploymentView, ScopeView, WaiverView
from .notices.views import NoticeView, State
from .search import Found, Search
from .views import (
    ApprovalView,
    DecisionOutcome,
    DelegationView,
    Event,
    GrantOffer,
    GrantView,
    LedgerView,
    Multitask,
    Overview,
    RecordView,
    RunView,
    ThreadView,
    Verb,
)
from .workers.views import WorkerView

if TYPE_CHECKING:
    from .policies.artefact import Artefact


class Operations(Protocol):
    """What can be asked of a service. Each raises `NotFoundError` for an unknown id, `ConflictError` where the state
    does not allow it, `UsageError` for a malformed request and `UnavailableError` where disk or service fail."""

    async def create_thread(
        self,
        deployment: str,
        *,
        thread_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
    ) -> ThreadView: ...

    async def thread(self, thread_id: str) -> ThreadView: ...

    async def threads(self, *, deployment: str | None = None, limit: int = 50, offset: int = 0) -> list[ThreadView]: ...

    async def close_thread(self, thread_id: str, *, by: str) -> ThreadView: ...

    async def thread_state(self, thread_id: str) -> dict[str, Any]: ...

    async def start_run(
        self,
        deployment: str,
        input: Any,
        *,
        thread_id: str | None = None,
        run_id: str | None = None,
        settings: dict[str, Any] | None = None,
        multitask: Multitask = "enqueue",
        metadata: dict[str, Any] | None = None,
        requester: str | None = None,
    ) -> RunView:
        """Accept a run.

        Args:
            requester: who starts it, where that is proven; they may not approve what it asks for.
        """
        ...

    async def run(self, run_id: str) -> RunView: ...

    async def runs(
        self,
        *,
        status: str | None = None,
        deployment: str | None = None,
        thread_id: str | None = None,
        case_id: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[RunView]: ...

    async def wait(self, run_id: str, *, timeout: float | None = None) -> RunView: ...

    async def cancel(self, run_id: str, *, reason: str = "", by: str) -> RunView: ...

    async def resume(self, run_id: str, *, by: str) -> RunView: ...

    def events(self, run_id: str, *, after: int = -1) -> AsyncIterator[Event]: ...

    async def approvals(
        self,
        *,
        state: str | None = "open",
        run_id: str | None = None,
        case_id: str | None = None,
        deployment: str | None = None,
        agent: str | None = None,
        role: str | None = None,
        voter: Voter | None = None,
        after: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[ApprovalView]:
        """Requests to people, oldest first.

        Args:
            role: only open ones that somebody with this role may decide now.
            voter: only open ones that this person may decide now, in their own right.
            after: the id of the last one of the page before; however far on, a page costs the same.
        """
        ...

    async def approval(self, approval_id: str) -> ApprovalView: ...

    async def decide(
        self,
        approval_id: str,
        verb: Verb,
        *,
        voter: Voter | None = None,
        by: str = "",
        reason: str = "",
        value: Any = None,
        grant: GrantOffer | None = None,
        on_behalf_of: str = "",
        break_glass: bool = False,
        shown: str = "",
        vote_id: str = "",
    ) -> ApprovalView:
        """Vote on a request; when enough people have, the run goes on.

        Args:
            voter: who votes, as the door knows them; `by` is short for one of whom nothing is proven.
            value: the edited arguments, or the answer.
            grant: with an approval, what to let pass without asking again.
            on_behalf_of: who delegated their vote to the voter.
            break_glass: decide alone, in an emergency; needs the role `break_glass` and a reason, and is reviewed.
            shown: the digest of the action that the person was shown; another one refuses the vote.
            vote_id: chosen by the caller, so that a repeated request is one vote.
        """
        ...

    async def decide_many(
        self,
        approval_ids: Sequence[str],
        verb: Verb,
        *,
        voter: Voter,
        reason: str = "",
        shown: Mapping[str, str] | None = None,
    ) -> list[DecisionOutcome]:
        """Approve or reject several requests, each for itself: one that fails undoes no other.

        Args:
            shown: by id, the digest of the action that the person was shown.
        """
        ...

    async def delegations(self, *, person: str | None = None, every: bool = False) -> list[DelegationView]:
        """Delegations by or to a person, or all, newest first; with `every`, also those that are over."""
        ...

    async def delegate(
        self,
        to: str,
        *,
        voter: Voter,
        until: datetime,
        roles: Sequence[str] | None = None,
        deployment: str = "",
        agent: str = "",
        name: str = "",
        reason: str = "",
    ) -> DelegationView:
        """Let somebody vote in one's place, with all of one's roles or some of them."""
        ...

    async def revoke_delegation(self, delegation_id: str, *, voter: Voter, operates: bool = False) -> DelegationView:
        """End a delegation; its giver may, and whoever `operates` the service."""
        ...

    async def grants(
        self, *, deployment: str | None = None, by: str | None = None, every: bool = False
    ) -> list[GrantView]:
        """Grants, newest first; with `every`, also those that are over."""
        ...

    async def revoke_grant(self, grant_id: str, *, voter: Voter, operates: bool = False) -> GrantView:
        """End a grant; its giver may, and whoever `operates` the service."""
        ...

    async def notices(self, *, state: State | None = None, limit: int = 100, offset: int = 0) -> list[NoticeView]: ...

    async def retry_notice(self, notice_id: str) -> None: ...

    async def topics(self) -> list[TopicView]: ...

    async def create_topic(self, name: str) -> TopicView: ...

    async def lag(self) -> list[LagView]: ...

    async def dead_letters(
        self,
        *,
        topic: str | None = None,
        group: str | None = None,
        state: LetterState | None = "dead",
        limit: int = 100,
        offset: int = 0,
    ) -> list[DeadLetterView]: ...

    async def dead_letter(self, letter_id: str) -> DeadLetterView: ...

    async def redrive(self, letter_id: str) -> None: ...

    async def forget_group(self, topic: str, group: str) -> None: ...

    async def workers(self, *, every: bool = False) -> list[WorkerView]: ...

    async def deployments_state(self) -> list[DeploymentView]: ...

    async def pause_deployment(self, name: str, *, by: str, reason: str) -> DeploymentView: ...

    async def resume_deployment(self, name: str, *, by: str) -> DeploymentView: ...

    async def waive(self, rule_id: str, *, scope: ScopeView, until: datetime, by: str, reason: str) -> WaiverView: ...

    async def revoke_waiver(self, waiver_id: str, *, by: str) -> WaiverView: ...

    async def waivers(self, *, every: bool = False) -> list[WaiverView]: ...

    async def records(
        self,
        *,
        run_id: str | None = None,
        case_id: str | None = None,
        kind: str | None = None,
        after: int = -1,
        limit: int = 100,
    ) -> list[RecordView]: ...

    async def record(self, index: int) -> RecordView: ...

    async def search(self, wanted: Search, *, before: int | None = None, limit: int = 50) -> Found:
        """Decision records that are looked for, newest first, those with an index below `before`."""
        ...

    async def ledger(self) -> LedgerView: ...

    async def inclusion_proof(self, index: int, *, at: int | None = None, opened: bool = False) -> dict[str, Any]: ...

    async def note_explanation(self, index: int, explanation: dict[str, Any], *, by: str) -> None:
        """Record an explanation of the decision at an index."""
        ...

    async def overview(self) -> Overview: ...

    async def conversations(self, deployment: str, path: Path | None) -> list[Conversation]: ...

    async def score(self, deployment: str, conversation: Conversation, case_id: str, replies: list[str]) -> float: ...


class Host(Operations, Protocol):
    """The operations of a service that runs in this process, with what a server needs to know of it."""

    @property
    def config(self) -> Config: ...

    @property
    def draining(self) -> bool: ...

    def deployments(self) -> list[str]: ...

    def artefacts(self) -> list[Artefact]:
        """The learned policies that choose in this process."""
        ...

    async def check(self) -> None: ...
