"""Samples of decisions for an auditor: how many say how much, and which ones, so that neither side can pick them.

The seed is SHA-256 over the auditor's nonce and the root of a checkpoint. The auditor commits to the nonce before the
checkpoint is there, so neither of the two knows the seed beforehand, and anybody can repeat the draw afterwards.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from fractions import Fraction
from hashlib import sha256

from gatewright.agents.errors import UsageError


def sample_size(population: int, *, rate: float, confidence: float, allowed: int = 0) -> int:
    """How many of `population` to look at: if no more than `allowed` of them deviate, at most `rate` of all do.

    Exact: the smallest number for which a population with just one deviation more than `rate` would show `allowed` or
    fewer with a probability of at most `1 - confidence` (hypergeometric). Where no sample suffices, it is all of them.

    >>> [sample_size(100_000, rate=0.05, confidence=0.95, allowed=found) for found in (0, 1, 2)]
    [59, 93, 124]

    Raises:
        UsageError: `rate` or `confidence` are not in (0, 1), or the numbers are negative.
    """
    if not (0 < rate < 1 and 0 < confidence < 1) or population < 0 or allowed < 0:
        raise UsageError(
            f"rate {rate!r} and confidence {confidence!r} must be between 0 and 1, population {population!r} and "
            f"allowed deviations {allowed!r} 0 or more"
        )
    deviating = math.floor(Fraction(repr(rate)) * population) + 1  # 0.05 is meant, not the double next to it
    if deviating > population:
        return population
    risk = 1 - Fraction(repr(confidence))
    low, high = 0, 1
    while high < population and _at_most(allowed, population, deviating, high) > risk:
        low, high = high + 1, 2 * high  # from below: large binomials take long
    high = min(high, population)
    while low < high:
        middle = (low + high) // 2
        if _at_most(allowed, population, deviating, middle) <= risk:
            high = middle
        else:
            low = middle + 1
    return low


def _at_most(allowed: int, population: int, deviating: int, size: int) -> Fraction:
    """The probability that a sample shows `allowed` deviations or fewer."""
    ways = sum(
        math.comb(deviating, found) * math.comb(population - deviating, size - found)
        for found in range(min(allowed, size, deviating) + 1)
    )
    return Fraction(ways, math.comb(population, size))


def commitment(nonce: str) -> str:
    """What an auditor gives away before there is a checkpoint: SHA-256 of the nonce, in hex."""
    return sha256(b"gatewright nonce\n" + nonce.encode()).hexdigest()


def seed(nonce: str, root: bytes) -> bytes:
    """The seed of a draw: SHA-256 over the nonce and the root of a checkpoint.

    Raises:
        UsageError: the nonce has fewer than 16 characters, so that it could be found from its commitment.
    """
    if len(nonce) < 16:
        raise UsageError(f"a nonce of {len(nonce)} characters could be guessed; take 16 or more, at random")
    return sha256(nonce.encode() + root).digest()


def draw(indices: Iterable[int], count: int, seed: bytes) -> list[int]:
    """`count` of the indices, ascending; fewer where there are fewer. Their order does not matter.

    Those whose SHA-256 over the seed and the index (8 bytes, big-endian) is smallest.
    """
    return sorted(heapq.nsmallest(count, indices, key=lambda index: sha256(seed + index.to_bytes(8, "big")).digest()))
