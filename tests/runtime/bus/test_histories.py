"""The checker sees what it is there for."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.runtime.bus.histories import Effect, Invocation, Notebook, check, read

_published = st.dictionaries(st.sampled_from("abc"), st.integers(2, 5), min_size=1)


def _history(published: dict[str, int]) -> tuple[list[Effect], list[Invocation]]:
    effects = [Effect(key, number) for key, count in published.items() for number in range(count)]
    return effects, [Invocation(at, *effect, "w") for at, effect in enumerate(effects)]


@given(_published)
def test_a_history_as_promised_is_clean(published: dict[str, int]) -> None:
    assert check(published, *_history(published)).clean


@given(_published, st.data())
def test_a_lost_effect_is_seen(published: dict[str, int], data: st.DataObject) -> None:
    effects, invocations = _history(published)
    gone = data.draw(st.sampled_from(effects))
    effects.remove(gone)
    assert check(published, effects, invocations).lost == [gone]


@given(_published, st.data())
def test_a_repeated_effect_is_seen(published: dict[str, int], data: st.DataObject) -> None:
    effects, invocations = _history(published)
    twice = data.draw(st.sampled_from(effects))
    effects.append(twice)
    assert check(published, effects, invocations).repeated == [twice]


@given(_published, st.data())
def test_effects_that_changed_places_are_seen(published: dict[str, int], data: st.DataObject) -> None:
    effects, invocations = _history(published)
    place = data.draw(st.sampled_from([place for place, effect in enumerate(effects) if effect.number > 0]))
    effects[place - 1], effects[place] = effects[place], effects[place - 1]
    assert check(published, effects, invocations).out_of_order == [effects[place]]


@given(_published, st.data())
def test_a_handler_that_begins_with_what_is_over_or_passes_over_something_is_seen(
    published: dict[str, int], data: st.DataObject
) -> None:
    effects, invocations = _history(published)
    place = data.draw(st.sampled_from([place for place, effect in enumerate(effects) if effect.number > 0]))
    late = Invocation(10_000, *effects[place - 1], "zombie")
    assert check(published, effects, [*invocations, late]).begun_out_of_order == [late]
    passed = [invocation for number, invocation in enumerate(invocations) if number != place - 1]
    assert check(published, effects, passed).begun_out_of_order


def test_an_effect_of_nothing_that_was_published_is_seen() -> None:
    assert check({"a": 1}, [Effect("a", 0), Effect("b", 0)], []).unbidden == [Effect("b", 0)]


def test_beginning_again_with_what_was_not_acknowledged_is_as_promised(tmp_path: Path) -> None:
    book = Notebook(tmp_path / "w.jsonl", "w")
    for number in (0, 0, 1, 1, 1, 2):
        book.begin("a", number)
    assert check({"a": 3}, [Effect("a", number) for number in range(3)], read(tmp_path)).clean
