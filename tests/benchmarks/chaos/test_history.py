"""The checker keeps quiet about histories in which nothing is wrong, and finds every fault that is planted."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks.chaos.history import (
    KEYLESS,
    VIOLATIONS,
    Accepted,
    Answer,
    Course,
    Ending,
    Final,
    Findings,
    History,
    Invocation,
    Mark,
    Step,
    check,
)
from hypothesis import given
from hypothesis import strategies as st

TOOLS = ("book_reservation", "update_reservation_baggages", *sorted(KEYLESS))


def change(tool: str, about: Any, *, number: int = 0, case: str = "calm", key: str = "", performed: bool = True) -> Any:
    args = {"reservation_id": about}
    return Invocation(number=number, tool=tool, args=args, case=case, key=key, performed=performed)


def course_of(name: str, tools: list[str], runs: int = 2) -> Course:
    """A conversation that changes something with each of the tools; all its changes differ."""
    changes = [change(tool, f"{name} {place}") for place, tool in enumerate(tools)]
    return Course(conversation=name, runs=runs, changes=changes, final=Final(values={"said": name}, rows={"a": "b"}))


def undisturbed(courses: dict[str, Course], threads: dict[str, str], keys: dict[str, int]) -> History:
    """The history of threads that hold these conversations, change by change in turn, and of keyed steps."""
    history = History(keys=dict(keys))
    for key, steps in keys.items():
        history.steps += [Step(run=f"{key}.{n}", key=key, sequence=n) for n in range(1, steps + 1)]
    history.endings += [Ending(run=step.run, status="succeeded") for step in history.steps]
    for thread, conversation in threads.items():
        course = courses[conversation]
        for number in range(course.runs):
            run = f"{thread}.{number}"
            history.accepted.append(Accepted(run=run, customer=f"customer of {thread}", case=thread, number=number))
            history.endings.append(Ending(run=run, status="succeeded"))
        history.finals[thread] = course.final.model_copy(deep=True)
        history.customers[f"customer of {thread}"] = conversation
    longest = max((len(course.changes) for course in courses.values()), default=0)
    for place in range(longest):
        for thread, conversation in threads.items():
            if place < len(courses[conversation].changes):
                one = courses[conversation].changes[place]
                update = {"case": thread, "number": len(history.invocations), "key": f"{thread} {place}"}
                history.invocations.append(one.model_copy(update=update))
    for key, steps in keys.items():
        history.marks += [Mark(number=len(history.marks) + n, key=key, sequence=n + 1) for n in range(steps)]
    return history


COURSES = st.lists(st.lists(st.sampled_from(TOOLS), min_size=2, max_size=5), min_size=1, max_size=4).map(
    lambda lists: {f"script-{n}": course_of(f"script-{n}", tools) for n, tools in enumerate(lists)}
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[History, dict[str, Course]]:
    courses = draw(COURSES)
    names = draw(st.lists(st.sampled_from(sorted(courses)), min_size=1, max_size=6))
    keys = draw(st.dictionaries(st.sampled_from("abc"), st.integers(2, 6), min_size=1))
    return undisturbed(courses, {f"case-{n}": name for n, name in enumerate(names)}, keys), courses


def wrong(found: Findings) -> set[str]:
    return {name for name, one in found.violations.items() if one}


@given(histories())
def test_an_undisturbed_history_has_no_findings(made: tuple[History, dict[str, Course]]) -> None:
    history, courses = made
    found = check(history, courses)
    assert found.kept, found
    assert found.accepted == found.finished == len(history.accepted) + len(history.steps)
    assert found.changes == len(history.invocations)
    assert found.steps == len(history.marks)


@given(histories(), st.data())
def test_a_lost_change_is_found(made: tuple[History, dict[str, Course]], data: st.DataObject) -> None:
    history, courses = made
    gone = history.invocations.pop(data.draw(st.integers(0, len(history.invocations) - 1)))
    found = check(history, courses)
    assert wrong(found) == {"lost"}
    assert [one.startswith(f"{gone.case}: {gone.tool}") for one in found.lost] == [True]


@given(histories(), st.data())
def test_a_repeated_change_is_found_whatever_its_key(
    made: tuple[History, dict[str, Course]], data: st.DataObject
) -> None:
    history, courses = made
    again = data.draw(st.sampled_from(history.invocations))
    key = data.draw(st.sampled_from([again.key, "another"]))
    history.invocations.append(again.model_copy(update={"number": 10_000, "key": key}))
    found = check(history, courses)
    assert wrong(found) == ({"repeated", "blind"} if again.tool in KEYLESS else {"repeated"})
    assert len(found.repeated) == 1


@given(histories(), st.data())
def test_two_changes_of_a_thread_in_the_wrong_order_are_found(
    made: tuple[History, dict[str, Course]], data: st.DataObject
) -> None:
    history, courses = made
    case = data.draw(st.sampled_from(sorted(history.finals)))
    mine = [one for one in history.invocations if one.case == case]
    first = data.draw(st.integers(0, len(mine) - 2))
    mine[first].number, mine[first + 1].number = mine[first + 1].number, mine[first].number
    found = check(history, courses)
    assert wrong(found) == {"misordered"}
    assert len(found.misordered) == 1


@given(histories(), st.data())
def test_changes_of_different_threads_have_no_order(
    made: tuple[History, dict[str, Course]], data: st.DataObject
) -> None:
    history, courses = made
    order = data.draw(st.permutations(sorted(history.finals)))
    placed = sorted(history.invocations, key=lambda one: (order.index(one.case), one.number))
    for number, one in enumerate(placed):
        one.number = number
    assert check(history, courses).kept


@given(histories(), st.data())
def test_a_call_that_is_repeated_under_its_key_without_effect_is_no_fault(
    made: tuple[History, dict[str, Course]], data: st.DataObject
) -> None:
    history, courses = made
    keyed = [one for one in history.invocations if one.tool not in KEYLESS]
    for one in keyed:
        history.invocations.append(one.model_copy(update={"number": 10_000 + one.number, "performed": False}))
    found = check(history, courses)
    assert found.kept, found
    assert found.keyed_again == len(keyed)


@given(histories(), st.data())
def test_a_change_that_nobody_asked_for_is_found(made: tuple[History, dict[str, Course]], data: st.DataObject) -> None:
    history, courses = made
    case = data.draw(st.sampled_from([*sorted(history.finals), "nobody's case"]))
    history.invocations.append(change("book_reservation", "something else", number=10_000, case=case))
    assert wrong(check(history, courses)) == {"unexpected"}


@given(histories(), st.data(), st.sampled_from(["failed", "cancelled", "running", "waiting", "queued", "unknown"]))
def test_an_accepted_run_that_did_not_succeed_is_found(
    made: tuple[History, dict[str, Course]], data: st.DataObject, status: str
) -> None:
    history, courses = made
    run = data.draw(st.sampled_from(history.endings))
    run.status = status
    found = check(history, courses)
    assert wrong(found) == ({"failed"} if status in ("failed", "cancelled") else {"unfinished"})
    assert found.finished == found.accepted - 1


@given(histories(), st.data())
def test_an_accepted_run_that_the_system_does_not_know_is_found(
    made: tuple[History, dict[str, Course]], data: st.DataObject
) -> None:
    history, courses = made
    history.endings.remove(data.draw(st.sampled_from(history.endings)))
    assert wrong(check(history, courses)) == {"unfinished"}


@given(histories(), st.data())
def test_a_run_that_was_never_accepted_is_found(made: tuple[History, dict[str, Course]], data: st.DataObject) -> None:
    history, courses = made
    history.accepted.remove(data.draw(st.sampled_from(history.accepted)))
    assert wrong(check(history, courses)) == {"unaccepted"}


@given(histories(), st.data(), st.sampled_from([None, Final(values={"said": "else"}, rows={"a": "b"})]))
def test_a_thread_that_ends_otherwise_than_undisturbed_is_found(
    made: tuple[History, dict[str, Course]], data: st.DataObject, final: Final | None
) -> None:
    history, courses = made
    thread = data.draw(st.sampled_from(sorted(history.finals)))
    if final is None:
        del history.finals[thread]
    else:
        history.finals[thread] = final
    assert wrong(check(history, courses)) == {"different"}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([1, 2, 3], set[str]()),
        ([1, 3], {"lost"}),
        ([1, 2, 2, 3], {"repeated"}),
        ([1, 3, 2], {"misordered"}),
        ([2, 3, 1, 3], {"misordered", "repeated"}),
        ([], {"lost"}),
    ],
)
def test_steps_of_a_key_are_expected_once_each_and_in_order(steps: list[int], expected: set[str]) -> None:
    history = undisturbed({}, {}, {"k": 3})
    history.marks = [Mark(number=place, key="k", sequence=step) for place, step in enumerate(steps)]
    assert wrong(check(history, {})) == expected


def test_a_step_that_comes_again_under_its_idempotency_key_is_no_fault() -> None:
    history = undisturbed({}, {}, {"k": 3})
    history.marks.append(Mark(number=99, key="k", sequence=1, performed=False))
    found = check(history, {})
    assert found.kept
    assert (found.steps, found.keyed_again) == (3, 1)


def test_a_step_that_was_never_accepted_is_found() -> None:
    history = undisturbed({}, {}, {"k": 3})
    history.keys["k"] = 4
    assert wrong(check(history, {})) == {"unaccepted"}


def keyless(times: int, answers: list[Any]) -> Findings:
    """A keyless call that arrived so often, and what people had said about it."""
    tool = sorted(KEYLESS)[0]
    courses = {"script": course_of("script", [tool])}
    history = undisturbed(courses, {"case": "script"}, {})
    [first] = history.invocations
    history.invocations += [first.model_copy(update={"number": 100 + n}) for n in range(times - 1)]
    history.answers = [
        Answer(request=f"ask-{n}", case="case", tool=tool, args=first.args, said=said) for n, said in enumerate(answers)
    ]
    return check(history, courses)


def test_a_keyless_call_is_made_again_only_when_a_person_says_so() -> None:
    assert keyless(1, ["happened"]).kept
    assert wrong(keyless(2, ["happened"])) == {"repeated", "blind"}
    assert wrong(keyless(2, ["perform again"])) == {"repeated"}  # the person was wrong: it had happened
    assert keyless(1, ["perform again"]).kept
    assert keyless(1, ["perform again"]).unknown_outcomes == 1


def test_every_kind_of_violation_breaks_the_promises() -> None:
    for name in VIOLATIONS:
        assert not Findings.model_validate({name: ["something"]}).kept
