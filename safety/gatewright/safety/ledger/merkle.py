"""The Merkle tree of the ledger: RFC 6962 hashes, inclusion proofs and consistency proofs (RFC 9162 section 2.1).

A node is named by `(level, index)`: level 0 are the leaf hashes, and node `(level, index)` covers the leaves from
`index * 2**level` up to, not including, `(index + 1) * 2**level`. Only *complete* nodes, those whose leaves all
exist, are ever stored: they never change again. What covers the ragged right edge is computed when asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple, Self

from gatewright.agents.errors import IntegrityError, UsageError

HASH_SIZE = 32  # bytes
EMPTY_ROOT = sha256().digest()

NodeReader = Callable[[int, int], bytes]
"""Reads a stored complete node: `(level, index)` to its hash."""


class Node(NamedTuple):
    """A complete node of the tree with its hash."""

    level: int
    position: int
    hash: bytes


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf: SHA-256 over 0x00 and the record's bytes (RFC 6962, section 2.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256 over 0x01 and both children (RFC 6962, section 2.1).

    The prefixes 0x00 and 0x01 keep a leaf from being passed off as an inner node.
    """
    return sha256(b"\x01" + left + right).digest()


def _fold(peaks: Sequence[bytes]) -> bytes:
    """The root over complete subtrees that lie side by side, largest (leftmost) first."""
    if not peaks:
        return EMPTY_ROOT
    result = peaks[-1]
    for peak in reversed(peaks[:-1]):
        result = node_hash(peak, result)
    return result


def _stored_peaks(start: int, size: int, node: NodeReader) -> list[bytes]:
    """The complete subtrees over `size` leaves from `start`, a multiple of the power of two at or above `size`."""
    peaks: list[bytes] = []
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            peaks.append(node(level, start >> level))
            start += 1 << level
    return peaks


def _range_root(start: int, size: int, node: NodeReader) -> bytes:
    return _fold(_stored_peaks(start, size, node))


def root(leaf_hashes: Iterable[bytes]) -> bytes:
    """The root of the tree over these leaf hashes, in order; `EMPTY_ROOT` of none."""
    frontier = Frontier()
    for leaf in leaf_hashes:
        frontier.append(leaf)
    return frontier.root()


class Frontier:
    """The right edge of a growing tree: all that is needed to append and to tell the root.

    Holds one hash for each bit that is set in `size`, so a tree of a million leaves is at most twenty hashes.
    """

    def __init__(self) -> None:
        self._size = 0
        self._peaks: list[bytes] = []

    @classmethod
    def restore(cls, size: int, node: NodeReader) -> Self:
        """The frontier of a stored tree of `size` leaves, with one read for each bit that is set in `size`.

        Raises:
            UsageError: `size` is negative.
        """
        if size < 0:
            raise UsageError(f"a tree cannot have {size!r} leaves; the size must be 0 or more")
        frontier = cls()
        frontier._size = size
        frontier._peaks = _stored_peaks(0, size, node)
        return frontier

    def copy(self) -> Self:
        """An independent frontier of the same tree, to come back to."""
        twin = type(self)()
        twin._size = self._size
        twin._peaks = list(self._peaks)
        return twin

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self._size

    def append(self, leaf: bytes) -> list[Node]:
        """Add a leaf hash; gives the nodes that became complete by it, from the leaf upwards, for storing.

        Raises:
            UsageError: `leaf` is not 32 bytes (the record itself, perhaps, instead of its `leaf_hash`).
        """
        if len(leaf) != HASH_SIZE:
            raise UsageError(f"a leaf hash has {HASH_SIZE} bytes, not {len(leaf)}; hash the record with `leaf_hash`")
        level, index, result = 0, self._size, leaf
        completed = [Node(0, index, leaf)]
        while index & 1:
            result = node_hash(self._peaks.pop(), result)
            level, index = level + 1, index >> 1
            completed.append(Node(level, index, result))
        self._peaks.append(result)
        self._size += 1
        return completed

    def root(self) -> bytes:
        """The root of the tree as it stands."""
        return _fold(self._peaks)


def _split(size: int) -> int:
    """The largest power of two smaller than `size`, where RFC 6962 divides a tree."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_proof(index: int, size: int, node: NodeReader) -> list[bytes]:
    """The hashes that lead from leaf `index` to the root of the tree of `size` leaves, from the leaf upwards.

    Raises:
        UsageError: the tree has no leaf `index`.
    """
    if not 0 <= index < size:
        raise UsageError(f"a log of {size!r} records has no record {index!r}; ask for one from 0 to {size - 1}")
    path: list[bytes] = []
    start, rest = 0, size
    while rest > 1:
        middle = _split(rest)
        if index < start + middle:
            path.append(_range_root(start + middle, rest - middle, node))
            rest = middle
        else:
            path.append(_range_root(start, middle, node))
            start, rest = start + middle, rest - middle
    return path[::-1]


def consistency_proof(first: int, second: int, node: NodeReader) -> list[bytes]:
    """The hashes that prove the tree of `first` leaves to be the beginning of the tree of `second` leaves.

    Empty where both sizes are equal.

    Raises:
        UsageError: not `0 < first <= second`. Every tree begins with the empty one, so that there is nothing to
            prove from size 0.
    """
    if not 0 < first <= second:
        raise UsageError(f"no consistency proof from size {first!r} to {second!r}; sizes must be 0 < first <= second")
    path: list[bytes] = []
    start, old, rest, whole = 0, first, second, True
    while old < rest:
        middle = _split(rest)
        if old <= middle:
            path.append(_range_root(start + middle, rest - middle, node))
            rest = middle
        else:
            path.append(_range_root(start, middle, node))
            start, old, rest, whole = start + middle, old - middle, rest - middle, False
    if not whole:  # the verifier knows the old root itself, but not an old subtree inside it
        path.append(_range_root(start, rest, node))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> None:
    """Check that the leaf hash `leaf` is leaf `index` of the tree of `size` leaves whose root is `expected`.

    RFC 9162, section 2.1.3.2.

    Raises:
        IntegrityError: it is not, or the proof is malformed.
    """
    _check_hashes(leaf, expected, *proof)
    if not 0 <= index < size:
        raise IntegrityError(f"inclusion proof: a log of {size!r} records has no record {index!r}", index=index)
    place, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise IntegrityError(f"inclusion proof of record {index}: {len(proof)} hashes are too many", index=index)
        if place & 1 or place == last:
            result = node_hash(sibling, result)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise IntegrityError(f"inclusion proof of record {index}: {len(proof)} hashes are too few", index=index)
    if result != expected:
        raise IntegrityError(
            f"record {index} is not in the log of size {size} with root {expected.hex()}: "
            f"its proof leads to {result.hex()}",
            index=index,
        )


def verify_consistency(first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes) -> None:
    """Check that the tree of `first` leaves is the beginning of the tree of `second` leaves.

    RFC 9162, section 2.1.4.2. A proof from size 0 is refused: it would say nothing about the second tree.

    Raises:
        IntegrityError: it is not (records were changed, dropped or reordered), or the proof is malformed.
    """
    if not 0 < first <= second:
        raise IntegrityError(f"consistency proof: sizes must be 0 < first <= second, not {first!r} and {second!r}")
    if first == second:
        if proof or not first_root or first_root != second_root:
            raise IntegrityError(
                f"two different logs of size {first}: roots {first_root.hex()} and {second_root.hex()}, "
                f"{len(proof)} proof hashes where none belong"
            )
        return
    _check_hashes(first_root, second_root, *proof)
    # Where `first` is a power of two, the old root is itself the subtree that the proof starts from.
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    if not path:
        raise IntegrityError(f"consistency proof from size {first} to {second} is empty")
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise IntegrityError(f"consistency proof from size {first} to {second}: too many hashes")
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise IntegrityError(f"consistency proof from size {first} to {second}: too few hashes")
    if old != first_root or new != second_root:
        raise IntegrityError(
            f"the log of size {second} with root {second_root.hex()} does not continue the log of size {first} "
            f"with root {first_root.hex()}: records before {first} were changed, dropped or reordered"
        )


def _check_hashes(*hashes: bytes) -> None:
    for value in hashes:
        if len(value) != HASH_SIZE:
            raise IntegrityError(f"a hash in a proof has {HASH_SIZE} bytes, not {len(value)}: {value.hex()!r}")
