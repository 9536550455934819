"""What an agent is, as its author sees it: the ground floor that imports nothing of the other components."""

from .decisions import Choice, DecisionPoint, Policy, decide
from .effects import Chain, Effect, Kind, RunContext, current, effect, idempotency_key
from .envelopes import Message, Reject, Retry
from .labels import labelled
from .messages import ask, publish, send
from .models import RecordedChatModel
from .subscriptions import Subscription
from .teams import Agent, Resources, Team
from .worlds import Conversation, RecordedToolCall, World, WorldFactory

__all__ = [
    "Agent",
    "Chain",
    "Choice",
    "Conversation",
    "DecisionPoint",
    "Effect",
    "Kind",
    "Message",
    "Policy",
    "RecordedChatModel",
    "RecordedToolCall",
    "Reject",
    "Resources",
    "Retry",
    "RunContext",
    "Subscription",
    "Team",
    "World",
    "WorldFactory",
    "ask",
    "current",
    "decide",
    "effect",
    "idempotency_key",
    "labelled",
    "publish",
    "send",
]
