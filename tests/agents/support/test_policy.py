"""The airline's policy in the running service: a call that breaks it waits for a person, whatever the model says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gatewright.agents import Conversation
from gatewright.runtime.cli.episodes import Holding
from gatewright.runtime.config import Config
from gatewright.runtime.service import Service


async def held(folder: Path, task: str, *, said: Callable[[str], str]) -> tuple[list[str], dict[str, int], int]:
    """The reasons that people were asked for, verdicts, and equal tool results of a conversation that comes along."""
    async with await Service.open(Config(data_dir=folder / "data")) as service:
        conversations = await service.conversations("support", None)
        (given,) = [found for found in conversations if found.id == f"airline-{task}-0"]
        changed: Conversation = given.model_copy(update={"customer": [said(text) for text in given.customer]})
        holding = Holding(service, "support", approve=lambda _: True, tell=lambda _: None)
        await holding.start([changed])
        await holding.follow()
        await holding.compare()
        reasons = [view.reason for view in await service.approvals(state=None)]
    outcome = holding.outcome
    assert outcome.tool_results.equal == outcome.tool_results.total
    return reasons, dict(outcome.verdicts), outcome.tool_results.total


async def test_a_conversation_that_keeps_the_policy_waits_for_nobody(tmp_path: Path) -> None:
    reasons, verdicts, calls = await held(tmp_path, "4", said=lambda text: text)
    assert (reasons, "ask" in verdicts, calls) == ([], False, 3)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("ada_stone_1001", "that of my friend", "has not given the user id"),
        ("Yes, please cancel it.", "What would I lose?", "no clear yes"),
        ("down with the flu", "off to the mountains", "not insured for this reason"),
    ],
)
async def test_one_that_breaks_it_waits_for_a_person(tmp_path: Path, old: str, new: str, reason: str) -> None:
    (asked,), verdicts, _ = await held(tmp_path, "4", said=lambda text: text.replace(old, new))
    assert reason in asked
    assert verdicts["ask"] == 1 and "deny" not in verdicts
