"""A partition that is ours: what was delivered of it and not released."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .records import Batch, Received

OVERHEAD = 64  # bytes of a record besides its content

_received: Callable[[tuple[Any, ...]], Received] = partial(tuple.__new__, Received)  # in C, unlike its own


class Share:
    """What is held of a partition in one epoch, with its bounds in records and bytes; a batch may exceed them."""

    __slots__ = ("epoch", "placed", "full", "_most", "_held", "_records", "_size")

    def __init__(self, epoch: int, records: int, size: int) -> None:
        self.epoch = epoch
        self.placed = False  # its position has come
        self.full = False
        self._most = (records, size)
        self._held: deque[tuple[int, int, int]] = deque()  # (following offset, records, bytes)
        self._records = self._size = 0

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return self._size

    def hold(self, batch: Batch, size: int) -> bool:
        """Count a batch that is delivered; gives whether it has become full."""
        self._held.append((batch.following, len(batch.records), size))
        self._records += len(batch.records)
        self._size += size
        if self.full or (self._records < self._most[0] and self._size < self._most[1]):
            return False
        self.full = True
        return True

    def free(self, following: int) -> bool:
        """Forget the batches before an offset; gives whether it was full and is at most half full now."""
        while self._held and self._held[0][0] <= following:
            _, records, size = self._held.popleft()
            self._records -= records
            self._size -= size
        if not self.full or self._records > self._most[0] // 2 or self._size > self._most[1] // 2:
            return False
        self.full = False
        return True


def unpacked(records: Sequence[Any]) -> tuple[list[Received], int]:
    """Records as kafka-python gives them, as ours, and the bytes that they take."""
    received: list[Received] = []
    size = OVERHEAD * len(records)
    for topic, number, _, offset, timestamp, _, key, value, headers, *_ in records:
        size += len(key or b"") + len(value or b"")
        for name, content in headers:
            size += len(name) + len(content or b"")
        received.append(_received((topic, number, offset, key, value, headers, timestamp)))
    return received, size
