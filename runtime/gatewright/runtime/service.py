"""The service: what the API, the console and the command line do with runs, threads, approvals and records."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import sqlalchemy as sa

from gatewright.agents.errors import IntegrityError, NotFoundError, UnavailableError, UsageError
from gatewright.agents.worlds import Conversation

from . import codec, deployments, explanations, feed, interception, ledger, models, prices, reservations, runs
from .approvals import dues, roster
from .approvals.desk import Desk
from .bus import Bus, Topic
from .bus.oversight import Oversight
from .checkpoints import GroupCommitSaver, open_saver
from .clock import Clock, moment
from .config import Config
from .controls import storage as controls
from .controls.switches import Switches
from .deployments import LoadedDeployment
from .engine import Engine
from .feed import LOOK, Feed
from .history import Cases
from .hub import Hub
from .intake import Intake
from .ledger import Signatory
from .ledger.publishing import Publisher
from .meters import Meters
from .notices import outbox
from .notices.channels import Channel, channels
from .notices.sender import Sender
from .notices.views import NoticeView, State
from .policy import library
from .recording import Office
from .store import bell, database, schema
from .store.writer import Transaction, Writer
from .subscriptions.subscribers import Subscribers
from .views import FINAL, Event, LedgerView, Overview, RunView
from .workers import registry
from .workers.duties import Duties, Held, Work
from .workers.membership import Membership
from .workers.registry import Identity, Kind
from .workers.views import WorkerView

if TYPE_CHECKING:
    from .bridge import Bridge

T = TypeVar("T")

_log = logging.getLogger(__name__)

LATENESS = 0.25  # seconds between looks for runs whose deadline is over
UPKEEP = 60.0  # seconds between two looks for what can be dropped
COLLECT = 10_000  # new objects after which the garbage collector looks among them
LATE = timedelta(seconds=5)  # by which the events of a run may be late
HEARTBEAT = 15.0  # seconds after which a silent stream of events looks whether the run has ended elsewhere

_RUN = schema.Run.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_TOUCH = sa.update(_RUN).where(_RUN.c.number < 0).values(epoch=0)  # asks for the right to write and changes nothing


class Service(Intake, Desk, Switches, Oversight):
    """Everything that a deployment is, behind one door. Use it on one event loop.

    A SQLite file is held by one `Service` at a time; a PostgreSQL database is shared by any number.
    """

    def __init__(self, config: Config, folder: Path) -> None:
        super().__init__(database.of(config.database, folder))
        self.config = config
        self._folder = folder
        self.draining = False
        self._clock = Clock()
        self._loop = asyncio.get_running_loop()
        self._deployments: dict[str, LoadedDeployment] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._looking: set[asyncio.Task[None]] = set()
        self._controls_changed = asyncio.Event()
        self._bell = bell.Bell()
        self._feed: Feed | None = None
        self._writer: Writer
        self._saver: GroupCommitSaver
        self._engine: Engine
        self._hub: Hub
        self._bus: Bus
        self._bridge: Bridge | None = None
        self._subscribers: Subscribers
        self._membership: Membership
        self._keys: ledger.Keys
        self._sequencer: ledger.Sequencer
        self._signatory: Signatory | None = None

    @classmethod
    async def open(cls, config: Config, *, execute: bool = True, kind: Kind = "serve") -> Self:
        """Open the data directory: create or migrate it, load the deployments, recover and execute runs.

        Args:
            execute: whether to execute runs; without, requests are accepted and queued.
            kind: as what the process shows itself to others.

        Raises:
            UnavailableError: the directory cannot be used, or another process has it.
            UsageError: a deployment cannot be loaded.
        """
        database.make_folder(config.data_dir)
        service = cls(config, config.data_dir)
        service._database.hold()
        try:
            await service._open(execute, kind)
        except BaseException:
            service._database.release()
            raise
        return service

    async def _open(self, execute: bool, kind: Kind) -> None:
        interception.install()
        await asyncio.to_thread(self._database.prepare)
        self._keys = await asyncio.to_thread(
            ledger.keys,
            self._database,
            self._folder,
            path=self.config.ledger.key,
            origin=self.config.ledger.origin,
        )
        self._begin_reading()
        self._writer = Writer(self._database)
        self._sequencer = ledger.Sequencer(self._writer, self._query)
        if self._keys.signer is not None:
            self._signatory = Signatory(self._keys.signer, self._writer, self._clock)
        try:
            self._bell = bell.of(self._database)
            if self._database.shared:
                self._feed = self._open_feed()
            self._hub = Hub(self._bell, self._feed)
            self._controls = await self._query(lambda connection: controls.load(connection, now=self._clock.now()))
            self._saver = await open_saver(self._database, self._writer)
            chosen = self.config.worker.deployments or tuple(self.config.deployments)
            for name, settings in ((name, self.config.deployments[name]) for name in chosen):
                self._deployments[name] = deployments.load(name, settings, data_dir=self._folder, saver=self._saver)
            self._bus = await self._open_bus()
            self._office = Office(
                writer=self._writer,
                cases=Cases(self._writer, self._look if self._database.shared else None),
                clock=self._clock,
                prices=prices.book(self.config.prices),
                controls=self._controls,
                publish=self._hub.publish,
                wake=self._wake,
                bell=self._bell,
                bus=self._bus,
            )
            for deployment in self._deployments.values():
                deployment.meters = self._meters(deployment)
            self._subscribers = Subscribers(self._deployments.values())
            self._engine = Engine(self._office, self._hub, self._saver, self._deployments, self.config.worker)
            # What has been loaded by now stays: the garbage collector need not walk through it again and again while
            # runs make and drop objects. A third of the CPU time of a run went there; and another third where thousands
            # of runs wait, as long as it looked for cycles whenever 700 objects were there that had not been.
            gc.collect()
            gc.freeze()
            gc.set_threshold(COLLECT)
            await self._write(lambda transaction: outbox.declare(transaction, self.config.notices))
            packs = [pack for deployment in self._deployments.values() for pack in deployment.packs]
            await self._write(lambda transaction: library.keep(transaction, packs, now=self._clock.now()))
            people = {name: frozenset(person.roles) for name, person in self.config.people.items()}
            for deployment in self._deployments.values():
                roster.check(deployment, people)
            await self._write(lambda transaction: roster.withdraw(transaction, people, now=self._clock.now()))
            self._membership = Membership(
                self._writer,
                lambda: Identity.new(
                    kind, self.config.worker.deployments, self.config.worker.concurrency if execute else 0
                ),
                lease=self.config.worker.lease,
                alone=not self._database.shared,
                duties=Duties(self._duties() if execute else {}),
                recover=self._engine.recover,
                recovered=self._engine.wake,
                expelled=self._expelled,
            )
            self._bell.on("queue", self._engine.hear)
            self._bell.on("run:", self._heard_of_run)
            self._bell.on("controls", lambda _name: self._controls_changed.set())
            await self._bell.open()
            if self._database.shared:
                self._tasks.append(asyncio.create_task(self._follow_controls(), name="controls"))
            await self._membership.join()
            if execute:
                await self._engine.start(self._membership.who.id)
                await self._subscribers.open(self._office, self._query)
        except BaseException:
            await self._fall_silent()
            if hasattr(self, "_membership"):
                await self._membership.leave()
            if self._bridge is not None:
                await self._bridge.close(0.0)
            if hasattr(self, "_bus"):
                await self._bus.close(0.0)
            if hasattr(self, "_saver"):
                await self._saver.close()
            self._writer.close()
            self._end_reading()
            raise

    def _open_feed(self) -> Feed:
        """What tells events of runs to those who watch them in other processes."""
        return Feed(self._writer, self._bell, query=self._query, view=self.run, worker=lambda: self._membership.who.id)

    def _meters(self, deployment: LoadedDeployment) -> Meters | None:
        office = self._office
        meters = Meters.of(
            deployment.name,
            deployment.guard.packs,
            writer=office.writer,
            clock=office.clock,
            prices=office.prices,
            worker=(lambda: self._membership.who.id) if self._database.shared else None,
        )
        for name in meters.models if meters is not None else ():
            models.substitute(name)  # a model that is not known is found out now
        return meters

    async def _open_bus(self) -> Bus:
        """The message bus: in this database, and over Kafka where one is configured."""
        topics, bridge = dict(self.config.topics), None
        if self.config.bus:
            bridge = self._bridge = self._build_bridge(topics)
        bus = Bus(
            self._database,
            self._writer,
            settings=topics,
            carrier=bridge,
            lease=self.config.worker.lease,
            clock=self._clock,
            bell=self._bell,
        )
        await bus.open(alone=not self._database.shared)
        if bridge is not None:
            await bridge.open(bus)
        return bus

    def _build_bridge(self, topics: dict[str, Topic]) -> Bridge:
        """The way to Kafka; adds its outbox to the topics."""
        from .bridge import Bridge, outboxes  # needs an extra
        from .kafka import Settings

        for name, topic in outboxes().items():
            topics.setdefault(name, topic)
        who = hashlib.sha256(str(self._keys.verifier).encode()).hexdigest()[:16]
        return Bridge(Settings.parse(self.config.bus, self.config.kafka), topics, group=f"gatewright-{who}")

    def _duties(self) -> dict[str, Work]:
        """What this process does for all while no other does."""
        offered: dict[str, Work] = {"dues": self._let_happen, "deadlines": self._expire}
        if self._database.shared:
            offered["places"] = lambda duty: self._sequencer.run(duty.check)
            offered["upkeep"] = self._keep_up
        if self._signatory is not None:
            offered["checkpoints"] = partial(self._sign, self._signatory)
        if self.config.ledger.topic:
            topic, origin = self.config.ledger.topic, self._keys.verifier.name
            publisher = Publisher(self._bus, self._writer, self._query, topic=topic, origin=origin)
            offered["decisions"] = lambda duty: publisher.run(duty.check)
        if self.config.notices:
            ways = channels(self.config.notices, self.config.mail, public_url=self.config.server.public_url)
            offered["notices"] = partial(self._tell, ways)
        return offered

    async def _let_happen(self, duty: Held) -> None:
        """Let happen what comes due on open requests."""

        def happen(transaction: Transaction) -> None:
            duty.check(transaction)
            dues.happen(transaction, now=self._clock.now())

        while True:
            with suppress(UnavailableError):  # the disk is full, or the database away: the next round tries again
                await self._write(happen)
                self._engine.wake()
            await asyncio.sleep(self.config.worker.lease / 3)

    async def _expire(self, duty: Held) -> None:
        """Cancel runs whose deadline is over."""

        def expire(transaction: Transaction) -> list[str]:
            duty.check(transaction)
            return runs.expire(transaction, now=self._clock.now())

        while True:
            with suppress(UnavailableError):  # the disk is full, or the database away: the next round tries again
                if await self._query(lambda connection: runs.late(connection, now=self._clock.now())):
                    for run_id in await self._write(expire):
                        self._engine.stop(run_id, runs.LATE)
                        self._hub.publish(run_id, "run", {"run": await self.run(run_id)})
                    self._engine.wake()
            await asyncio.sleep(LATENESS)

    async def _keep_up(self, duty: Held) -> None:
        """Drop what processes have left in the database for a while."""

        def drop(transaction: Transaction) -> None:
            duty.check(transaction)
            feed.prune(transaction)
            reservations.prune(transaction, now=self._clock.now())

        while True:
            with suppress(UnavailableError):  # the next round tries again
                await self._write(drop)
            await asyncio.sleep(UPKEEP)

    async def _tell(self, ways: Mapping[str, Channel], duty: Held) -> None:
        """Send what waits in the outbox."""
        sender = Sender(self._writer, self._query, self._clock, ways)
        sender.start()
        try:
            await asyncio.get_running_loop().create_future()  # until the duty ends
        finally:
            await sender.close()

    def _expelled(self, anew: Identity) -> None:
        """Others took this process for lost: what it had begun is not its own any more, and what it knew may be old."""
        self._engine.begin_anew(anew.id)
        self._hub.forget()
        self._office.cases.clear()

    def _heard_of_run(self, name: str) -> None:
        """Another process has ended a run, perhaps one that is executed here."""
        for run_id in self._engine.executed(name.removeprefix("run:")):
            task = asyncio.create_task(self._look_after(run_id))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    async def _look_after(self, run_id: str) -> None:
        with suppress(UnavailableError, NotFoundError):
            view = await self.run(run_id)
            if view.status in FINAL:
                self._engine.stop(run_id, {"by": "", "reason": f"it has {view.status} in another process"})

    async def _fall_silent(self) -> None:
        """Hear and tell no more of other processes."""
        tasks = [*self._tasks, *self._looking]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._bell.close()

    def _wake(self) -> None:
        self._engine.wake()

    async def close(self, *, drain: float | None = None) -> None:
        """Stop: finish steps for up to `drain` seconds, give the rest back to the queue, sign the ledger, let go."""
        if self.draining:
            return
        self.draining = True
        self._membership.drain()
        await self._subscribers.close()
        await self._engine.drain(self.config.worker.drain if drain is None else drain)
        self._hub.close()
        with suppress(UnavailableError):
            await self._conclude()
        await self._membership.leave()
        await self._fall_silent()
        for deployment in self._deployments.values():
            if deployment.world is not None:
                deployment.world.close()
            if deployment.scoring is not None:
                deployment.scoring.close()
        if self._bridge is not None:
            await self._bridge.close()
        await self._bus.close()
        await self._saver.close()
        self._writer.close()
        self._end_reading()
        self._database.release()

    @property
    def bus(self) -> Bus:
        """The message bus: what this process publishes and subscribes to besides its agents."""
        return self._bus

    @property
    def hanging(self) -> int:
        """How many synchronous calls of agents have not returned; after closing, they hang."""
        return self._engine.hanging

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def check(self) -> None:
        """Check that requests can be stored.

        Raises:
            UnavailableError: they cannot, with the reason.
        """
        if self.draining:
            raise UnavailableError("the service is stopping")
        await self._write(lambda transaction: transaction.run(_TOUCH))
        if not self._database.shared and not self._database.exists():
            raise UnavailableError(f"the data directory {str(self._folder)!r} is gone; restore it and restart")

    @property
    def place(self) -> str:
        """Which database this is, without a password."""
        return self._database.place

    async def workers(self, *, every: bool = False) -> list[WorkerView]:
        """The processes that work on the database; with `every`, also those that have left or were lost today."""
        return await self._query(lambda connection: registry.listed(connection, every=every))

    # runs

    async def wait(self, run_id: str, *, timeout: float | None = None) -> RunView:
        """Wait until a run has ended, or waits for a person: it, or an agent that it asked.

        Raises:
            NotFoundError: there is no such run.
            TimeoutError: it did not in `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            told: bool | None = None  # nobody has been listened to yet
            looks, most = LOOK / 4, HEARTBEAT if self._bell.steady else LOOK
            while True:
                seen = self._hub.mark(run_id)
                view = self._hub.newest_run(run_id)
                stale = view is None or view.status == "waiting"  # long ago, or somebody may have answered since
                stale = stale or (self._database.shared and not told)  # or executed it elsewhere
                if self._hub.closed or told is False or (stale and not self._engine.executes(run_id)):
                    view = await self.run(run_id)
                elif stale:
                    view = None  # it goes on: what was said last is over
                if self._hub.closed or (view is not None and await self._settled(view)):
                    return view if view is not None else await self.run(run_id)
                pause = most
                if view is not None and view.status == "waiting":  # how those stand that it asked, only a look tells
                    pause = looks = min(2 * looks, most)
                told = await self._hub.told(run_id, seen, timeout=pause)

    async def _settled(self, view: RunView) -> bool:
        """Whether a run has ended or waits for a person, itself or one of the runs that it asked."""
        if view.status != "waiting":
            return view.status in FINAL
        asked = [item.removeprefix("run:") for item in view.waiting_for if item.startswith("run:")]
        if len(asked) < len(view.waiting_for):
            return True
        runs = [await self.run(run_id) for run_id in asked]
        return any([run.status == "waiting" and await self._settled(run) for run in runs])

    async def events(self, run_id: str, *, after: int = -1) -> AsyncIterator[Event]:
        """What happens in a run, from event number `after` on; ends with the run, or when the service stops.

        A `run` event's data is `{"run": RunView}`. Events are kept for a while, in memory or, where several processes
        share the database, there; of a run that ended longer ago, or before a restart, only its state is told.

        Raises:
            NotFoundError: there is no such run.
        """
        newest = await self._hub.newest(run_id)
        if newest < 0:
            view = await self.run(run_id)
            if await self._told_late(view):
                newest = await self._hub.newest(run_id)
            elif view.status in FINAL or view.status == "waiting":
                yield Event(seq=0, type="run", data={"run": view})
                if view.status in FINAL:
                    return
        seen = after if after <= newest else -1  # numbers of an earlier process say nothing here
        while not self._hub.closed:
            events = await self._hub.changed(run_id, seen, timeout=HEARTBEAT)
            for event in events:
                seen = event.seq
                if event.type == "update":
                    yield Event(seq=event.seq, type="update", data=codec.plain(event.data))
                    continue
                yield event
                if event.type == "run" and event.data["run"].status in FINAL:
                    return
            if not events:
                view = await self.run(run_id)
                if view.status in FINAL:
                    yield Event(seq=seen + 1, type="run", data={"run": view})
                    return

    async def _told_late(self, view: RunView) -> bool:
        """Whether a run of just now has events after all: a feed has them a moment after what they tell of."""
        since = moment(self._clock.now()) - (view.finished_at or view.started_at or view.created_at)
        late = self._hub.fed and since < LATE
        return late and bool(await self._hub.changed(view.id, -1, timeout=LATE.total_seconds()))

    # ledger

    async def ledger(self) -> LedgerView:
        """The head of the ledger with its newest signed checkpoint."""

        def read(connection: sa.Connection) -> LedgerView:
            tail, note = ledger.head(connection), ledger.newest_checkpoint(connection)
            return LedgerView(size=tail.size, root=tail.root().hex(), checkpoint=note, key=str(self._keys.verifier))

        await self._placed()
        return await self._query(read)

    async def note_explanation(self, index: int, explanation: dict[str, Any], *, by: str) -> None:
        """Record an explanation of the decision at an index.

        Raises:
            NotFoundError: there is no such record.
            UsageError: it is no decision, or not the one that is explained.
        """
        decision = await self.record(index)
        await self._write(lambda tx: explanations.note(tx, decision, explanation, by=by, now=self._clock.now()))

    async def overview(self) -> Overview:
        """What is going on, at a glance."""
        counts = await self._counts()
        return Overview(
            runs=counts.runs,
            approvals_open=counts.waiting,
            oldest_approval=None if counts.oldest is None else moment(counts.oldest),
            ledger=await self.ledger(),
        )

    async def _sign(self, signatory: Signatory, duty: Held) -> None:
        """Sign the head of the ledger whenever it has grown, in bounds of records and time."""
        settings = self.config.ledger
        await signatory.run(
            duty.check,
            lambda: self._query(ledger.size),
            records=settings.checkpoint_records,
            seconds=settings.checkpoint_seconds,
        )

    async def _conclude(self) -> None:
        """Give places to the last records, and sign them."""
        if self._database.shared:
            await self._sequencer.finish()
        if self._signatory is not None:
            try:
                await self._signatory.sign()
            except IntegrityError as error:
                _log.error("the ledger is not signed: %s; run `gatewright audit verify`", error)

    # worlds

    async def conversations(self, deployment: str, path: Path | None) -> list[Conversation]:
        """The recorded conversations in a file, or those that come with the deployment's world.

        Raises:
            UsageError: the deployment has no world, or the file holds no conversations of it.
        """
        world = self._deployment(deployment).world
        if world is None:
            raise UsageError(f"deployment {deployment!r} has no world, so it has no recorded conversations to hold")
        return await asyncio.to_thread(world.conversations, path)

    async def score(self, deployment: str, conversation: Conversation, case_id: str, replies: list[str]) -> float:
        """The final reward in [0, 1] of a conversation that was held as `case_id`."""
        world = self._deployment(deployment).world
        if world is None:
            raise UsageError(f"deployment {deployment!r} has no world that could score a conversation")
        return await asyncio.to_thread(world.score, conversation, case_id, replies)

    # notices

    async def notices(self, *, state: State | None = None, limit: int = 100, offset: int = 0) -> list[NoticeView]:
        """Messages about approvals and the like, newest first."""
        return await self._query(lambda connection: outbox.views(connection, state=state, limit=limit, offset=offset))

    async def retry_notice(self, notice_id: str) -> None:
        """Send a message that was given up anew, under its id.

        Raises:
            NotFoundError: there is no such message.
            ConflictError: it was not given up, or its receiver is not configured any more.
        """
        await self._write(lambda tx: outbox.again(tx, notice_id, now=self._clock.now()))
