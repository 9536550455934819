"""What is shown of deployments and waivers."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

WaiverState = Literal["active", "expired", "revoked"]


class PauseView(BaseModel):
    """Who stopped a deployment, since when and why."""

    by: str
    reason: str
    since: datetime


class DeploymentView(BaseModel):
    """A name that traffic reaches. `paused`: its runs wait before their next effect, and none begins.

    `configured` is false for one that was paused and is not in the configuration any more.
    """

    name: str
    configured: bool
    paused: PauseView | None = None


class ScopeView(BaseModel, extra="forbid"):
    """What a waiver is for: all that is given must agree with the event."""

    deployment: str | None = None
    agent: str | None = None
    thread: str | None = None
    tool: str | None = None


class WaiverView(BaseModel):
    """Matches of a rule that do not count until `until`; somebody answers for it."""

    id: str
    rule_id: str
    scope: ScopeView
    by: str
    reason: str
    state: WaiverState
    until: datetime
    created_at: datetime
    revoked_at: datetime | None = None
    revoked_by: str | None = None
