from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.agents.labels import labels_of
from gatewright.agents.worlds import World
from gatewright.environments.domains import Called, Held
from gatewright.environments.retail import RETAIL, retail
from gatewright.environments.rows import NoOverlay
from gatewright.environments.worlds import SimulatedWorld

if TYPE_CHECKING:
    from tests.environments.conftest import Call


@pytest.mark.parametrize("name", ["base", "sft"])
def test_every_recorded_result_and_reward_is_reproduced(recorded: Path, name: str) -> None:
    data = RETAIL.load(recorded)
    results, wrong = 0, list[str]()
    for episode in RETAIL.recordings(recorded / f"episodes-{name}_retail.json"):
        case = RETAIL.open(data, NoOverlay())
        made = [Called(name=call.name, args=call.args, by=call.by) for call in episode.calls]
        given = [RETAIL.perform(case, copy.deepcopy(call)) for call in made]
        results += len(given)
        held = Held(changes=case.changes(), replies=episode.replies, calls=made)
        reward = RETAIL.reward(data, episode.task, held, RETAIL.solution(data, episode.task))
        if given != [call.result for call in episode.calls] or reward != episode.reward:
            wrong.append(episode.id)
    assert (results, wrong) == ({"base": 147, "sft": 138}[name], [])


def test_a_recorded_conversation_can_be_held_again(
    recorded: Path, tmp_path: Path, caller: Callable[[World], Call]
) -> None:
    world = retail(tmp_path, {})
    conversation = world.conversations(recorded / "episodes-base_retail.json")[0]
    call = caller(world)
    results = [
        call(each.name, each.args, case_id="c", settings=conversation.settings) for each in conversation.tool_calls
    ]
    turns = conversation.settings["recording"]["turns"]
    assert turns[0]["content"] != "Hi! How can I help you today?"
    assert results == [each.result for each in conversation.tool_calls]
    assert world.score(conversation, "c", [turn["content"] for turn in turns]) == conversation.score == 1.0
    world.close()


def test_the_shop_is_a_simulated_world_whose_lookups_only_read(tmp_path: Path) -> None:
    world: SimulatedWorld = retail(tmp_path, {})
    assert isinstance(world, SimulatedWorld)
    reading = {tool.name for tool in world.tools() if "reads" in labels_of(tool)}
    assert reading == {name for name in RETAIL.catalogue if name.startswith(("calc", "find", "get", "list"))}
    world.close()


def test_no_conversations_come_along(tmp_path: Path) -> None:
    world = retail(tmp_path, {})
    with pytest.raises(UsageError, match="no retail conversations come along"):
        world.conversations(None)
    world.close()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "is not JSON"),
        pytest.param("[" * 99_999, "is not JSON", id="deep"),
        ("[]", "at 'products'"),
        ('{"products": {"a": 1}}', "at 'products'"),
    ],
)
def test_a_malformed_data_set_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "db.json").write_text(text)
    with pytest.raises(UnavailableError, match=complaint):
        RETAIL.load(tmp_path)
