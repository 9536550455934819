"""Who&When: failed runs of several agents, labelled by people with who failed, at which step and why.

The format of github.com/ag2ai/Agents_Failure_Attribution, as one JSON list of its files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from gatewright.environments.recordings import Failure, Message, Names, Recording, validated

EXPECTED = "a JSON list of {question, history, mistake_agent, mistake_step, mistake_reason}"
PERSON = "human"


class Turn(BaseModel):
    """One message. Some logs name the speaker in `name`, others in `role`, with what they did in parentheses."""

    role: str
    name: str | None = None
    content: str

    @property
    def speaker(self) -> str:
        return (self.name or self.role).partition(" (")[0]


class Log(BaseModel):
    """One run as it is in the file; `file` is where it was published."""

    model_config = ConfigDict(populate_by_name=True)

    question: str
    history: list[Turn]
    mistake_agent: str
    mistake_step: int
    mistake_reason: str
    file: str = Field(default="", alias="_f")
    question_id: str = Field(default="", alias="question_ID")
    ground_truth: Any = None
    level: int | str | None = None


_LOGS = TypeAdapter(list[Log])


def parse(value: object) -> list[Recording]:
    """The runs of a file's content, each with a distinct id and its label.

    A label whose step is not the labelled agent's has a `finding` that says so; it is kept as it is.

    Raises:
        UsageError: it holds something else.
    """
    names = Names()
    return [_recording(log, names) for log in validated(_LOGS, value, "failed runs of Who&When", EXPECTED)]


def _recording(log: Log, names: Names) -> Recording:
    place = log.file.removesuffix(".json").lower().split("/")[-2:] if log.file else [log.question_id]
    identity = names.name("whowhen", *place)
    return Recording(
        id=identity,
        source="whowhen",
        domain="whowhen",
        task_id=log.question_id or identity,
        trial=0,
        messages=tuple(_message(turn) for turn in log.history),
        task={"question": log.question, "ground_truth": log.ground_truth, "level": log.level},
        reward=0.0,  # all of them failed
        failure=Failure(
            agent=log.mistake_agent,
            step=log.mistake_step,
            reason=log.mistake_reason,
            finding=_finding(log.history, log.mistake_step, log.mistake_agent),
        ),
    )


def _message(turn: Turn) -> Message:
    if turn.speaker == PERSON:
        return Message(role="user", text=turn.content)
    return Message(role="assistant", text=turn.content, agent=turn.speaker)


def _finding(history: Sequence[Turn], step: int, agent: str) -> str | None:
    if not 0 <= step < len(history):
        return f"step {step} is not among the {len(history)} that were recorded"
    speaker = history[step].speaker
    return None if speaker == agent else f"step {step} is of {speaker!r}, not of {agent!r}"
