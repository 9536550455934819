"""Recordings: episodes of other harnesses in one neutral form, whatever file format they came in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from gatewright.agents import Conversation, RecordedToolCall
from gatewright.agents.errors import NotFoundError, UsageError

T = TypeVar("T")

_GZIP = b"\x1f\x8b"  # how a compressed file begins


class Tokens(NamedTuple):
    """What a message cost a model to read and to write."""

    prompt: int
    completion: int


@dataclass(frozen=True, kw_only=True)
class RecordedCall:
    """A tool call. `result`: the text that answered it; None where the recording ends before that."""

    id: str
    name: str
    args: Mapping[str, Any]
    result: str | None
    by: str = "assistant"


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message. `cost` in US dollars and `tokens` are None where they were not recorded, never 0 in its place.

    `agent`: which of several agents it came from. `at`: ISO 8601 as recorded.
    """

    role: Literal["system", "user", "assistant"]
    text: str
    agent: str | None = None
    calls: tuple[RecordedCall, ...] = ()
    cost: float | None = None
    tokens: Tokens | None = None
    at: str | None = None


class Answer(NamedTuple):
    """The text that a tool answered with; `id` is that of the call."""

    id: str
    text: str


class Action(NamedTuple):
    """A call that a task asks for."""

    name: str
    args: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Who failed, where and why, as people labelled it. `step` counts messages from 0.

    `finding`: what is wrong with the label itself; None if nothing is.
    """

    agent: str
    step: int
    reason: str
    finding: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One recorded episode.

    `task` is what the domain's reward is computed from, `wanted` the calls that it asks for, and `graded` those that
    the recorded reward was computed beside, where it says so. `replies` are the texts that count as said to the
    customer. `reward` is None where none was recorded, and so is `cost` (US dollars, of the agents). `ended` is the
    recording's word for how it ended.
    """

    id: str
    source: str
    domain: str
    task_id: str
    trial: int
    messages: tuple[Message, ...]
    replies: tuple[str, ...] = ()
    task: Mapping[str, Any] = field(default_factory=dict[str, Any])
    wanted: tuple[Action, ...] = ()
    graded: tuple[Action, ...] | None = None
    reward: float | None = None
    model: str | None = None
    cost: float | None = None
    ended: str | None = None
    failure: Failure | None = None

    @property
    def calls(self) -> tuple[RecordedCall, ...]:
        """The calls that were answered, in order."""
        return tuple(call for message in self.messages for call in message.calls if call.result is not None)

    def conversation(self, data: Path | None) -> Conversation:
        """The episode as a conversation that a team can hold again on the data set `data`.

        The customer's last word, which the team never answered, is left out, and so is what the recorded agent said
        before the customer's first.
        """
        held = [message for message in self.messages if message.role != "system"]
        if held and held[-1].role == "user":
            held.pop()
        while held and held[0].role == "assistant" and not held[0].calls:
            held.pop(0)
        settings: dict[str, Any] = {
            "recording": {
                "turns": [
                    {
                        "content": message.text,
                        "tool_calls": [{"name": c.name, "args": c.args, "id": c.id} for c in message.calls],
                    }
                    for message in held
                    if message.role == "assistant"
                ]
            }
        }
        if data is not None:
            settings["world"] = {"data": str(data)}
        return Conversation(
            id=self.id,
            customer=[message.text for message in held if message.role == "user" and not message.calls],
            settings=settings,
            tool_calls=[
                RecordedToolCall(name=call.name, args=dict(call.args), result=call.result or "")
                for call in self.calls
                if call.by == "assistant"
            ],
            score=self.reward,
            task=dict(self.task),
        )


def content(path: Path) -> object:
    """The JSON value in a file of recordings.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it cannot be read or is not JSON.
    """
    try:
        held = path.read_bytes()
        if held.startswith(_GZIP):
            raise UsageError(
                f"{str(path)!r} is compressed, and so no file of recorded conversations, which are plain JSON; "
                "what `gatewright scenario record` wrote is replayed with --mode strict or counterfactual"
            )
        return json.loads(held)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {str(path)!r} with recorded conversations") from error
    except OSError as error:
        raise UsageError(f"cannot read conversations from {str(path)!r}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # the latter: nested too deeply
        raise UsageError(f"{str(path)!r} is not JSON ({error}); expected a file of recorded conversations") from error


def validated(adapter: TypeAdapter[T], value: object, what: str, expected: str) -> T:
    """`value` in the types of a file format.

    Raises:
        UsageError: it does not fit; says where, `what` it should hold and what was `expected`.
    """
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"]) or "the top"
        raise UsageError(f"this does not hold {what}: at {place}: {first['msg']}; expected {expected}") from error


def read(path: Path, parse: Callable[[object], list[Recording]]) -> list[Recording]:
    """The recordings in a file.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it holds something else; names the file.
    """
    value = content(path)
    try:
        return parse(value)
    except UsageError as error:
        raise UsageError(f"{str(path)!r}: {error}") from error


class Names:
    """Gives each episode a distinct id, also in files that were put together from several."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def name(self, *parts: object) -> str:
        """The parts joined by `-`, with a number where they were joined before."""
        joined = "-".join(str(part) for part in parts)
        self._seen[joined] += 1
        return f"{joined}-{self._seen[joined]}" if self._seen[joined] > 1 else joined


def joined(turns: Iterable[Message | Answer]) -> tuple[Message, ...]:
    """The messages, their calls with those of the answers right behind a message that are theirs: by id where it is
    that of one call only, else in their order."""
    said: list[tuple[Message, list[Answer]]] = []
    for turn in turns:
        if isinstance(turn, Message):
            said.append((turn, []))
        elif said:
            said[-1][1].append(turn)
    return tuple(replace(message, calls=_answered(message.calls, answers)) for message, answers in said)


def _answered(calls: Sequence[RecordedCall], answers: Sequence[Answer]) -> tuple[RecordedCall, ...]:
    found: dict[int, str] = {}
    for identity, text in answers:
        waiting = [place for place in range(len(calls)) if place not in found]
        named = [place for place in waiting if calls[place].id == identity]
        if waiting:
            found[named[0] if len(named) == 1 else waiting[0]] = text
    return tuple(replace(call, result=found.get(place)) for place, call in enumerate(calls))
