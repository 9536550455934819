"""What outlives a single decision: who votes in whose place, and what passes without asking again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from gatewright.agents.errors import UsageError
from gatewright.runtime.api.access import identity
from gatewright.runtime.operations import Host

from . import cards, frame
from .queue import voter

ROLE = "role."  # a checkbox for each role that is handed over


class Standing:
    """The pages under `/delegations` and `/grants`."""

    def __init__(self, service: Host) -> None:
        self._service = service

    def add(self, router: APIRouter) -> None:
        """Put them into the router."""
        frame.add(router, "GET", "/delegations", self.delegations)
        frame.add(router, "POST", "/delegations", self.delegate)
        frame.add(router, "POST", "/delegations/{delegation_id}/revoke", self.revoke_delegation)
        frame.add(router, "GET", "/grants", self.grants)
        frame.add(router, "POST", "/grants/{grant_id}/revoke", self.revoke_grant)

    async def delegations(self, request: Request) -> Response:
        every = request.query_params.get("every") == "1"
        who = identity(request)
        return frame.page(
            "delegations.html",
            request,
            found=await self._service.delegations(every=every),
            every=every,
            by=frame.name_of(request),
            others=sorted(set(self._service.config.people) - {who.name}),
            deployments=self._service.deployments(),
        )

    async def delegate(self, request: Request) -> Response:
        sent = await frame.form(request)
        hours = cards.hours_of(sent.get("hours", ""))
        if hours is None:
            raise UsageError(f"for how long? Give hours from 1 to {cards.MOST_HOURS}; nothing was delegated")
        roles = [name.removeprefix(ROLE) for name in sent if name.startswith(ROLE)]
        await self._service.delegate(
            sent.get("to", ""),
            voter=voter(identity(request)),
            until=datetime.now(UTC) + timedelta(hours=hours),
            roles=roles,
            deployment=sent.get("deployment", ""),
            agent=sent.get("agent", "").strip(),
            name=sent.get("name", "").strip(),
            reason=sent.get("reason", "").strip(),
        )
        return RedirectResponse("/delegations", 303)

    async def revoke_delegation(self, request: Request) -> Response:
        who = identity(request)
        sent = await frame.form(request)
        await self._service.revoke_delegation(
            request.path_params["delegation_id"], voter=voter(who, sent.get("by")), operates=who.operates
        )
        return RedirectResponse("/delegations", 303)

    async def grants(self, request: Request) -> Response:
        every = request.query_params.get("every") == "1"
        return frame.page(
            "grants.html",
            request,
            found=await self._service.grants(every=every),
            every=every,
            by=frame.name_of(request),
        )

    async def revoke_grant(self, request: Request) -> Response:
        who = identity(request)
        sent = await frame.form(request)
        await self._service.revoke_grant(
            request.path_params["grant_id"], voter=voter(who, sent.get("by")), operates=who.operates
        )
        return RedirectResponse("/grants", 303)
