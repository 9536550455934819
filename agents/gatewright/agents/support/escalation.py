"""The decision point `escalate`: whether the desk goes on serving or hands the customer over to a person."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AnyMessage, ToolMessage
from pydantic import BaseModel, Field

from gatewright.agents.decisions import Choice, DecisionPoint

PATIENCE = 10  # consecutive failed calls; recorded conversations that recovered had up to 2
FAILURE = "Error:"  # how a failed call's text begins


class Situation(BaseModel):
    """What the choice is made from."""

    turns: int = Field(ge=0, description="model turns so far, this one included")
    consecutive_errors: int = Field(ge=0, description="failed calls since the last that worked or the last reply")
    errors: int = Field(ge=0, description="failed calls in the whole conversation")
    transfer_requested: bool = Field(description="the model wants to hand over now")
    changes_requested: bool = Field(description="the model wants to change bookings or money now")


def situation(messages: Sequence[AnyMessage], turns: int, wanted: Sequence[str], changing: frozenset[str]) -> Situation:
    """The features of a conversation in which the model wants to call the tools `wanted`."""
    failed = [message.text.startswith(FAILURE) for message in messages if isinstance(message, ToolMessage)]
    consecutive = 0
    for message in reversed(messages):
        if isinstance(message, ToolMessage):
            if not message.text.startswith(FAILURE):
                break
            consecutive += 1
        elif message.type == "human":
            break
    return Situation(
        turns=turns,
        consecutive_errors=consecutive,
        errors=sum(failed),
        transfer_requested="transfer_to_human_agents" in wanted,
        changes_requested=not changing.isdisjoint(wanted),
    )


def follow_the_model(features: Situation, open_options: Sequence[str]) -> Choice:
    """Hand over when the model asks for it, or when nothing has worked for long."""
    policy = "follow-the-model@1"
    if features.transfer_requested and "hand_over" in open_options:
        return Choice(option="hand_over", policy=policy, reason="the model asked for a person")
    if features.consecutive_errors >= PATIENCE and "hand_over" in open_options:
        reason = f"{features.consecutive_errors} calls in a row failed; the limit is {PATIENCE}"
        return Choice(option="hand_over", policy=policy, reason=reason)
    return Choice(option=open_options[0], policy=policy, reason="the conversation makes progress")


ESCALATE = DecisionPoint(name="escalate", features=Situation, options=("serve", "hand_over"), policy=follow_the_model)
