"""What customers say: the small airline's conversations, joined so that threads change several things."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from gatewright.agents import Conversation
from gatewright.environments.airline import episodes
from gatewright.environments.airline.world import CONVERSATIONS

JOINED = (2, 4)  # fewest and most conversations that are joined to one
VARIANTS = 24  # different joined conversations; threads hold them in turn


class Script(NamedTuple):
    """A joined conversation: what the customer says, one run each, and the recording that the model plays."""

    id: str
    said: list[str]
    settings: dict[str, Any]


def scripts(seed: int, count: int = VARIANTS) -> list[Script]:
    """Joined conversations, the same for the same seed.

    A customer who is handed over to a person is not served any more, so that conversation comes last or not at all.
    """
    chance = random.Random(seed)
    known = episodes.read(CONVERSATIONS, None)
    last = [one for one in known if any(call.name == "transfer_to_human_agents" for call in one.tool_calls)]
    changing = [one for one in known if one not in last]
    made: list[Script] = []
    for number in range(count):
        parts = chance.sample(changing, chance.randint(*JOINED))
        if chance.random() < 0.2:
            parts += chance.sample(last, 1)
        made.append(_joined(f"script-{number}", parts))
    return made


def _joined(name: str, parts: list[Conversation]) -> Script:
    turns: list[dict[str, Any]] = []
    for place, part in enumerate(parts):
        for turn in part.settings["recording"]["turns"]:
            wanted = [{**call, "id": f"{place}-{call['id']}"} for call in turn["tool_calls"]]
            turns.append({**turn, "tool_calls": wanted})
    said = [text for part in parts for text in part.customer]
    return Script(name, said, {"recording": {"turns": turns}})


def message(number: int, text: str) -> dict[str, Any]:
    """The input of a thread's run; the message has an id, or the graph would give it one at random."""
    return {"messages": [{"role": "user", "content": text, "id": f"said-{number}"}]}
