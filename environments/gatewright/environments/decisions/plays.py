"""Plays: a team works on one case in a world, in this process, with given policies at its decision points."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable
from uuid import uuid4

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import StateGraph

from gatewright.agents import Conversation, Resources, Team
from gatewright.agents.decisions import PointPolicy
from gatewright.agents.effects import ACTIVE, Effect, RunContext
from gatewright.agents.errors import DeniedError, TerminatedError, UsageError
from gatewright.environments.worlds import SimulatedWorld
from gatewright.runtime import history, results
from gatewright.safety.rules.events import CLOSES, Event, Past
from gatewright.safety.rules.guard import Guard

R = TypeVar("R")


@dataclass(kw_only=True)
class Case:
    """One case of a stream of them: the same `seed` and `number` is the same case.

    `policies` are to choose at decision points. `account`, where the play sets one, says what the world has earned so
    far, by component.
    """

    seed: int
    number: int
    policies: Mapping[str, PointPolicy] = field(default_factory=dict[str, PointPolicy])
    account: Callable[[], Mapping[str, float]] | None = None
    _earned: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def id(self) -> str:
        """Tells cases apart."""
        return f"{self.seed}-{self.number}"

    def earn(self, component: str, reward: float) -> None:
        """Add to the rewards, when it comes about: what is earned before a decision is not the reward of that one."""
        self._earned[component] = self._earned.get(component, 0.0) + reward

    def earned(self) -> dict[str, float]:
        """The rewards so far, by component."""
        return self._earned | dict(self.account() if self.account is not None else {})


class Play(Protocol):
    """Works on a case from its beginning to its end."""

    def __call__(self, case: Case) -> None:
        """Have the team work on the case, with `case.policies` in its run, and say what it earned."""
        ...


class Agents:
    """The agents of a team, executed in this process, without a service: nothing is journalled or recorded.

    An agent that is asked works at once; one that is only told, when the agent that tells has finished. What is
    published has no readers.

    Args:
        rules: of these, those at `decision.before` close options; others are not asked, as in a simulation nothing can
            be harmed, and what they would do to a case belongs to a suite.
        now: the time in a case.
    """

    def __init__(
        self,
        team: Team,
        resources: Resources,
        *,
        rules: Guard | None = None,
        now: Callable[[str], datetime] = lambda case_id: datetime.now(UTC),
    ) -> None:
        self.team = team
        self.rules = rules
        self.now = now
        self.past: dict[str, list[Past]] = {}  # what rules see of a case
        self._graphs = {agent.name: _compiled(agent.build(resources)) for agent in team.agents}
        self._threads: set[tuple[str, str]] = set()  # agents and threads of which something is kept

    def run(self, case: Case, payload: Any, *, case_id: str, settings: Mapping[str, Any] | None = None) -> Any:
        """Hand the team's first agent an input on the thread `case_id`; gives the values that its graph ended with.

        Raises:
            UsageError: an agent asks a person, and here is none.
        """
        chain = _InProcess(self, case, case_id, settings or {})
        chain.heard(payload)
        values = self.execute(chain, self.team.entry, payload, thread=case_id)
        for agent, told in chain.told:  # the list grows where agents tell on
            self.execute(chain, agent, told, thread=chain.another())
        return values

    def execute(self, chain: _InProcess, agent: str, payload: Any, *, thread: str) -> Any:
        """Run one agent's graph in the run that `chain` belongs to."""
        graph = self._graphs[self.team.agent(agent).name]
        self._threads.add((agent, thread))
        context = RunContext(
            run_id=chain.case_id,
            thread_id=thread,
            case_id=chain.case_id,
            deployment=self.team.name,
            agent=agent,
            chain=chain,
            settings=chain.settings,
            policies=chain.case.policies,
        )
        token = ACTIVE.set(context)
        try:
            values = graph.invoke(payload, {"configurable": {"thread_id": thread}})
        finally:
            ACTIVE.reset(token)
        if isinstance(values, dict) and "__interrupt__" in values:
            raise UsageError(
                f"agent {agent!r} of team {self.team.name!r} waits for a person, and nobody answers in an environment; "
                "give the team a world whose people are simulated"
            )
        return values

    def forget(self) -> None:
        """Give up what was kept of all threads and cases."""
        self.past.clear()
        while self._threads:
            agent, thread = self._threads.pop()
            if isinstance(saver := self._graphs[agent].checkpointer, InMemorySaver):
                saver.delete_thread(thread)


class _InProcess:
    """The chain of a run without a service: what is wished is done, and decisions are made of what rules leave open."""

    def __init__(self, agents: Agents, case: Case, case_id: str, settings: Mapping[str, Any]) -> None:
        self.case = case
        self.case_id = case_id
        self.settings = settings
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        self._agents = agents
        self._numbers = count()
        self._past = agents.past.setdefault(case_id, [])

    def another(self) -> str:
        """The id of another thread or message."""
        return f"{self.case_id}.{next(self._numbers)}"

    def heard(self, payload: Any) -> None:
        """What a person says."""
        if self._agents.rules is not None:
            now = self._agents.now(self.case_id)
            self._past.append(Past(kind="human", name="user", result=history.words(payload), time=now))

    def perform(self, effect: Effect, action: Callable[[Mapping[str, Any]], R]) -> R:
        args = self._open(effect)
        with self._noted(effect, args) as note:
            return note(action(args))

    async def aperform(self, effect: Effect, action: Callable[[Mapping[str, Any]], Awaitable[R]]) -> R:
        args = self._open(effect)
        with self._noted(effect, args) as note:
            return note(await action(args))

    def _open(self, effect: Effect) -> Mapping[str, Any]:
        """The arguments, with the options that rules close."""
        rules, context = self._agents.rules, ACTIVE.get()
        if rules is None or context is None or effect.kind != "decision" or not rules.wants(CLOSES, effect.name):
            return effect.args
        said = rules.evaluate(
            Event(
                hook=CLOSES,
                name=effect.name,
                agent=context.agent,
                deployment=context.deployment,
                run_id=context.run_id,
                thread_id=context.thread_id,
                labels=effect.labels,
                args=effect.args,
                history=self._past,
                time=self._agents.now(self.case_id),
            )
        )
        if said.verdict in ("deny", "terminate"):
            raise (DeniedError if said.verdict == "deny" else TerminatedError)(said.reason)
        return effect.args if said.args is None else said.args

    @contextmanager
    def _noted(self, effect: Effect, args: Mapping[str, Any]) -> Generator[Callable[[R], R]]:
        """Lets rules see what came of an effect."""
        found: list[Any] = []

        def note(value: R) -> R:
            found.append(value)
            return value

        try:
            yield note
        finally:
            if self._agents.rules is not None:
                result = results.judged(found[0]) if found else None
                now = self._agents.now(self.case_id)
                past = Past(
                    kind=effect.kind,
                    name=effect.name,
                    args=args,
                    result=result,
                    ok=bool(found),
                    labels=effect.labels,
                    time=now,
                )
                self._past.append(past)

    def ask(self, agent: str, payload: Mapping[str, Any], *, topic: str, timeout: float | None) -> Any:
        return self._agents.execute(self, agent, payload, thread=self.another())

    def send(self, agent: str, payload: Mapping[str, Any], *, topic: str) -> str:
        self.told.append((self._agents.team.agent(agent).name, payload))
        return self.another()

    def publish(self, topic: str, payload: Any, *, key: str | None, type: str | None, timeout: float | None) -> str:
        return self.another()


@runtime_checkable
class PricedWorld(SimulatedWorld, Protocol):
    """A simulated world that says what was earned while a case goes on."""

    def components(self, case_id: str, settings: Mapping[str, Any]) -> Mapping[str, float]:
        """The parts of the reward so far; `settings` are those of the case's conversation."""
        ...


Conversations: TypeAlias = Callable[[int, int], Conversation]
"""Gives the conversation of a seed and a number: what a case is about."""


class TeamPlay:
    """A team that serves the users of a simulated world.

    The reward is what a `PricedWorld` says is earned; of another one, its score at the end, in the component `score`.
    """

    def __init__(
        self,
        team: Team,
        world: SimulatedWorld,
        conversations: Conversations,
        *,
        model: BaseChatModel | None = None,
        rules: Guard | None = None,
    ) -> None:
        """`rules`: those at `decision.before` close options."""
        self._world = world
        self._conversations = conversations
        self._case_id = f"play-{uuid4().hex}"  # one after the other, so that nothing of a case stays in the world
        resources = Resources(tools={tool.name: tool for tool in world.tools()}, model=model)
        self._agents = Agents(team, resources, rules=rules, now=world.now)

    def __call__(self, case: Case) -> None:
        world, case_id = self._world, self._case_id
        conversation = self._conversations(case.seed, case.number)
        world.reset(case_id, case.seed)
        if isinstance(world, PricedWorld):
            case.account = lambda: world.components(case_id, conversation.settings)
        user = world.user(conversation, case.seed)
        replies: list[str] = []
        try:
            said = user.answer(None)
            while said is not None:
                given = {"messages": [{"role": "user", "content": said}]}
                values = self._agents.run(case, given, case_id=case_id, settings=conversation.settings)
                replies.append(_reply(values))
                said = user.answer(replies[-1])
            if case.account is None:
                case.earn("score", world.score(conversation, case_id, replies))
        finally:
            self._agents.forget()


def _reply(values: Any) -> str:
    last = values["messages"][-1] if values.get("messages") else None
    return str(last.text) if isinstance(last, AIMessage) else ""


def _compiled(graph: Any) -> Any:
    return graph.compile(checkpointer=InMemorySaver()) if isinstance(graph, StateGraph) else graph
