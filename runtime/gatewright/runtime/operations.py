"""What the doors open onto: the same operations for HTTP, console and command line.

The service implements them, and so does the client that speaks to a service in another process. A command or a page
is written once, against this.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

from gatewright.agents import Conversation

from .config import Config
from .notices.views import NoticeView, State
from .views import (
    ApprovalView,
    Event,
    LedgerView,
    Multitask,
    Overview,
    RecordView,
    RunView,
    ThreadView,
    Verb,
)


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
    ) -> RunView: ...

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
        limit: int = 100,
        offset: int = 0,
    ) -> list[ApprovalView]: ...

    async def approval(self, approval_id: str) -> ApprovalView: ...

    async def decide(
        self, approval_id: str, verb: Verb, *, by: str, reason: str = "", value: Any = None
    ) -> ApprovalView: ...

    async def notices(
        self, *, state: State | None = None, limit: int = 100, offset: int = 0
    ) -> list[NoticeView]: ...

    async def retry_notice(self, notice_id: str) -> None: ...

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

    async def ledger(self) -> LedgerView: ...

    async def inclusion_proof(self, index: int) -> dict[str, Any]: ...

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

    async def check(self) -> None: ...
