"""Teams: the agents of one deployment, what they are given, and the rules they start with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool

from .decisions import DecisionPoint
from .errors import UsageError
from .subscriptions import Subscription


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a deployment hands to its agents: they take tools and models from outside and import no world."""

    tools: Mapping[str, BaseTool] = field(default_factory=dict)
    model: BaseChatModel | None = None

    def tool(self, name: str) -> BaseTool:
        """The tool of that name.

        Raises:
            UsageError: the deployment's world has no such tool.
        """
        if name not in self.tools:
            raise UsageError(f"this world has no tool {name!r}; it has {sorted(self.tools)}")
        return self.tools[name]

    def chat_model(self) -> BaseChatModel:
        """The chat model of the deployment.

        Raises:
            UsageError: none is configured.
        """
        if self.model is None:
            raise UsageError("this deployment has no model; set one, for example `--model openai:gpt-4o`")
        return self.model


@dataclass(frozen=True, kw_only=True)
class Agent:
    """A LangGraph graph with a name. `build` gives a `StateGraph` or a compiled graph."""

    name: str
    build: Callable[[Resources], Any]
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Team:
    """The agents of one deployment.

    `entry` is the agent that serves the customer. `world` names a `WorldFactory` as `module:attribute`, or is empty
    where the agents bring their own tools. `rules` is the rule pack the team starts with. `subscriptions` are the
    topics whose messages its agents are given; the configuration of a deployment may add others.
    """

    name: str
    agents: tuple[Agent, ...]
    entry: str
    world: str = ""
    rules: Path | None = None
    model: str = ""
    points: tuple[DecisionPoint[Any], ...] = ()
    subscriptions: tuple[Subscription, ...] = ()

    def __post_init__(self) -> None:
        names = [agent.name for agent in self.agents]
        if len(set(names)) != len(names):
            raise UsageError(f"team {self.name!r} has two agents of one name: {names}")
        if self.entry not in names:
            raise UsageError(f"team {self.name!r} has no agent {self.entry!r}; it has {names}")

    def agent(self, name: str) -> Agent:
        """The agent of that name.

        Raises:
            UsageError: the team has no such agent.
        """
        for agent in self.agents:
            if agent.name == name:
                return agent
        raise UsageError(f"team {self.name!r} has no agent {name!r}; it has {[a.name for a in self.agents]}")
