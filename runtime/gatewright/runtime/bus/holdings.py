"""A partition that a member of a group holds, as it stands in memory: what is read, what runs, what is settled."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .cursors import Claim, Stand
from .parking import Parked

if TYPE_CHECKING:
    from .deliveries import Delivery

KEPT = 64  # lanes of a partition that are kept for messages to come
CAREFUL = 2  # deaths of holders in a row, from which on messages are started one at a time


class Lane:
    """Messages of one key, one after the other. Messages without a key have a lane each.

    While a message of the key waits in the database (`parked`), so do those that come after it: `behind` counts them.
    """

    __slots__ = ("behind", "holding", "key", "parked", "running", "works")

    def __init__(self, holding: Holding, key: str | None) -> None:
        self.holding = holding
        self.key = key
        self.works: deque[Delivery] = deque()
        self.running = False
        self.parked: Parked | None = None
        self.behind = 0


class Holding:
    """What a member knows of a partition it holds.

    Everything below `position` is settled, and so is what is in `ahead`; `stored` is what the database has noted of
    that. `next` is the offset to take next; the numbers of those messages are above `scanned`, and those of messages
    that are not settled above `since`. Up to `suspect`, messages may have killed the process: while the holding is
    `careful`, they are started one at a time. `waiting` are the lanes with a parked message.
    """

    __slots__ = (
        "ahead",
        "careful",
        "epoch",
        "lanes",
        "leaving",
        "lost",
        "next",
        "partition",
        "position",
        "returning",
        "running",
        "scanned",
        "since",
        "stored",
        "suspect",
        "waiting",
    )

    def __init__(self, claim: Claim, window: int) -> None:
        self.partition = claim.partition
        self.epoch = claim.epoch
        self.position = claim.position
        self.next = claim.position
        self.since = self.scanned = claim.since
        self.ahead = set(claim.settled)
        self.stored = set(claim.settled)
        self.lanes: dict[str, Lane] = {}
        self.waiting: set[Lane] = set()
        self.returning: set[int] = set()  # dead letters that are being redriven, by number
        self.running = 0
        self.leaving = False
        self.lost = False
        self.careful = claim.deaths >= CAREFUL
        self.suspect = claim.position + window
        self._absorb()
        self.next = self.position

    def stand(self) -> Stand:
        """How far it is."""
        return Stand(self.partition, self.epoch, self.position, self.since)

    def settle(self, offset: int, number: int) -> None:
        """Count a message as settled; the database does not know it yet."""
        if offset != self.position:
            if offset > self.position:
                self.ahead.add(offset)
            return
        self.position += 1
        self.since = number
        if self.ahead:
            self._absorb()

    def skip(self, offset: int) -> None:
        """Go on at an offset: what is before it is not kept any more."""
        if self.position == self.next:
            self.position = offset
            self._absorb()
        else:
            self.ahead.update(range(self.next, offset))
        self.next = offset

    def _absorb(self) -> None:
        ahead = self.ahead
        while ahead and self.position in ahead:
            ahead.remove(self.position)
            self.position += 1

    def lane(self, key: str | None) -> Lane:
        """The lane of a key."""
        if key is None:
            return Lane(self, None)
        found = self.lanes.get(key)
        if found is None:
            found = self.lanes[key] = Lane(self, key)
        return found

    def tidy(self, lane: Lane) -> None:
        """Forget a lane that nothing is left of, if there are many."""
        if len(self.lanes) > KEPT and lane.key is not None and not (lane.works or lane.running or lane.parked):
            self.lanes.pop(lane.key, None)
