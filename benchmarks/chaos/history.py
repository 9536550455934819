"""The history checker: what was promised and what happened, compared without asking the system that is on trial.

It reads what clients noted (acknowledgements), what the outside world noted (every call that reached it) and what
people noted (their answers). Of the system itself it takes only what a client can read over HTTP at the end: how runs
ended and what threads hold. It opens no file and no connection.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field

KEYLESS = frozenset({"cancel_reservation", "send_certificate"})
"""Tools whose provider knows no idempotency keys: it performs whatever reaches it, as often as it does."""


class Accepted(BaseModel):
    """A run that a service promised to execute: the `number`th, from 0, of what a customer says in `case`.

    `via` is the service that promised.
    """

    run: str
    customer: str
    case: str
    number: int
    via: str = ""


class Invocation(BaseModel):
    """A call that changes something, as the outside world saw it, in order of `number` over all cases.

    `performed` is false where a tool that honours keys had done it under this `key` already, so that nothing happened.
    `by` is the process that made the call.
    """

    number: int
    tool: str
    args: dict[str, Any]
    case: str
    key: str = ""
    run: str = ""
    by: str = ""
    performed: bool = True
    result: str = ""
    at: float = 0.0


class Answer(BaseModel):
    """What a person said about a call whose outcome nobody knew: that it happened, or to perform it again."""

    request: str
    case: str
    tool: str
    args: dict[str, Any]
    said: Literal["happened", "perform again"]


class Ending(BaseModel):
    """How a run ended, as its client could read it at the end; `status` is `unknown` where there is no such run."""

    run: str
    status: str


class Final(BaseModel):
    """What a case has come to: the values of its graph, the rows that it changed outside, and what was approved in it.

    `approved` names the tools, in order of their names: rules that know less of a case ask more, or less.
    """

    values: Any = None
    rows: Any = None
    approved: list[str] = Field(default_factory=list[str])


class Course(BaseModel):
    """A conversation as it goes when nothing disturbs it: what it changes outside, in order, and what it leaves."""

    conversation: str
    runs: int
    changes: list[Invocation]
    final: Final


class Step(BaseModel):
    """A step of a keyed sequence, per key 1, 2, 3, …, that a service promised to pass on; `run` publishes it."""

    run: str
    key: str
    sequence: int


class Mark(BaseModel):
    """A step that reached the outside world; not `performed` where it had come under its idempotency key before."""

    number: int
    key: str
    sequence: int
    by: str = ""
    performed: bool = True


class History(BaseModel):
    """Everything that was noted.

    `customers`: the conversation that each set out to hold · `keys`: how many steps of each were to be sent · `finals`:
    by case.
    """

    customers: dict[str, str] = Field(default_factory=dict[str, str])
    accepted: list[Accepted] = Field(default_factory=list[Accepted])
    invocations: list[Invocation] = Field(default_factory=list[Invocation])
    answers: list[Answer] = Field(default_factory=list[Answer])
    endings: list[Ending] = Field(default_factory=list[Ending])
    finals: dict[str, Final] = Field(default_factory=dict[str, Final])
    marks: list[Mark] = Field(default_factory=list[Mark])
    keys: dict[str, int] = Field(default_factory=dict[str, int])
    steps: list[Step] = Field(default_factory=list[Step])


class Findings(BaseModel):
    """What the history shows. Lists name what is wrong; all of them are empty where the promises were kept.

    `unaccepted`: runs that clients could not hand over at all · `unfinished`: accepted and not ended · `failed`: ended
    otherwise than in success · `lost`: changes that did not happen · `repeated`: that happened more than once ·
    `unexpected`: that nobody asked for · `blind`: calls of keyless tools that were made again although no person had
    said so · `misordered`: that happened before what their thread or key had asked for earlier · `different`: threads
    that do not end as undisturbed.
    """

    threads: int = 0
    accepted: int = 0
    finished: int = 0
    changes: int = 0
    calls_by: dict[str, int] = Field(default_factory=dict[str, int])
    keyed_again: int = 0
    unknown_outcomes: int = 0
    steps: int = 0
    unaccepted: list[str] = Field(default_factory=list[str])
    unfinished: list[str] = Field(default_factory=list[str])
    failed: list[str] = Field(default_factory=list[str])
    lost: list[str] = Field(default_factory=list[str])
    repeated: list[str] = Field(default_factory=list[str])
    unexpected: list[str] = Field(default_factory=list[str])
    blind: list[str] = Field(default_factory=list[str])
    misordered: list[str] = Field(default_factory=list[str])
    different: list[str] = Field(default_factory=list[str])

    @property
    def violations(self) -> dict[str, list[str]]:
        """The lists, by name."""
        named: dict[str, list[str]] = {name: getattr(self, name) for name in VIOLATIONS}
        return named

    @property
    def kept(self) -> bool:
        """Whether every promise was kept."""
        return not any(self.violations.values())


VIOLATIONS = (
    "unaccepted",
    "unfinished",
    "failed",
    "lost",
    "repeated",
    "unexpected",
    "blind",
    "misordered",
    "different",
)


class _Change(NamedTuple):
    """A change as it can be told from others of its case."""

    tool: str
    args: str

    def __str__(self) -> str:
        return f"{self.tool} {self.args[:120]}"


def _change(tool: str, args: Mapping[str, Any]) -> _Change:
    return _Change(tool, json.dumps(args, sort_keys=True))


def check(history: History, courses: Mapping[str, Course]) -> Findings:
    """Compare a history with the undisturbed courses of its conversations."""
    found = Findings()
    cases = {one.case: courses[history.customers[one.customer]] for one in history.accepted}
    _check_runs(found, history, courses)
    _check_changes(found, history, cases)
    _check_steps(found, history)
    for case, course in sorted(cases.items()):
        final = history.finals.get(case)
        if final != course.final:
            found.different.append(f"{case} ({course.conversation}): {_difference(course.final, final)}")
    return found


def _check_runs(found: Findings, history: History, courses: Mapping[str, Course]) -> None:
    numbers: dict[str, set[int]] = defaultdict(set)
    for one in history.accepted:
        numbers[one.customer].add(one.number)
    for customer, conversation in history.customers.items():
        missing = set(range(courses[conversation].runs)) - numbers[customer]
        found.unaccepted += [f"{customer} run {number}" for number in sorted(missing)]
    found.threads = len({one.case for one in history.accepted})
    sent = {(step.key, step.sequence) for step in history.steps}
    for key, steps in history.keys.items():
        found.unaccepted += [f"key {key}: step {step}" for step in range(1, steps + 1) if (key, step) not in sent]
    promised = dict.fromkeys([*(one.run for one in history.accepted), *(step.run for step in history.steps)])
    found.accepted = len(promised)
    status = {ending.run: ending.status for ending in history.endings}
    for run in promised:
        ended = status.get(run, "unknown")
        if ended == "succeeded":
            found.finished += 1
        elif ended in ("failed", "cancelled"):
            found.failed.append(f"{run} {ended}")
        else:
            found.unfinished.append(f"{run} {ended}")


def _check_changes(found: Findings, history: History, cases: Mapping[str, Course]) -> None:
    of_case: dict[str, list[Invocation]] = defaultdict(list)
    for invocation in sorted(history.invocations, key=lambda one: one.number):
        of_case[invocation.case].append(invocation)
    leave = Counter(
        (answer.case, _change(answer.tool, answer.args)) for answer in history.answers if answer.said != "happened"
    )
    found.calls_by = dict(Counter([*(one.by for one in history.invocations), *(mark.by for mark in history.marks)]))
    found.unknown_outcomes = len({answer.request for answer in history.answers})
    for case in sorted(of_case.keys() | cases.keys()):
        wanted = [_change(one.tool, one.args) for one in cases[case].changes] if case in cases else []
        arrived = [_change(one.tool, one.args) for one in of_case[case]]
        happened = [_change(one.tool, one.args) for one in of_case[case] if one.performed]
        found.changes += len(happened)
        found.keyed_again += len(arrived) - len(happened)
        asked_for, done = Counter(wanted), Counter(happened)
        found.lost += _named(case, asked_for - done)
        found.unexpected += _named(case, Counter({one: n for one, n in done.items() if one not in asked_for}))
        found.repeated += _named(case, Counter({one: done[one] - n for one, n in asked_for.items() if done[one] > n}))
        found.misordered += [f"{case}: {one}" for one in out_of_order(wanted, happened)]
        for one, times in Counter(arrived).items():
            allowed = asked_for[one] + leave[case, one]
            if one.tool in KEYLESS and times > allowed:
                found.blind += [f"{case}: {one}"] * (times - allowed)


def _named(case: str, changes: Counter[_Change]) -> list[str]:
    return [f"{case}: {change}" for change in sorted(changes.elements())]


def out_of_order(wanted: Sequence[_Change], happened: Sequence[_Change]) -> list[_Change]:
    """What happened after something that should have followed it. Repetitions count where they happened first."""
    places: dict[_Change, list[int]] = defaultdict(list)
    for place, change in enumerate(wanted):
        places[change].append(place)
    furthest, found = -1, list[_Change]()
    for change in happened:
        if not places[change]:
            continue
        place = places[change].pop(0)
        if place < furthest:
            found.append(change)
        furthest = max(furthest, place)
    return found


def _check_steps(found: Findings, history: History) -> None:
    """Keyed sequences: every accepted step once, in its order."""
    of_key: dict[str, list[int]] = defaultdict(list)
    for mark in sorted(history.marks, key=lambda one: one.number):
        if mark.performed:
            of_key[mark.key].append(mark.sequence)
        else:
            found.keyed_again += 1
    sent: dict[str, set[int]] = defaultdict(set)
    for one in history.steps:
        sent[one.key].add(one.sequence)
    for key in sorted(of_key.keys() | sent.keys()):
        seen = of_key[key]
        found.steps += len(seen)
        times = Counter(seen)
        found.lost += [f"key {key}: step {step}" for step in sorted(sent[key]) if not times[step]]
        found.repeated += [f"key {key}: step {step}" for step, n in sorted(times.items()) for _ in range(n - 1)]
        furthest = 0
        for step in dict.fromkeys(seen):
            if step < furthest:
                found.misordered.append(f"key {key}: step {step} after {furthest}")
            furthest = max(furthest, step)


def _difference(expected: Any, found: Any, at: str = "") -> str:
    """Where two values differ first, in words."""
    if isinstance(expected, BaseModel):
        expected = expected.model_dump()
    if isinstance(found, BaseModel):
        found = found.model_dump()
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(expected.keys() | found.keys()):
            if expected.get(key) != found.get(key):
                return _difference(expected.get(key), found.get(key), f"{at}.{key}")
    if isinstance(expected, list) and isinstance(found, list):
        for place, (one, other) in enumerate(zip(expected, found, strict=False)):
            if one != other:
                return _difference(one, other, f"{at}[{place}]")
        return f"{at} has {len(found)} items instead of {len(expected)}"
    return f"{at or 'all'} is {_short(found)} instead of {_short(expected)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:159]}…"
