"""Holding recorded conversations again: each as a thread of its own, compared with its recording at the end.

All that customers said is enqueued up front; then only two things are asked again and again: whether the last run of
each conversation has ended, and which approvals are open. So the work grows with the conversations and their effects,
never with conversations times time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pydantic import BaseModel, Field

from gatewright.agents import Conversation
from gatewright.agents.errors import ConflictError, DeniedError, UsageError
from gatewright.runtime import summaries
from gatewright.runtime.operations import Operations
from gatewright.runtime.views import FINAL, ApprovalView, RecordView

from .clients import acting, connect
from .desk import Desk, facts, progress_bar

if TYPE_CHECKING:
    from gatewright.runtime.config import Config

APPROVER = "auto-approve"
AT_ONCE = 64  # conversations that are started, followed or compared at the same time
LOOK = 0.5  # seconds between looks at the open approvals
PAGE = 1000


class Ratio(BaseModel):
    """So many of so many."""

    equal: int = 0
    total: int = 0

    def count(self, equal: bool) -> None:
        """Add one comparison."""
        self.equal += equal
        self.total += 1

    def __str__(self) -> str:
        return f"{self.equal} of {self.total}"


class Outcome(BaseModel):
    """What holding the conversations came to. `seconds` is wall-clock time from the first start to the last end."""

    conversations: int = 0
    effects: dict[str, int] = Field(default_factory=dict[str, int])
    verdicts: dict[str, int] = Field(default_factory=dict[str, int])
    approvals: int = 0
    tool_results: Ratio = Field(default_factory=Ratio)
    rewards: Ratio = Field(default_factory=Ratio)
    seconds: float = 0.0


@dataclass(kw_only=True)
class Case:
    """A conversation that is being held, on the thread `id`."""

    conversation: Conversation
    id: str
    runs: list[str] = field(default_factory=list[str])


class Divergence(NamedTuple):
    """Where a conversation differs from its recording."""

    conversation: str
    message: str


class Holding:
    """Conversations held with one deployment.

    Args:
        approve: whether to approve what waits; gives False to leave it for a person.
        tell: called with each approval that is left to people, once.
        progress: called with the number of conversations that have ended since the last call.
    """

    def __init__(
        self,
        client: Operations,
        deployment: str,
        *,
        approve: Callable[[ApprovalView], bool],
        tell: Callable[[ApprovalView], None],
        progress: Callable[[int], None] = lambda ended: None,
    ) -> None:
        self._client = client
        self._deployment = deployment
        self._approve = approve
        self._tell = tell
        self._progress = progress
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._told: set[str] = set()
        self._began = time.monotonic()
        self.outcome = Outcome()
        self.divergences: list[Divergence] = []
        self.cases: list[Case] = []

    async def start(self, conversations: Sequence[Conversation]) -> None:
        """Create the threads and enqueue all that the customers said, in order."""
        self._began = time.monotonic()
        self.cases = await self._each(self._begin, conversations)
        self.outcome.conversations = len(self.cases)

    async def follow(self) -> None:
        """Wait until every conversation has ended, deciding or telling about what waits meanwhile."""
        desk = asyncio.create_task(self._attend())
        try:
            following = asyncio.ensure_future(self._each(self._end, self.cases))
            await asyncio.wait({desk, following}, return_when=asyncio.FIRST_COMPLETED)
            if desk.done():
                following.cancel()
                desk.result()
            await following
        finally:
            desk.cancel()
            with suppress(asyncio.CancelledError):
                await desk
        self.outcome.seconds = round(time.monotonic() - self._began, 3)

    async def compare(self) -> None:
        """Count what happened and compare it with the recordings."""
        await self._each(self._compare, self.cases)

    async def _each(self, work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        async def one(item: Any) -> Any:
            async with self._slots:
                return await work(item)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in items]
        return [task.result() for task in tasks]

    async def _begin(self, conversation: Conversation) -> Case:
        thread = await self._client.create_thread(
            self._deployment, metadata={"conversation": conversation.id}, settings=conversation.settings
        )
        case = Case(conversation=conversation, id=thread.id)
        for said in conversation.customer:
            run = await self._client.start_run(
                self._deployment, {"messages": [{"role": "user", "content": said}]}, thread_id=thread.id
            )
            case.runs.append(run.id)
        return case

    async def _end(self, case: Case) -> None:
        """Wait for each run in turn. One that waits for a person is asked for again when that may have changed."""
        for run_id in case.runs:
            while (run := await self._client.wait(run_id)).status not in FINAL:
                await asyncio.sleep(LOOK)
            if run.status != "succeeded":
                why = f": {run.error.type}: {run.error.message}" if run.error else ""
                self.divergences.append(Divergence(case.conversation.id, f"run {run_id} {run.status}{why}"))
        self._progress(1)

    async def _attend(self) -> None:
        ours = {case.id for case in self.cases}
        while True:
            for approval in await self._open():
                if approval.case_id not in ours or approval.id in self._told:
                    continue
                if self._approve(approval) and approval.kind == "approval":
                    with suppress(ConflictError):  # somebody was faster
                        await self._client.decide(approval.id, "approve", by=APPROVER, reason="unattended")
                else:
                    self._told.add(approval.id)
                    self._tell(approval)
            await asyncio.sleep(LOOK)

    async def _open(self) -> list[ApprovalView]:
        found: list[ApprovalView] = []
        while True:
            page = await self._client.approvals(state="open", limit=PAGE, offset=len(found))
            found += page
            if len(page) < PAGE:
                return found

    async def _compare(self, case: Case) -> None:
        results: list[tuple[str, Any]] = []
        async for record in effects(self._client, case.id):
            summary = summaries.of(record)
            _count(self.outcome.effects, summary.kind)
            _count(self.outcome.verdicts, _first_verdict(record) or summary.verdict or "none")
            if summary.kind == "tool":
                results.append((summary.name, summary.result))
        approvals = await self._client.approvals(state=None, case_id=case.id, limit=PAGE)
        said = replies(await self._client.thread_state(case.id))
        self.outcome.approvals += len(approvals)
        self._compare_results(case, results)
        await self._compare_reward(case, said)

    def _compare_results(self, case: Case, results: Sequence[tuple[str, Any]]) -> None:
        recorded = case.conversation.tool_calls
        for number, call in enumerate(recorded):
            name, result = results[number] if number < len(results) else ("nothing", None)
            equal = name == call.name and text_of(result) == call.result
            self.outcome.tool_results.count(equal)
            if not equal:
                message = (
                    f"tool call {number}: {call.name} gave {call.result[:200]!r}, now {name} {text_of(result)[:200]!r}"
                )
                self.divergences.append(Divergence(case.conversation.id, message))
        anew = not recorded and case.conversation.score is None  # a world's own conversation, never held before
        if len(results) > len(recorded) and not anew:
            message = (
                f"{len(results) - len(recorded)} more tool calls than recorded, the first {results[len(recorded)][0]}"
            )
            self.divergences.append(Divergence(case.conversation.id, message))

    async def _compare_reward(self, case: Case, replies: list[str]) -> None:
        recorded = case.conversation.score
        if recorded is None:
            return
        score = await self._client.score(self._deployment, case.conversation, case.id, replies)
        self.outcome.rewards.count(score == recorded)
        if score != recorded:
            self.divergences.append(Divergence(case.conversation.id, f"final reward {recorded:g}, now {score:g}"))


async def hold(desk: Desk, config: Config, deployment: str, path: Path | None, *, auto_approve: bool) -> int:
    """Hold the conversations of `path` and show what came of it; gives the exit code."""

    def tell(approval: ApprovalView) -> None:
        verbs = "approve" if approval.kind == "approval" else "show"
        desk.say(
            f"waits for a person: {approval.action.get('name', approval.kind)} ({approval.reason or approval.kind}); "
            f"gatewright approvals {verbs} {approval.id}"
        )

    async with connect(config, execute=True, create=True) as client:
        if (await acting(client, config)).authenticated and auto_approve:
            raise DeniedError(
                "--auto-approve decides under a program's name, and people are configured here: leave it out, and "
                "decide with `gatewright approvals`"
            )
        conversations = await client.conversations(deployment, path)
        if not conversations:
            raise UsageError(f"{str(path)!r} holds no conversations")
        with progress_bar(desk, len(conversations)) as progress:
            holding = Holding(client, deployment, approve=lambda approval: auto_approve, tell=tell, progress=progress)
            await holding.start(conversations)
            try:
                await holding.follow()
            except asyncio.CancelledError:
                desk.say("what was started goes on when a service or worker runs here; `gatewright run list` shows it")
                raise
        await holding.compare()
    outcome = holding.outcome
    for divergence in holding.divergences[:20]:
        desk.say(f"differs: conversation {divergence.conversation}: {divergence.message}")
    if len(holding.divergences) > 20:
        desk.say(f"differs: {len(holding.divergences) - 20} more")
    desk.show(outcome.model_dump(mode="json"), lambda: describe(outcome))
    return 1 if holding.divergences else 0


def describe(outcome: Outcome) -> str:
    """The table for a person."""
    return facts(
        {
            "conversations": outcome.conversations,
            "effects": _counts(outcome.effects),
            "verdicts": _counts(outcome.verdicts),
            "approvals": outcome.approvals,
            "tool results equal": str(outcome.tool_results),
            "final rewards equal": str(outcome.rewards),
            "seconds": outcome.seconds,
        }
    )


async def effects(client: Operations, case_id: str) -> AsyncIterator[RecordView]:
    """The records of a case's effects, in the order of the log."""
    after = -1
    while True:
        page = await client.records(case_id=case_id, kind="effect", after=after, limit=PAGE)
        for record in page:
            yield record
        if len(page) < PAGE:
            return
        after = page[-1].index


def text_of(result: Any) -> str:
    """The text a tool gave."""
    return result if isinstance(result, str) else "" if result is None else str(result)


def _first_verdict(record: RecordView) -> str:
    guard = record.record.get("guard") or {}
    return str((guard.get("before") or {}).get("verdict") or "")


def replies(state: Mapping[str, Any]) -> list[str]:
    """What the team said to the customer: the model's texts that were not on the way to a tool."""
    messages = cast("Sequence[Mapping[str, Any]]", (state.get("values") or {}).get("messages") or ())
    return [
        str(message["content"])
        for message in messages
        if message.get("type") == "ai" and message.get("content") and not message.get("tool_calls")
    ]


def _count(counted: dict[str, int], name: str) -> None:
    counted[name] = counted.get(name, 0) + 1


def _counts(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counted.items())) or "none"
