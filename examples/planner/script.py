"""A model that plans by heart, so that the example needs no key. Put a live one in its place with `model = "…"`."""

from __future__ import annotations

import json
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

STEPS: list[dict[str, Any]] = [
    {"name": "venue", "desk": "places", "does": "reserve the Blue Hall"},
    {"name": "travel", "desk": "travel", "does": "reserve 12 seats on the night train", "needs": ["venue"]},
    {"name": "catering", "desk": "places", "does": "order lunch for 12", "needs": ["venue"]},
    {"name": "invitations", "desk": "mail", "does": "invite the team", "needs": ["travel", "catering"]},
]


class Script(BaseChatModel):
    """Answers the two questions that the planner asks."""

    @property
    def _llm_type(self) -> str:
        return "script"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        asked = json.loads(str(messages[-1].content))
        answer = _revised(asked["failed"]) if "failed" in asked else _planned(asked["goal"])
        return ChatResult(generations=[ChatGeneration(message=AIMessage(json.dumps(answer)))])


def _planned(goal: str) -> list[dict[str, Any]]:
    if "moon" in goal:
        return [{**STEPS[0], "does": "reserve the Sea of Tranquility"}, *STEPS[1:]]
    return STEPS


def _revised(failed: dict[str, Any]) -> dict[str, Any]:
    if "taken" in failed["outcome"]:
        return {"do": "reserve the Harbour House"}
    return {"do": failed["does"]}  # once more
