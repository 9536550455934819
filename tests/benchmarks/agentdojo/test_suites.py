from __future__ import annotations

from collections import Counter

from benchmarks.agentdojo import suites
from benchmarks.agentdojo.episodes import episode


def test_all_user_tasks_and_all_attack_pairs_are_there() -> None:
    assert len(list(suites.benign())) == 97
    assert len(list(suites.attacked())) == 949


def test_a_sample_has_as_many_user_tasks_for_every_attack() -> None:
    chosen = suites.sample(list(suites.attacked()), 2)
    counts = Counter((pair.suite, pair.injection) for pair in chosen)
    assert set(counts.values()) == {2} and len(counts) == 35
    assert len(set(chosen)) == len(chosen)


def test_an_environment_is_the_one_that_agentdojo_loads_itself() -> None:
    for name in suites.NAMES:
        text = {next(iter(suites.points(name))): "something new: 'quoted' and\nin two lines"}
        assert suites.environment(name, text) == suites.suite(name).load_and_inject_default_environment(text)


def test_the_calls_of_user_tasks_solve_them() -> None:
    for pair in suites.sample(list(suites.benign()), 4):
        held = episode(pair)
        for call in held.user_calls:
            suites.runtime(pair.suite).run_function(held.environment, call.name, dict(call.args), raise_on_error=True)
            held.trace.append(call.function_call())
        held.answer = held.final_answer
        assert held.useful, pair
