from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gatewright.agents.errors import NotFoundError, UsageError
from gatewright.environments.airline import AirlineWorld


def said(role: str, content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def calling(name: str, arguments: str) -> dict[str, Any]:
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    return said("assistant", None, tool_calls=[call])


def episode(*messages: dict[str, Any], **changed: Any) -> dict[str, Any]:
    task = {"user_id": "u", "instruction": "i", "actions": [], "outputs": []}
    traj = [said("system", "rules"), *messages]
    return {"task_id": 12, "trial": 3, "reward": 1.0, "info": {"task": task}, "traj": traj} | changed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "episodes.json"


def test_a_conversation_has_the_customers_words_and_the_recorded_turns(world: AirlineWorld, path: Path) -> None:
    messages = [
        said("user", "hello"),
        calling("think", '{"thought": "hm", "n": 1.0}'),
        said("tool", "", tool_call_id="c1", name="think"),
        said("assistant", "yes?"),
        said("user", "Bye! ###STOP###"),
    ]
    path.write_text(json.dumps([episode(*messages)]))
    [conversation] = world.conversations(path)
    assert conversation.id == "airline-12-3"
    assert conversation.customer == ["hello"]
    assert conversation.score == 1.0
    assert conversation.settings == {
        "recording": {
            "turns": [
                {"content": "", "tool_calls": [{"name": "think", "args": {"thought": "hm", "n": 1.0}, "id": "c1"}]},
                {"content": "yes?", "tool_calls": []},
            ]
        }
    }
    [call] = conversation.tool_calls
    assert (call.name, call.args, call.result) == ("think", {"thought": "hm", "n": 1.0}, "")


def test_a_word_that_the_recording_never_answered_is_left_out(world: AirlineWorld, path: Path) -> None:
    path.write_text(json.dumps([episode(said("user", "a"), said("assistant", "b"), said("user", "c"))]))
    [conversation] = world.conversations(path)
    assert conversation.customer == ["a"]
    assert world.score(conversation, "case", ["b"]) == 0.0


def test_a_recording_that_broke_off_at_once_has_nothing_to_say(world: AirlineWorld, path: Path) -> None:
    broken = {"task_id": 1, "trial": 0, "reward": 0.0, "info": {"error": "time-out"}, "traj": []}
    path.write_text(json.dumps([broken]))
    [conversation] = world.conversations(path)
    assert (conversation.customer, world.score(conversation, "case", [])) == ([], 0.0)


def test_conversations_of_one_task_and_trial_get_distinct_ids(world: AirlineWorld, path: Path) -> None:
    path.write_text(json.dumps([episode(), episode()]))
    assert [each.id for each in world.conversations(path)] == ["airline-12-3", "airline-12-3-2"]


def test_the_data_set_beside_the_file_is_used(world: AirlineWorld, path: Path) -> None:
    path.write_text(json.dumps([episode()]))
    (path.parent / "flights.json").write_text("{}")
    [conversation] = world.conversations(path)
    assert conversation.settings["world"] == {"data": str(path.resolve().parent)}


def test_arguments_are_read_as_the_recorded_environment_read_them(world: AirlineWorld, path: Path) -> None:
    arguments = '{"thought": "\\ud83d", "big": 123456789012345678901234567890, "float": 1.0, "odd": Infinity}'
    path.write_text(json.dumps([episode(said("user", "a"), calling("think", arguments))]))
    [conversation] = world.conversations(path)
    assert conversation.settings["recording"]["turns"][0]["tool_calls"][0]["args"] == json.loads(arguments)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("no json", "is not JSON"),
        ("\xff", "is not JSON"),
        ('{"tasks": [], "simulations": []}', "at the top"),
        ('[{"task_id": 1}]', r"at 0\.trial"),
        (json.dumps([episode(said("bot", "x"))]), r"at 0\.traj\.1\.role"),
        (json.dumps([episode(calling("think", "{"))]), r"at 0\.traj\.1\.tool_calls\.0\.function\.arguments"),
        (json.dumps([episode(calling("think", "[1]"))]), r"at 0\.traj\.1\.tool_calls\.0\.function\.arguments"),
    ],
)
def test_files_of_another_kind_are_refused(world: AirlineWorld, path: Path, text: str, complaint: str) -> None:
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=complaint):
        world.conversations(path)


def test_a_file_that_is_absent_is_not_found(world: AirlineWorld, path: Path) -> None:
    with pytest.raises(NotFoundError, match="episodes.json"):
        world.conversations(path)
