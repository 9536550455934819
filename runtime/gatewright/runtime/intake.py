"""What the API, the console and the command line do with threads and runs: begin, accept, cancel, resume."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson

from gatewright.agents.errors import ConflictError, NotFoundError, UsageError

from . import acceptance, claims, codec, identifiers, runs, threads
from .checkpoints import GroupCommitSaver
from .clock import Clock, moment
from .deployments import LoadedDeployment
from .engine import Engine
from .hub import Hub
from .reader import Reader
from .recording import Office
from .store.writer import Transaction, Writer, arrival
from .views import FINAL, Multitask, RunView, ThreadView

if TYPE_CHECKING:
    from .policies.artefact import Artefact

_KNOWN = ConflictError("a request with this run id has been accepted before")


class _Place:
    """A place in the engine for a run that is about to be accepted.

    The run begins while its acceptance is on its way to the disk. What it writes queues behind that, and is refused
    if the acceptance should fail: no effect of it that changes anything is performed before it has been accepted.
    """

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._loop = loop
        self._reserved = engine.reserve()
        self._begun = False

    def take(self, transaction: Transaction, run_id: str) -> claims.Claimed | None:
        """In the accepting operation (which may be called twice): claim the run and let it begin."""
        claimed = self._engine.claim_this(transaction, run_id) if self._reserved or self._begun else None
        if claimed is not None and self._reserved:
            self._use(claimed)
        return claimed

    def give_back(self, accepted: Future[claims.Claimed | None]) -> None:
        """When it is known what became of the acceptance: a place that was not used is free again."""
        if self._reserved:
            self._use(None)

    def _use(self, claimed: claims.Claimed | None) -> None:
        self._reserved, self._begun = False, claimed is not None
        with suppress(RuntimeError):  # the loop is closed: the next process finds the run
            self._loop.call_soon_threadsafe(self._engine.begin, claimed)


class Intake(Reader):
    """The part of the service where threads begin and runs are accepted."""

    _writer: Writer
    _clock: Clock
    _engine: Engine
    _hub: Hub
    _saver: GroupCommitSaver
    _office: Office
    _loop: asyncio.AbstractEventLoop
    _deployments: dict[str, LoadedDeployment]

    def deployments(self) -> list[str]:
        """The names that runs can be started on."""
        return sorted(self._deployments)

    def artefacts(self) -> list[Artefact]:
        """The learned policies that choose in this process."""
        return [found for deployment in self._deployments.values() for found in deployment.artefacts]

    def loaded(self, name: str) -> LoadedDeployment:
        """A deployment as it is loaded in this process, with its world; for whoever tries it in simulation.

        Raises:
            NotFoundError: there is none of that name.
        """
        return self._deployment(name)

    def _deployment(self, name: str) -> LoadedDeployment:
        if name not in self._deployments:
            near = difflib.get_close_matches(name, self._deployments, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"configured are {self.deployments()}"
            raise NotFoundError(f"there is no deployment {name!r}; {hint}")
        return self._deployments[name]

    async def create_thread(
        self,
        deployment: str,
        *,
        thread_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> ThreadView:
        """Create a thread for a deployment's entry agent.

        Raises:
            NotFoundError: there is no such deployment.
            ConflictError: there is a thread of that id.
            UsageError: the id cannot be used.
            DeniedError: rules refuse it.
        """
        thread = self._new_thread(deployment, thread_id, metadata, settings)
        await threads.admit(self._office, self._deployment(deployment), thread)
        await arrival(self._writer.submit(lambda tx: acceptance.create_thread(tx, thread, now=self._clock.now())))
        return await self.thread(thread.id)

    async def close_thread(self, thread_id: str, *, by: str) -> ThreadView:
        """End a thread: no run can be started on it any more.

        Raises:
            NotFoundError: there is no such thread.
            UsageError: it is not the root of its case.
            ConflictError: it is closed already, or something of its case is under way.
            DeniedError: rules refuse it.
        """
        thread = await self.thread(thread_id)
        if thread.case_id != thread.id:
            raise UsageError(f"thread {thread_id!r} is part of case {thread.case_id!r}; close that")
        await threads.close(self._office, self._deployment(thread.deployment), thread.id, thread.agent, by=by)
        return await self.thread(thread_id)

    def _new_thread(
        self,
        deployment: str,
        thread_id: str | None,
        metadata: Mapping[str, Any] | None,
        settings: Mapping[str, Any] | None,
    ) -> acceptance.NewThread:
        loaded = self._deployment(deployment)
        chosen = thread_id if thread_id is not None else identifiers.new("thread")
        if not chosen or len(chosen) > 200 or "/" in chosen or not chosen.isprintable():
            raise UsageError(
                f"thread id {chosen[:80]!r} cannot be used; take 1 to 200 printable characters without '/'"
            )
        return acceptance.NewThread(
            id=chosen,
            deployment=deployment,
            agent=loaded.entry,
            case_id=chosen,
            settings=settings or {},
            metadata=metadata or {},
        )

    async def thread_state(self, thread_id: str) -> dict[str, Any]:
        """The state of a thread's graph: its values, and the nodes that are due.

        Raises:
            NotFoundError: there is no such thread.
        """
        thread = await self.thread(thread_id)
        agent = self._deployment(thread.deployment).agents[thread.agent]
        snapshot = await agent.graph.aget_state({"configurable": {"thread_id": thread_id}})
        return {"values": codec.plain(snapshot.values), "next": list(snapshot.next)}

    async def start_run(
        self,
        deployment: str,
        input: Any,
        *,
        thread_id: str | None = None,
        run_id: str | None = None,
        settings: Mapping[str, Any] | None = None,
        multitask: Multitask = "enqueue",
        metadata: Mapping[str, Any] | None = None,
        requester: str | None = None,
    ) -> RunView:
        """Accept a run: when this returns it is durable and will come to its end.

        Args:
            thread_id: the thread to run on; a new thread where None or unknown.
            run_id: chosen by the caller, so that a repeated request is one run.
            settings, metadata: of the thread, if it is new.
            multitask: what to do while the thread is busy.
            requester: who starts it, where that is proven; they may not approve what it asks for.

        Raises:
            NotFoundError: there is no such deployment.
            UsageError: the input does not fit the graph.
            ConflictError: the thread is busy and `multitask` is `reject`, or belongs to another deployment; or
                `run_id` is that of another run.
        """
        loaded = self._deployment(deployment)
        loaded.agents[loaded.entry].check(input)
        try:
            body = orjson.dumps(input)
        except TypeError as error:
            raise UsageError(f"the input is not JSON: {error}") from error
        chosen = run_id if run_id is not None else identifiers.new("run")
        thread = self._new_thread(deployment, thread_id, metadata, settings)
        await threads.admit(self._office, loaded, thread)
        if multitask in ("interrupt", "rollback"):
            if run_id is not None and (known := await self._known(run_id, deployment, thread_id, input)) is not None:
                return known
            await self._make_way(thread.id, multitask)
        place = _Place(self._engine, self._loop)

        def write(transaction: Transaction) -> claims.Claimed | None:
            now = self._clock.now()
            if run_id is not None and acceptance.exists(transaction, run_id):
                raise _KNOWN
            if thread_id is None:
                if not acceptance.accept_first(transaction, chosen, thread, body, requester=requester, now=now):
                    raise _KNOWN  # by another process, at this moment
                return place.take(transaction, chosen)
            threads.join(transaction, thread, now=now)
            if multitask == "reject" and (busy := acceptance.unfinished(transaction, thread.id)):
                raise ConflictError(f"thread {thread.id!r} is busy with run {busy[0]!r}; wait, or enqueue")
            if not acceptance.accept(transaction, chosen, thread.id, body, requester=requester, now=now):
                raise _KNOWN
            return place.take(transaction, chosen)

        future = self._writer.submit(write)
        future.add_done_callback(place.give_back)
        try:
            claimed = await arrival(future)
        except ConflictError as error:
            known = await self._known(chosen, deployment, thread_id, input) if error is _KNOWN else None
            if known is None:
                raise
            return known
        if claimed is None:
            self._engine.wake()
        now = moment(self._clock.now())
        return RunView.model_construct(
            id=chosen,
            thread_id=thread.id,
            case_id=thread.case_id,
            deployment=deployment,
            agent=loaded.entry,
            status="running" if claimed is not None else "queued",
            attempt=1,
            input=input,
            output=None,
            error=None,
            waiting_for=[],
            parent_run_id=None,
            created_at=now,
            started_at=None,
            finished_at=None,
        )

    async def _known(self, run_id: str, deployment: str, thread_id: str | None, input: Any) -> RunView | None:
        """The run that an earlier, equal request has started."""
        try:
            view = await self.run(run_id)
        except NotFoundError:
            return None
        if (view.deployment, view.input) != (deployment, input) or thread_id not in (None, view.thread_id):
            raise ConflictError(
                f"run id {run_id!r} is that of another run, on thread {view.thread_id!r} of deployment "
                f"{view.deployment!r}; choose another id"
            )
        return view

    async def _make_way(self, thread_id: str, multitask: Multitask) -> None:
        """Cancel what a thread is doing, and for `rollback` put it back to before."""
        for view in await self.runs(thread_id=thread_id, limit=1000):
            if view.status in FINAL:
                continue
            with suppress(ConflictError):
                await self.cancel(view.id, by="system", reason=f"another input came with multitask={multitask}")
            if multitask == "rollback":
                await self._saver.forget(view.thread_id, view.id)

    async def cancel(self, run_id: str, *, reason: str = "", by: str) -> RunView:
        """Cancel a run that has not ended; what it did stays done and recorded.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: it has ended already.
        """
        why = {"by": by, "reason": reason}
        if (task := self._engine.stop(run_id, why)) is not None:
            await asyncio.wait([task])
            view = await self.run(run_id)
            if view.status == "cancelled":
                return view

        def write(transaction: Transaction) -> list[str]:  # it waits, is queued, or was parked at this very moment
            return runs.end(transaction, run_id, "cancelled", now=self._clock.now(), detail=why)

        for ended in await arrival(self._writer.submit(write)):
            self._engine.stop(ended, why)
            self._hub.publish(ended, "run", {"run": await self.run(ended)})
        self._engine.wake()
        return await self.run(run_id)

    async def resume(self, run_id: str, *, by: str) -> RunView:
        """Queue a failed run again; it goes on where it failed.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: it has not failed.
        """
        before = await self.run(run_id)
        await arrival(self._writer.submit(lambda tx: runs.resume(tx, run_id, now=self._clock.now())))
        queued = before.model_copy(update={"status": "queued", "error": None, "attempt": 1, "finished_at": None})
        self._hub.publish(run_id, "run", {"run": queued})  # before it can start, so that nobody takes it for ended
        self._engine.wake()
        return queued
