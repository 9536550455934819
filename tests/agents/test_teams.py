from __future__ import annotations

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.tools import tool

from gatewright.agents import Agent, Resources, Team
from gatewright.agents.errors import UsageError


@tool
def look(at: str) -> str:
    """Look."""
    return at


DESK = Agent(name="desk", build=lambda resources: None)


def test_an_agent_is_found_by_its_name() -> None:
    assert Team(name="t", agents=(DESK,), entry="desk").agent("desk") is DESK


def test_an_unknown_agent_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no agent 'back'; it has \['desk'\]"):
        Team(name="t", agents=(DESK,), entry="desk").agent("back")


def test_two_agents_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="two agents of one name"):
        Team(name="t", agents=(DESK, DESK), entry="desk")


def test_an_entry_that_no_agent_has_is_refused() -> None:
    with pytest.raises(UsageError, match="no agent 'door'"):
        Team(name="t", agents=(DESK,), entry="door")


def test_resources_give_the_tools_and_the_model() -> None:
    model = FakeListChatModel(responses=["x"])
    resources = Resources(tools={"look": look}, model=model)
    assert resources.tool("look") is look
    assert resources.chat_model() is model


def test_resources_that_are_missing_say_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"no tool 'fly'; it has \['look'\]"):
        Resources(tools={"look": look}).tool("fly")
    with pytest.raises(UsageError, match="--model"):
        Resources().chat_model()
