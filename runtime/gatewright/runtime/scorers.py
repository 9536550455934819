"""External guards that come along, for `use` in `[deployments.x.guards.name]`; see `docs/external-guards.md`.

Each says in its docstring which scores it gives. Packages of others are imported when a guard is loaded.
"""

from __future__ import annotations

import inspect
import os
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any, cast

import httpx

from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.safety.scorers import Content


class Endpoint:
    """A service that is sent `{"text", "hook", "name", "agent"}` as JSON and answers `{"scores": {name: number}}`."""

    def __init__(self, url: str, *, token_env: str = "") -> None:
        """`token_env`: the environment variable whose value is sent as bearer token.

        Raises:
            UsageError: there is no such variable.
        """
        self._url = url
        self._client = _client(token_env)

    async def score(self, content: Content) -> Mapping[str, float]:
        """What the service answered."""
        shown = {"text": content.text, "hook": content.hook, "name": content.name, "agent": content.agent}
        return cast("Mapping[str, float]", (await _answer(self._client, self._url, shown)).get("scores"))


class NemoServer:
    """A server of NeMo Guardrails (its `/v1/checks`) or NVIDIA's microservice (its `/v1/guardrail/checks`).

    Gives `blocked` and `modified`, 0 or 1. What the agent is given passes the input rails, what it says the output
    rails.
    """

    def __init__(self, url: str, *, config_id: str, model: str = "", token_env: str = "") -> None:
        """`url`: the whole address of the endpoint. `model`: what the self-check rails ask, where the server needs it.

        Raises:
            UsageError: there is no variable `token_env`.
        """
        self._url = url
        self._body = {"guardrails": {"config_id": config_id}, "model": model}
        self._client = _client(token_env)

    async def score(self, content: Content) -> Mapping[str, float]:
        """What the server says of the content."""
        answer = await _answer(self._client, self._url, {**self._body, "messages": _messages(content)})
        return _railed(answer.get("status"))


class Nemo:
    """NeMo Guardrails in this process (`pip install nemoguardrails`, from 0.20 on); scores as `NemoServer`."""

    def __init__(self, config: str) -> None:
        """`config`: the folder of its configuration.

        Raises:
            UsageError: the package is not installed.
        """
        nemo = _package("nemoguardrails")
        self._rails: Any = nemo.LLMRails(nemo.RailsConfig.from_path(config))

    async def score(self, content: Content) -> Mapping[str, float]:
        """What the rails say of the content."""
        status = (await self._rails.check_async(_messages(content))).status
        return _railed(getattr(status, "value", status))


class GuardrailsAI:
    """A `guardrails.Guard` of Guardrails AI. Gives `failed`, 0 or 1; with validators that fix, 1 where they had to."""

    def __init__(self, guard: str) -> None:
        """`guard`: `module:attribute` of the guard, with its validators.

        Raises:
            UsageError: there is no such thing.
        """
        self._guard = _named(guard, "validate")

    def score(self, content: Content) -> Mapping[str, float]:
        """Whether the text passed as it is."""
        outcome = self._guard.validate(content.text)
        return {"failed": float(outcome.validation_passed is not True or outcome.validated_output != content.text)}


class Classifier:
    """A LangChain `Runnable` that is invoked with the text.

    Gives `score` where it answers with a number, the numbers by their names where it answers with an object, and the
    labels in small letters where it answers with `[{"label": ..., "score": ...}]`, as pipelines of transformers do.
    """

    def __init__(self, runnable: str) -> None:
        """`runnable`: `module:attribute`; a function there is called to make it.

        Raises:
            UsageError: there is no such thing.
        """
        self._runnable = _named(runnable, "invoke")

    def score(self, content: Content) -> Mapping[str, float]:
        """What the runnable gives for the text."""
        found = self._runnable.invoke(content.text)
        if isinstance(found, (int, float)):
            return {"score": found}
        if isinstance(found, Sequence) and not isinstance(found, str):
            entries = cast("Sequence[Mapping[str, Any]]", found)
            return {str(entry["label"]).lower(): entry["score"] for entry in entries}
        return cast("Mapping[str, float]", found)


def _messages(content: Content) -> list[dict[str, str]]:
    return [{"role": "assistant" if content.said_by_agent else "user", "content": content.text}]


def _railed(status: object) -> dict[str, float]:
    if status not in ("passed", "success", "modified", "blocked"):
        raise UnavailableError(f"it answered with the status {status!r}, which is none that we know")
    return {"blocked": float(status == "blocked"), "modified": float(status == "modified")}


async def _answer(client: httpx.AsyncClient, url: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    response = await client.post(url, json=body)
    if response.status_code != 200:
        raise UnavailableError(f"{url!r} answered {response.status_code}")
    answer = response.json()
    if not isinstance(answer, dict):
        raise UnavailableError(f"{url!r} answered with no JSON object")
    return cast("Mapping[str, Any]", answer)


def _client(token_env: str) -> httpx.AsyncClient:
    """A client without a time-out of its own: whoever asks has one."""
    if token_env and not os.environ.get(token_env):
        raise UsageError(
            f"the environment variable {token_env!r} is not set; it holds the token of the guard's service"
        )
    headers = {"Authorization": f"Bearer {os.environ[token_env]}"} if token_env else {}
    return httpx.AsyncClient(headers=headers, timeout=None, follow_redirects=False)


def _package(name: str) -> Any:
    try:
        return pkgutil.resolve_name(name)
    except ImportError as error:
        raise UsageError(f"this needs a package that is not installed: {error}; pip install {name}") from error


def _named(reference: str, method: str) -> Any:
    try:
        found = pkgutil.resolve_name(reference)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"{reference!r} cannot be loaded: {error}; write 'module:attribute'") from error
    found = found() if inspect.isfunction(found) else found
    if not callable(getattr(found, method, None)):
        raise UsageError(f"{reference!r} is a {type(found).__name__}, which has no `{method}`")
    return found
