from __future__ import annotations

from hashlib import sha256
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.agents.errors import UsageError
from gatewright.safety.ledger.sampling import commitment, draw, sample_size, seed


@pytest.mark.parametrize(
    ("population", "rate", "sizes"),
    [(100_000, 0.05, [59, 93, 124]), (100_000, 0.01, [298, 472, 626]), (500, 0.05, [54]), (500, 0.01, [196])],
)
def test_sizes_are_those_of_the_tables(population: int, rate: float, sizes: list[int]) -> None:
    found = [sample_size(population, rate=rate, confidence=0.95, allowed=each) for each in range(len(sizes))]
    assert found == sizes


@settings(max_examples=60, deadline=None)
@given(population=st.integers(1, 120), rate=st.sampled_from([0.01, 0.05, 0.1, 0.3]), allowed=st.integers(0, 3))
def test_the_size_is_the_smallest_that_bears_the_risk(population: int, rate: float, allowed: int) -> None:
    size = sample_size(population, rate=rate, confidence=0.9, allowed=allowed)
    deviating = int(rate * population + 1e-9) + 1

    def risk(count: int) -> float:
        few = range(min(allowed, count, deviating) + 1)
        return sum(comb(deviating, n) * comb(population - deviating, count - n) for n in few) / comb(population, count)

    assert size == population or risk(size) <= 0.1
    assert size == 0 or risk(size - 1) > 0.1


def test_nothing_to_look_at_needs_no_sample() -> None:
    assert sample_size(0, rate=0.05, confidence=0.95) == 0


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_a_rate_that_is_no_share_is_refused(rate: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        sample_size(10, rate=rate, confidence=0.95)


def test_a_draw_depends_on_the_seed_alone() -> None:
    one = seed("a nonce of its own", bytes(32))
    forwards, backwards = draw(range(1000), 50, one), draw(reversed(range(1000)), 50, one)
    assert forwards == backwards == sorted(set(forwards))
    assert len(forwards) == 50
    assert forwards != draw(range(1000), 50, seed("another nonce here", bytes(32)))
    assert forwards != draw(range(1000), 50, seed("a nonce of its own", bytes(31) + b"\x01"))


def test_a_larger_draw_holds_the_smaller_one() -> None:
    one = seed("a nonce of its own", bytes(32))
    assert set(draw(range(1000), 20, one)) < set(draw(range(1000), 60, one))


def test_the_seed_is_the_hash_of_nonce_and_root() -> None:
    assert seed("0123456789abcdef", b"root") == sha256(b"0123456789abcdefroot").digest()


def test_a_nonce_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(UsageError, match="could be guessed"):
        seed("short", bytes(32))


def test_a_commitment_does_not_tell_the_seed() -> None:
    assert commitment("0123456789abcdef") != seed("0123456789abcdef", b"").hex()
