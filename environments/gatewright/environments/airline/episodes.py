"""Conversations in tau-bench's file format: a list of `{task_id, trial, reward, info, traj}` with OpenAI messages."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from gatewright.agents import Conversation, RecordedToolCall
from gatewright.agents.errors import NotFoundError, UsageError

STOP = "###STOP###"  # the simulated customer's word for "I am done"; it is never answered


def _decoded(text: object) -> object:
    # Pydantic's own parser refuses some of what the recorded tools were called with: lone surrogates, infinities.
    if not isinstance(text, str):
        raise ValueError("expected JSON text")
    return json.loads(text)


class Function(BaseModel):
    """What a model wants called; `arguments` is JSON text in the file."""

    name: str
    arguments: Annotated[dict[str, Any], BeforeValidator(_decoded)]


class Call(BaseModel):
    """A tool call of an assistant's turn."""

    id: str
    function: Function


class Turn(BaseModel):
    """One message of a trajectory."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    tool_calls: list[Call] | None = None

    @property
    def text(self) -> str:
        return self.content or ""


class Info(BaseModel):
    """What the file says besides the messages; empty where the recording broke off."""

    task: dict[str, Any] = Field(default_factory=dict)


class Episode(BaseModel):
    """One recorded conversation as it is in the file."""

    task_id: int | str
    trial: int
    reward: float
    info: Info
    traj: list[Turn]


_EPISODES = TypeAdapter(list[Episode])


def read(path: Path, data: Path | None) -> list[Conversation]:
    """The conversations in the file, each with a distinct id; `data` is the data set they were held on.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it holds something else.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {str(path)!r} with recorded conversations") from error
    except OSError as error:
        raise UsageError(f"cannot read conversations from {str(path)!r}: {error.strerror}") from error
    expected = "a JSON list of {task_id, trial, reward, info, traj} with OpenAI-style messages (tau-bench's format)"
    try:
        episodes = _EPISODES.validate_python(json.loads(text))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"]) or "the top"
        raise UsageError(
            f"{str(path)!r} does not hold airline conversations: at {place}: {first['msg']}; expected {expected}"
        ) from error
    except ValueError as error:
        raise UsageError(f"{str(path)!r} is not JSON ({error}); expected {expected}") from error
    seen: Counter[str] = Counter()
    conversations: list[Conversation] = []
    for episode in episodes:
        identity = f"airline-{episode.task_id}-{episode.trial}"
        seen[identity] += 1
        again = f"-{seen[identity]}" if seen[identity] > 1 else ""  # files that were put together from several
        conversations.append(_conversation(episode, identity + again, data))
    return conversations


def _conversation(episode: Episode, identity: str, data: Path | None) -> Conversation:
    turns = [turn for turn in episode.traj if turn.role != "system"]
    stopped = len(turns) > 1 and turns[-1].role == "user" and STOP in turns[-1].text
    if turns and turns[-1].role == "user":
        turns.pop()  # the customer's goodbye, or a word that came when the recording had reached its limit
    settings: dict[str, Any] = {
        "recording": {
            "turns": [
                {"content": turn.text, "tool_calls": [_call(call) for call in turn.tool_calls or ()]}
                for turn in turns
                if turn.role == "assistant"
            ]
        }
    }
    if data is not None:
        settings["world"] = {"data": str(data)}
    return Conversation(
        id=identity,
        customer=[turn.text for turn in turns if turn.role == "user"],
        settings=settings,
        tool_calls=_results(turns),
        score=episode.reward,
        task=episode.info.task | {"stopped": stopped},
    )


def _call(call: Call) -> dict[str, Any]:
    return {"name": call.function.name, "args": call.function.arguments, "id": call.id}


def _results(turns: list[Turn]) -> list[RecordedToolCall]:
    """Each call with the text that answers it; texts come in the order of the calls."""
    results: list[RecordedToolCall] = []
    waiting: list[Call] = []
    for turn in turns:
        if turn.role == "assistant":
            waiting = list(turn.tool_calls or ())
        elif turn.role == "tool" and waiting:
            call = waiting.pop(0)
            results.append(RecordedToolCall(name=call.function.name, args=call.function.arguments, result=turn.text))
    return results
