"""Reads records as a member of a group from an event loop. Where it reads on from is the owner's word, not Kafka's."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from gatewright.agents.errors import UsageError

from .mailbox import Mailbox
from .polling import Assigned, Ended, Letter, Poller, Reset, Revoked
from .records import Batch, Partition
from .settings import Settings

AT_ONCE = 1000  # records after which no more batches are added to those that are given together

AssignedCallback = Callable[[Sequence[Partition]], Awaitable[Mapping[Partition, int | None]]]
"""Gives the offset of the next record to be read, for each partition; None or nothing where none is stored."""

RevokedCallback = Callable[[Sequence[Partition]], Awaitable[None]]
"""Lets go of partitions: what it is doing with their records ends, or is fenced off, before it returns."""


class Consumer:
    """A member of a group that belongs to the event loop it was made on.

    `assigned` and `revoked` are awaited one after the other, never at the same time; nothing of a partition comes
    before `assigned` has given its position. Another member gets a partition when `revoked` has returned, or a third
    of a `session` later: positions must be stored so that a late writer is refused. If either raises, the consumer
    ends and `batches` raises that error.

    `records` and `size` (bytes) bound what was delivered and not released, for each partition; of all together it is
    16 MiB. One fetch (4 MiB) may come on top. `session` is the time in seconds after which others take over from a
    member that has died.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        group: str,
        topics: Sequence[str],
        assigned: AssignedCallback,
        revoked: RevokedCallback,
        records: int = 2000,
        size: int = 2 * 1024 * 1024,
        reset: Reset = "earliest",
        session: float = 10.0,
    ) -> None:
        if not topics:
            raise UsageError(f"the group {group!r} reads no topics; name at least one")
        self._assigned, self._revoked = assigned, revoked
        self._epochs: dict[Partition, int] = {}
        self._ready: deque[Batch] = deque()  # bounded by what the poller delivers
        self._news = asyncio.Event()
        self._changes: deque[Assigned | Revoked] = deque()
        self._changed = asyncio.Event()
        self._error: BaseException | None = None
        self._ended = False
        mailbox: Mailbox[Letter] = Mailbox(asyncio.get_running_loop(), self._receive)
        self._poller = Poller(
            settings,
            mailbox.post,
            group=group,
            topics=topics,
            records=records,
            size=size,
            reset=reset,
            session=session,
        )
        self._tending = asyncio.create_task(self._tend())
        self._poller.start()

    async def batches(self) -> AsyncIterator[list[Batch]]:
        """Batches as they come, together what has gathered, in order; ends with `close`.

        Those of partitions that have been revoked meanwhile are left out.

        Raises:
            UnavailableError: Kafka refuses, or records are not there any more and `reset` is "error". While brokers
                are merely away it waits.
        """
        while True:
            while gathered := self._gathered():
                yield gathered
            if self._error is not None:
                raise self._error
            if self._ended:
                return
            self._news.clear()
            await self._news.wait()

    def _gathered(self) -> list[Batch]:
        gathered: list[Batch] = []
        count = 0
        while self._ready and count < AT_ONCE:
            batch = self._ready.popleft()
            if self.holds(batch):
                gathered.append(batch)
                count += len(batch.records)
        return gathered

    def holds(self, batch: Batch) -> bool:
        """Whether the partition of a batch is still ours, without interruption since it was delivered."""
        return self._epochs.get(batch.partition) == batch.epoch

    def release(self, batch: Batch, following: int | None = None) -> None:
        """Say that all records before an offset, at first those of this batch, are done.

        It makes room for more, and Kafka's committed offset, which only serves to display the lag, follows. Of a
        partition that was revoked since it is ignored.
        """
        if self.holds(batch):
            self._poller.release(batch.partition, batch.epoch, batch.following if following is None else following)

    async def close(self, *, deadline: float) -> None:
        """Let go of the partitions and leave the group, at most until a moment of `time.monotonic()`.

        The thread ends by itself: it may take longer when a broker does not answer.
        """
        self._poller.stop()
        await asyncio.to_thread(self._poller.join, max(0.0, deadline - time.monotonic()))
        self._finish(None)
        self._tending.cancel()
        await asyncio.wait([self._tending])

    def _receive(self, letter: Letter) -> None:
        match letter:
            case Batch():
                if self.holds(letter):
                    self._ready.append(letter)
                    self._news.set()
            case Assigned():
                self._epochs.update(letter.epochs)
                self._change(letter)
            case Revoked():
                for partition in letter.partitions:
                    self._epochs.pop(partition, None)
                self._ready = deque(batch for batch in self._ready if self.holds(batch))
                self._change(letter)
            case Ended():
                self._finish(letter.error)

    def _change(self, change: Assigned | Revoked) -> None:
        self._changes.append(change)
        self._changed.set()

    def _finish(self, error: BaseException | None) -> None:
        if self._error is None and not self._ended:
            self._error = error
        self._ended = True
        self._news.set()

    async def _tend(self) -> None:
        """Tell the owner of changes, in their order."""
        while True:
            while self._changes:
                await self._tell(self._changes.popleft())
            self._changed.clear()
            await self._changed.wait()

    async def _tell(self, change: Assigned | Revoked) -> None:
        try:
            if isinstance(change, Revoked):
                try:
                    await self._revoked(change.partitions)
                finally:
                    change.heard.set()
                return
            epochs = {
                partition: epoch for partition, epoch in change.epochs.items() if self._epochs.get(partition) == epoch
            }
            if epochs:
                positions = await self._assigned(list(epochs))
                self._poller.place(
                    {partition: (epoch, positions.get(partition)) for partition, epoch in epochs.items()}
                )
        except Exception as error:
            self._finish(error)
            self._poller.stop()
