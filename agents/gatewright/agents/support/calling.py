"""Calling a tool for a model: a refusal is an answer, too."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool

from gatewright.agents.errors import DeniedError


def text_of(tool: BaseTool, args: dict[str, Any], call_id: str) -> str:
    """The text that the tool gives.

    Raises:
        DeniedError: a rule or a person refused the call.
    """
    answer = tool.invoke({"name": tool.name, "args": args, "id": call_id, "type": "tool_call"})
    if isinstance(answer, ToolMessage) and answer.status == "error":  # how a refusal comes to a call with an id
        raise DeniedError(answer.text.removeprefix("Denied: "))
    return answer.text if isinstance(answer, ToolMessage) else str(answer)


def answer_of(tool: BaseTool, args: dict[str, Any], call_id: str) -> str:
    """The text that the tool gives, or why the call was refused; everything else that is raised is the run's affair."""
    try:
        return text_of(tool, args, call_id)
    except DeniedError as refusal:
        return refused(refusal)


def refused(refusal: DeniedError) -> str:
    """How a refusal is put to the model."""
    return f"Error: {refusal}"
