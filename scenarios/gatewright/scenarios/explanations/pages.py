"""Explanations for the console's page of a decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatewright.runtime.operations import Host

from .decisions import declared, explain_decision


async def explain(host: Host, index: int, against: str | None) -> Mapping[str, Any]:
    """Why a decision came out as it did, by the learned policies of the service; as `Explained.plain`."""
    view = await host.record(index)
    effect = view.record["effect"] or {}
    allowed = declared(host.config, view.record["deployment"], str(effect.get("name", "")))
    found = await explain_decision(host, index, host.artefacts(), against=against, allowed=allowed)
    return found.plain()
