"""Conversations in tau2-bench's file format: `{info, tasks, simulations}`, each simulation with its messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

from gatewright.agents.errors import UsageError
from gatewright.environments.recordings import (
    Action,
    Answer,
    Message,
    Names,
    RecordedCall,
    Recording,
    Tokens,
    joined,
    validated,
)

EXPECTED = "{info, tasks, simulations} with simulations {task_id, messages, reward_info} (tau2-bench's format)"
DOMAIN = "retail"
ENDS = ("agent_stop", "user_stop")  # of a conversation that came to its end


class Call(BaseModel):
    """A tool call of a turn."""

    id: str = ""
    name: str
    arguments: dict[str, Any]
    requestor: Literal["assistant", "user"] = "assistant"


class Usage(BaseModel):
    """Tokens of a turn."""

    prompt_tokens: int
    completion_tokens: int


class Turn(BaseModel):
    """One message of a simulation; `id` is that of the call that a tool message answers."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    tool_calls: list[Call] | None = None
    id: str = ""
    timestamp: str | None = None
    cost: float | None = None
    usage: Usage | None = None

    @property
    def text(self) -> str:
        return self.content or ""


class Judged(BaseModel):
    """What the recorded judge said of a statement."""

    met: bool


class Wanted(BaseModel):
    """A call that a task asks for."""

    name: str
    arguments: dict[str, Any]

    @property
    def call(self) -> Action:
        return Action(self.name, self.arguments)


class Checked(BaseModel):
    """A call that the recorded reward looked for."""

    action: Wanted


class Criteria(BaseModel):
    """What a task asks for, as far as it lists calls."""

    actions: list[Wanted] | None = None


class RewardInfo(BaseModel):
    """The recorded reward and what it was computed from."""

    reward: float
    action_checks: list[Checked] | None = None
    nl_assertions: list[Judged] | None = None


class Simulation(BaseModel):
    """One recorded conversation as it is in the file."""

    task_id: str
    trial: int | None = None
    termination_reason: str | None = None
    agent_cost: float | None = None
    reward_info: RewardInfo | None = None
    messages: list[Turn]


class Environment(BaseModel):
    """Which domain was recorded."""

    domain_name: str = DOMAIN


class Agent(BaseModel):
    """Which model was recorded."""

    llm: str | None = None


class Info(BaseModel):
    """What the file says of all its simulations."""

    environment_info: Environment = Field(default_factory=Environment)
    agent_info: Agent = Field(default_factory=Agent)


class Results(BaseModel):
    """The whole file."""

    info: Info = Field(default_factory=Info)
    tasks: list[dict[str, Any]] = Field(default_factory=list)
    simulations: list[Simulation]


_RESULTS = TypeAdapter(Results)
_CRITERIA = TypeAdapter(Criteria)


def parse(value: object) -> list[Recording]:
    """The episodes of a file's content, each with a distinct id.

    An episode whose task is not among the file's has the task `{"id": task_id}` only, by which it cannot be judged.

    Raises:
        UsageError: it holds something else, or another domain.
    """
    results = validated(_RESULTS, value, "the shop's conversations", EXPECTED)
    domain = results.info.environment_info.domain_name
    if domain != DOMAIN:
        raise UsageError(f"this was recorded in the domain {domain!r}; there is {DOMAIN!r}")
    tasks = {str(task.get("id")): task for task in results.tasks}
    names = Names()
    return [_recording(each, results.info.agent_info.llm, tasks, names) for each in results.simulations]


def _recording(simulation: Simulation, model: str | None, tasks: Mapping[str, Any], names: Names) -> Recording:
    info, trial = simulation.reward_info, simulation.trial or 0
    judged = None if info is None or info.nl_assertions is None else [each.met for each in info.nl_assertions]
    known = tasks.get(simulation.task_id, {"id": simulation.task_id, "unknown": True})
    criteria = validated(_CRITERIA, known.get("evaluation_criteria") or {}, "what a task asks for", "{actions, ...}")
    checks = None if info is None else info.action_checks
    return Recording(
        id=names.name(DOMAIN, simulation.task_id, trial),
        source="tau2-bench",
        domain=DOMAIN,
        task_id=simulation.task_id,
        trial=trial,
        messages=joined(map(_message, simulation.messages)),
        replies=tuple(turn.text for turn in simulation.messages if turn.role == "assistant" and turn.text.strip()),
        task={**known, "stopped": simulation.termination_reason in ENDS, "judged": judged},
        wanted=tuple(each.call for each in criteria.actions or ()),
        graded=None if checks is None else tuple(check.action.call for check in checks),
        reward=None if info is None else info.reward,
        model=model,
        cost=_known_cost(simulation),
        ended=simulation.termination_reason,
    )


def _known_cost(simulation: Simulation) -> float | None:
    """A model whose price was unknown was recorded as free: tokens that cost nothing make the cost unknown."""
    used = any(turn.usage is not None for turn in simulation.messages if turn.role == "assistant")
    return None if simulation.agent_cost == 0 and used else simulation.agent_cost


def _message(turn: Turn) -> Message | Answer:
    if turn.role == "tool":
        return Answer(turn.id, turn.text)
    calls = (
        RecordedCall(id=call.id, name=call.name, args=call.arguments, by=call.requestor, result=None)
        for call in turn.tool_calls or ()
    )
    return Message(
        role=turn.role,
        text=turn.text,
        calls=tuple(calls),
        cost=None if turn.cost == 0 and turn.usage is not None else turn.cost,
        tokens=None if turn.usage is None else Tokens(turn.usage.prompt_tokens, turn.usage.completion_tokens),
        at=turn.timestamp,
    )
