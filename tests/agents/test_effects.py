from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pytest

from gatewright.agents import ask, current, effect, idempotency_key, publish, send
from gatewright.agents.errors import OutsideRunError

if TYPE_CHECKING:
    from tests.agents.conftest import NotingChain

Running = Callable[[Mapping[str, Any]], AbstractContextManager[None]]


@effect(labels={"reads"})
def rate(currency: str, *, day: str = "today") -> float:
    return 1.08


@effect(name="fetch-rate")
async def fetched(currency: str) -> float:
    return 1.09


@effect
def plain(*numbers: int, **named: int) -> int:
    return sum(numbers) + sum(named.values())


def test_outside_of_a_run_a_marked_function_is_called_as_it_is() -> None:
    assert rate("EUR") == 1.08
    assert idempotency_key() is None


def test_in_a_run_a_marked_function_passes_the_chain_with_its_defaults(running: Running, chain: NotingChain) -> None:
    with running({}):
        assert rate("EUR") == 1.08
    [wish] = chain.effects
    assert (wish.kind, wish.name, set(wish.labels)) == ("function", "rate", {"reads"})
    assert wish.args == {"currency": "EUR", "day": "today"}


async def test_a_marked_coroutine_function_passes_the_chain(running: Running, chain: NotingChain) -> None:
    assert await fetched("EUR") == 1.09
    with running({}):
        assert await fetched("EUR") == 1.09
    assert [wish.name for wish in chain.effects] == ["fetch-rate"]


def test_arguments_of_any_number_reach_the_function(running: Running) -> None:
    with running({}):
        assert plain(1, 2, three=3) == 6


def test_the_run_is_known_inside_and_unknown_outside(running: Running) -> None:
    with running({"x": 1}):
        assert (current().case_id, current().settings) == ("case", {"x": 1})
    with pytest.raises(OutsideRunError, match="no run is active"):
        current()


def test_messages_go_through_the_chain(running: Running, chain: NotingChain) -> None:
    with running({}):
        assert ask("other", {"n": 1}) == {"reply": "fine"}
        assert send("other", {"n": 2}, topic="news") == "message-1"
        assert publish("board", [3], key="k", timeout=5) == "message-2"
    assert chain.messages == [
        ("other", {"n": 1}, "request"),
        ("other", {"n": 2}, "news"),
        ("board", [3], "k None 5"),
    ]


@pytest.mark.parametrize("write", [ask, send, publish])
def test_messages_need_a_run(write: Callable[[str, Mapping[str, Any]], Any]) -> None:
    with pytest.raises(OutsideRunError):
        write("other", {})
