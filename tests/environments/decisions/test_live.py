from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from pydantic import BaseModel

from gatewright.agents import Agent, Choice, Conversation, DecisionPoint, Team, decide
from gatewright.agents.errors import UsageError
from gatewright.environments.decisions.live import LiveEnv
from gatewright.environments.decisions.plays import Case, TeamPlay
from gatewright.safety.rules.guard import Guard
from gatewright.safety.rules.packs import Pack

from .desk import SORT, WEIGH, Desk, Letter, letters

KEEP, BURN, FRAME = range(3)


def players() -> int:
    return sum(thread.name.startswith("player of") for thread in threading.enumerate())


def cases(seed: int) -> list[list[dict[str, Any]]]:
    """The first cases of a seed that have letters."""
    found = [letters(Case(seed=seed, number=number)) for number in range(12)]
    return [each for each in found if each]


@pytest.fixture(params=[False, True], ids=["alone", "side by side"])
def env(request: pytest.FixtureRequest) -> Any:
    env = LiveEnv(SORT, Desk(side_by_side=request.param))
    yield env
    env.close()
    assert players() == 0


def test_each_decision_of_the_team_is_a_step(env: LiveEnv) -> None:
    """Over several cases, of which those without a decision are passed over."""
    observation, _ = env.reset(seed=7)
    for case in cases(7)[:4]:
        for at, letter in enumerate(case):
            assert (observation == env.encoding.encode(letter)).all()
            assert env.action_masks().tolist() == [True, True, letter["kind"] == "note"]
            observation, reward, ended, truncated, info = env.step(np.int64(KEEP))
            assert reward == (1.0 if letter["kind"] == "bill" else -0.5)
            assert info["components"] == {"salary": 0.0, "sorting": reward}
            assert (ended, truncated) == (at == len(case) - 1, False)
        observation, _ = env.reset()


def test_the_same_seed_is_the_same_cases(env: LiveEnv) -> None:
    def roll() -> list[Any]:
        seen: list[Any] = [env.reset(seed=3)[0].tolist()]
        for _ in range(4):
            seen.append([*env.step(np.int64(BURN))[:3]])
            if seen[-1][2]:
                seen.append(env.reset()[0].tolist())
        return [np.asarray(each[0]).tolist() if isinstance(each, list) else each for each in seen]

    assert roll() == roll()


def test_a_closed_option_is_not_carried_out_and_ends_the_episode(env: LiveEnv) -> None:
    seed = next(seed for seed in range(20) if cases(seed)[0][0]["kind"] == "bill")
    env.reset(seed=seed)
    _, reward, ended, _, info = env.step(np.int64(FRAME))
    assert (reward, ended, info["refused"], info["components"]) == (-1.0, True, True, {})
    with pytest.raises(ResetNeeded):
        env.step(np.int64(KEEP))
    assert (env.reset()[0] == env.encoding.encode(cases(seed)[1][0])).all()


def test_an_abandoned_episode_goes_no_further(env: LiveEnv) -> None:
    desk = Desk()
    other = LiveEnv(SORT, desk)
    for _ in range(5):
        other.reset(seed=1)
    assert players() == 1
    other.close()
    assert players() == 0
    assert desk.caught == []  # agents that catch exceptions do not notice
    assert other.reset(seed=1)[0].shape == (3,)  # and it can be used again
    other.close()


def test_a_lost_environment_ends_its_thread() -> None:
    env = LiveEnv(SORT, Desk())
    env.reset(seed=1)
    assert players() == 1
    del env
    assert players() == 0


def test_agents_that_are_asked_or_told_work_too() -> None:
    desk = Desk(side_by_side=True)
    env = LiveEnv(SORT, desk)
    env.reset(seed=7)
    for _ in range(len(cases(7)[0])):
        env.step(np.int64(KEEP))
    env.close()
    assert desk.weighed == ["light", "light"]


def test_what_the_team_fails_with_is_raised_and_ends_the_episode() -> None:
    env = LiveEnv(SORT, Desk(fails=0.0))
    with pytest.raises(ValueError, match="is too heavy"):
        env.reset(seed=7)
    with pytest.raises(ResetNeeded):
        env.step(np.int64(KEEP))
    env.close()


def test_a_point_that_the_team_never_comes_to_is_named() -> None:
    env = LiveEnv(WEIGH, lambda case: None)
    with pytest.raises(UsageError, match="1000 cases in a row did not come to the decision point 'weigh'"):
        env.reset(seed=1)
    env.close()


def test_a_point_of_the_same_name_but_other_options_is_refused() -> None:
    other = DecisionPoint(name="sort", features=Letter, options=("keep", "burn"), policy=SORT.policy)
    env = LiveEnv(other, Desk())
    with pytest.raises(UsageError, match="the environment was made for \\['keep', 'burn'\\]"):
        env.reset(seed=7)
    env.close()


def test_the_stock_checkers_pass() -> None:
    from gymnasium.utils.env_checker import check_env
    from stable_baselines3.common.env_checker import check_env as check_by_sb3

    gymnasium.register("test/Desk-v1", entry_point=lambda **kwargs: LiveEnv(SORT, Desk()))
    env = gymnasium.make("test/Desk-v1")
    with warnings.catch_warnings(action="ignore"):  # of a missing render mode
        check_env(env.unwrapped, skip_render_check=True)
        check_by_sb3(env.unwrapped)
    env.close()


class Mood(BaseModel):
    polite: bool


def agrees(features: Mood, open_options: Sequence[str]) -> Choice:
    return Choice(option="agree", policy="agrees@1")


ANSWER = DecisionPoint(name="answer", features=Mood, options=("agree", "refuse"), policy=agrees)


class Counter:
    """A simulated world without tools: its customers ask politely, then not, and want to hear a no each time."""

    def __init__(self) -> None:
        self.cases: list[tuple[str, int]] = []

    def tools(self) -> list[Any]:
        return []

    def now(self, case_id: str) -> datetime:
        return datetime(2026, 5, 4, tzinfo=UTC)

    def reset(self, case_id: str, seed: int) -> None:
        self.cases.append((case_id, seed))

    def user(self, conversation: Conversation, seed: int) -> Any:
        words = iter(conversation.customer)

        class User:
            def answer(self, reply: str | None) -> str | None:
                return next(words, None)

        return User()

    def score(self, conversation: Conversation, case_id: str, replies: Sequence[str]) -> float:
        return replies.count("refuse") / len(replies)


def _clerk(resources: Any) -> Any:
    from langchain_core.messages import AIMessage
    from langgraph.graph import START, MessagesState, StateGraph

    def answer(state: MessagesState) -> dict[str, Any]:
        polite = "please" in str(state["messages"][-1].content)
        return {"messages": [AIMessage(decide(ANSWER, Mood(polite=polite)).option)]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    return builder


def test_a_team_serves_the_users_of_a_simulated_world() -> None:
    world: Any = Counter()
    team = Team(name="counter", agents=(Agent(name="clerk", build=_clerk),), entry="clerk", points=(ANSWER,))
    talk = Conversation(id="a", customer=["a coffee please", "now"], settings={})
    env = LiveEnv(ANSWER, TeamPlay(team, world, lambda seed, number: talk))
    assert env.reset(seed=5)[0].tolist() == [1.0]
    observation, reward, ended, _, _ = env.step(np.int64(1))
    assert (observation.tolist(), reward, ended) == ([0.0], 0.0, False)
    _, reward, ended, _, info = env.step(np.int64(0))
    assert (reward, ended, info["components"]) == (0.5, True, {"score": 0.5})
    assert [seed for _, seed in world.cases] == [5]
    env.close()


RULES = """
apiVersion: gatewright/v1
kind: RulePack
name: counter
version: 1
rules:
- id: polite-once
  on: {hook: decision.before, name: ANSWER}
  when: history.exists(h, h.kind == 'decision' && h.ok)
  then: modify
  close: [CLOSED]
  reason: it was served already
  examples:
    match: [{history: [{kind: decision, name: ANSWER}], args: {options: [CLOSED]}}]
    pass: [{args: {options: [CLOSED]}}]
"""


def test_rules_close_options_by_what_the_case_has_seen() -> None:
    closed = ANSWER.options[1]
    rules = Guard([Pack.parse(RULES.replace("ANSWER", ANSWER.name).replace("CLOSED", closed))])
    world: Any = Counter()
    team = Team(name="counter", agents=(Agent(name="clerk", build=_clerk),), entry="clerk", points=(ANSWER,))
    talk = Conversation(id="a", customer=["a coffee please", "now"], settings={})
    env = LiveEnv(ANSWER, TeamPlay(team, world, lambda seed, number: talk, rules=rules))
    env.reset(seed=5)
    assert env.action_masks().all()
    env.step(np.int64(1))
    assert env.action_masks().tolist() == [True, False]
    assert env.step(np.int64(1))[4]["refused"]
    assert env.reset(seed=5) and env.action_masks().all()  # a new case has seen nothing
    env.close()
