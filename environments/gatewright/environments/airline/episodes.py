"""Conversations in tau-bench's file format: a list of `{task_id, trial, reward, info, traj}` with OpenAI messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from gatewright.agents import Conversation
from gatewright.environments import recordings
from gatewright.environments.recordings import Action, Answer, Message, Names, RecordedCall, Recording, joined

SAYING = "respond"  # an action of a task that only talks
STOP = "###STOP###"  # the simulated customer's word for "I am done"; it is never answered
EXPECTED = "a JSON list of {task_id, trial, reward, info, traj} with OpenAI-style messages (tau-bench's format)"


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
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        return self.content or ""


class Wanted(BaseModel):
    """A call that a task asks for."""

    name: str
    kwargs: dict[str, Any]


class Actions(BaseModel):
    """A task, or what the recorded reward was computed beside, as far as they list calls."""

    actions: list[Wanted] = Field(default_factory=list)

    @property
    def calls(self) -> tuple[Action, ...]:
        """The calls, without what is only to be said."""
        return tuple(Action(each.name, each.kwargs) for each in self.actions if each.name != SAYING)


class Task(Actions):
    """What the conversation was about; `reward` reads the rest."""

    model_config = ConfigDict(extra="allow")


class Info(BaseModel):
    """What the file says besides the messages; empty where the recording broke off."""

    task: Task = Field(default_factory=Task)
    reward_info: Actions | None = None
    error: str | None = None


class Episode(BaseModel):
    """One recorded conversation as it is in the file."""

    task_id: int | str
    trial: int
    reward: float
    info: Info
    traj: list[Turn]


_EPISODES = TypeAdapter(list[Episode])


def parse(value: object) -> list[Recording]:
    """The episodes of a file's content, each with a distinct id.

    Raises:
        UsageError: it holds something else.
    """
    names = Names()
    episodes = recordings.validated(_EPISODES, value, "airline conversations", EXPECTED)
    return [_recording(episode, names.name("airline", episode.task_id, episode.trial)) for episode in episodes]


def read(path: Path, data: Path | None) -> list[Conversation]:
    """The conversations in the file, each with a distinct id; `data` is the data set they were held on.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it holds something else.
    """
    return [recording.conversation(data) for recording in recordings.read(path, parse)]


def _recording(episode: Episode, identity: str) -> Recording:
    turns = [turn for turn in episode.traj if turn.role != "system"]
    stopped = len(turns) > 1 and turns[-1].role == "user" and STOP in turns[-1].text
    graded = episode.info.reward_info
    return Recording(
        id=identity,
        source="tau-bench",
        domain="airline",
        task_id=str(episode.task_id),
        trial=episode.trial,
        messages=joined(map(_message, episode.traj)),
        replies=tuple(turn.text for turn in turns if turn.role == "assistant" and not turn.tool_calls),
        task=episode.info.task.model_dump() | {"stopped": stopped},
        wanted=episode.info.task.calls,
        graded=None if graded is None else graded.calls,
        reward=episode.reward,
        ended="user_stop" if stopped else "error" if episode.info.error is not None else None,
    )


def _message(turn: Turn) -> Message | Answer:
    if turn.role == "tool":
        return Answer(turn.tool_call_id or "", turn.text)
    calls = (
        RecordedCall(id=call.id, name=call.function.name, args=call.function.arguments, result=None)
        for call in turn.tool_calls or ()
    )
    return Message(role=turn.role, text=turn.text, calls=tuple(calls))
