"""`RecordedChatModel`: plays the turns of a recorded conversation, where no live model is within reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from .effects import current
from .errors import UsageError


class RecordedChatModel(BaseChatModel):
    """A chat model that says what was recorded.

    The recording is the thread's setting `recording`: `{"turns": [{"content": str, "tool_calls": [{"name", "args",
    "id"}]}]}`. Which turn is due follows from the conversation alone (how many turns the model has had), so a
    restart continues where it was. Past the end it says nothing, which ends the conversation.
    """

    @property
    def _llm_type(self) -> str:
        return "recorded"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self  # the recorded model had its tools; there is nothing to bind

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        recording = current().settings.get("recording")
        if not isinstance(recording, dict) or "turns" not in recording:
            raise UsageError(
                "this thread has no recording for the model to play; start it from a recorded conversation "
                "(--episodes FILE) or configure a live model (--model openai:...)"
            )
        turns: list[dict[str, Any]] = recording["turns"]
        due = sum(isinstance(message, AIMessage) for message in messages)
        turn: dict[str, Any] = turns[due] if due < len(turns) else {"content": ""}
        message = AIMessage(
            content=turn.get("content") or "",
            tool_calls=[
                ToolCall(name=call["name"], args=call["args"], id=call["id"]) for call in turn.get("tool_calls", ())
            ],
            id=f"recorded-{current().case_id}-{due}",
            response_metadata={"model_name": "recorded", "finish_reason": "stop" if due < len(turns) else "end"},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])
