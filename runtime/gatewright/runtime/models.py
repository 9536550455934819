"""Chat models by name."""

from __future__ import annotations

import functools

from langchain_core.language_models import BaseChatModel

from gatewright.agents import RecordedChatModel
from gatewright.agents.errors import UsageError


def named(name: str) -> BaseChatModel:
    """The model of that name, as in `init_chat_model` (`openai:gpt-4o-mini`); `recorded` plays a recording.

    Raises:
        UsageError: it is not known, its package is not installed, or its key is missing.
    """
    if name == "recorded":
        return RecordedChatModel()
    from langchain.chat_models import init_chat_model

    try:
        return init_chat_model(name)
    except ImportError as error:
        raise UsageError(
            f"model {name!r} needs a package that is not installed: {_line(error)}; for OpenAI, pip install "
            "'gatewright[openai]'"
        ) from error
    except ValueError as error:
        raise UsageError(f"model {name!r} is not known: {_line(error)}") from error
    except Exception as error:  # whatever a provider's package raises where its key is missing
        raise UsageError(f"model {name!r} cannot be made: {_line(error)}") from error


def _line(error: Exception) -> str:
    """What an error says, on one line: errors of ours have one."""
    return " ".join(str(error).split())


@functools.cache
def substitute(name: str) -> BaseChatModel:
    """The model that calls go on with where a budget says so; one for all of them.

    Raises:
        UsageError: see `named`.
    """
    return named(name)
