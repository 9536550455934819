"""What waits for people: the list, each request, and their decisions. Following a link never decides anything."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from gatewright.agents.errors import ConflictError, DeniedError, UsageError
from gatewright.runtime.api.access import identity
from gatewright.runtime.api.errors import status_of
from gatewright.runtime.operations import Host
from gatewright.runtime.people import Identity
from gatewright.runtime.views import ApprovalView, DelegationView, Verb
from gatewright.safety.approvals.ballots import Voter

from . import cards, frame

PAGE = 50
VIA = "console"


class Queue:
    """The pages under `/approvals`."""

    def __init__(self, service: Host) -> None:
        self._service = service

    def add(self, router: APIRouter) -> None:
        """Put them into the router."""
        frame.add(router, "GET", "/approvals", self.list)
        frame.add(router, "POST", "/approvals/batch", self.decide_batch)  # before what takes any id
        frame.add(router, "GET", "/approvals/{approval_id}", self.show)
        frame.add(router, "POST", "/approvals/{approval_id}", self.decide)
        frame.add(router, "GET", "/approvals/{approval_id}/emergency", self.show_emergency)
        frame.add(router, "POST", "/approvals/{approval_id}/emergency", self.decide_emergency)

    async def list(self, request: Request) -> Response:
        who, asked = identity(request), request.query_params
        person = who.kind == "person" and not who.reads_only
        show = asked.get("show") or ("mine" if person else "all")
        if show not in ("mine", "all"):
            raise UsageError(f"show is {show!r}; there are 'mine' and 'all'")
        kept = {"show": show, "role": asked.get("role", ""), "deployment": asked.get("deployment", "")}
        after = asked.get("after", "")
        found = await self._service.approvals(
            role=kept["role"] or None,
            deployment=kept["deployment"] or None,
            voter=voter(who) if show == "mine" and person else None,
            after=after or None,
            limit=PAGE + 1,
        )
        here = "/approvals?" + urlencode({**kept, "after": after})
        return frame.page(
            "approvals.html",
            request,
            here=here,
            cards=await self.deal(request, found[:PAGE], back=here),
            by=frame.name_of(request),
            person=person,
            kept=kept,
            deployments=self._service.deployments(),
            first=urlencode(kept) if after else "",
            following=urlencode({**kept, "after": found[PAGE - 1].id}) if len(found) > PAGE else "",
        )

    async def waiting(
        self, request: Request, *, back: str, limit: int, run_id: str | None = None
    ) -> Sequence[cards.Card]:
        """The oldest that are open, of a run or of those that the viewer may decide."""
        who = identity(request)
        mine = voter(who) if run_id is None and who.kind == "person" and not who.reads_only else None
        found = await self._service.approvals(run_id=run_id, voter=mine, limit=limit)
        return await self.deal(request, found, back=back)

    async def deal(self, request: Request, found: Sequence[ApprovalView], *, back: str) -> Sequence[cards.Card]:
        """Approvals as this viewer may decide them."""
        who = identity(request)
        held = await self._held(who) if found else []
        name = frame.name_of(request)
        return [cards.card(approval, who, held=held, by=name, back=back) for approval in found]

    async def _held(self, who: Identity) -> Sequence[DelegationView]:
        if who.kind != "person":
            return []
        return [given for given in await self._service.delegations(person=who.name) if given.to == who.name]

    async def _card(self, request: Request, back: str = "") -> cards.Card:
        approval = await self._service.approval(request.path_params["approval_id"])
        return (await self.deal(request, [approval], back=back or f"/approvals/{quote(approval.id)}"))[0]

    async def show(self, request: Request) -> Response:
        return frame.page("approval.html", request, card=await self._card(request))

    async def decide(self, request: Request) -> Response:
        who = identity(request)
        sent = await frame.form(request)
        back = frame.inside(sent.get("back", "/"))
        card = await self._card(request, back)
        wish = cards.read(card.approval, sent, who)
        if wish.errors:
            return frame.page("approval.html", request, 422, card=cards.again(card, wish, sent))
        try:
            await self._service.decide(
                card.approval.id,
                wish.verb,
                voter=voter(who, wish.by),
                reason=wish.reason,
                value=wish.value,
                grant=wish.grant,
                on_behalf_of=wish.on_behalf_of,
                shown=wish.shown,
                vote_id=wish.vote_id,
            )
        except (ConflictError, DeniedError, UsageError) as error:
            shown = cards.again(await self._card(request, back), wish._replace(errors={"": str(error)}), sent)
            return frame.page("approval.html", request, status_of(error), card=shown)
        return _done(request, who, wish.by, back)

    async def decide_batch(self, request: Request) -> Response:
        who = identity(request)
        async with request.form() as form:
            picked = dict(text.split(" ", 1) for text in form.getlist("pick") if isinstance(text, str) and " " in text)
        sent = await frame.form(request)
        back, reason, by = frame.inside(sent.get("back", "/")), sent.get("reason", "").strip(), sent.get("by", "")
        verbs: dict[str, Verb] = {"approve": "approve", "reject": "reject"}
        verb = verbs.get(sent.get("verb", ""))
        if verb is None or not picked:
            raise UsageError("nothing was selected; tick what you decide, then approve or reject it")
        if verb == "reject" and not reason:
            raise UsageError("rejecting needs a reason: the agents are told why; go back, nothing was decided")
        outcomes = await self._service.decide_many(
            list(picked), verb, voter=voter(who, by), reason=reason, shown=picked
        )
        if any(outcome.error for outcome in outcomes):
            return frame.page("batch.html", request, 409, outcomes=outcomes, back=back)
        return _done(request, who, by, back)

    async def show_emergency(self, request: Request) -> Response:
        card = await self._card(request)
        return frame.page("emergency.html", request, card=card, reason="", problem="")

    async def decide_emergency(self, request: Request) -> Response:
        sent = await frame.form(request)
        reason = sent.get("reason", "").strip()
        card = await self._card(request)
        verbs: dict[str, Verb] = {"approve": "approve", "reject": "reject"}
        verb = verbs.get(sent.get("verb", ""))
        problem = (
            "Say why: it is recorded, and others will review it."
            if not reason
            else "Tick that you mean it."
            if sent.get("sure") != "yes" or verb is None
            else ""
        )
        code = 422
        if not problem and verb is not None:
            try:
                await self._service.decide(
                    card.approval.id,
                    verb,
                    voter=voter(identity(request)),
                    reason=reason,
                    break_glass=True,
                    shown=sent.get("shown", ""),
                    vote_id=sent.get("vote_id", ""),
                )
                return RedirectResponse(f"/approvals/{quote(card.approval.id)}", 303)
            except (ConflictError, DeniedError, UsageError) as error:
                problem, code = str(error), status_of(error)
        return frame.page("emergency.html", request, code, card=card, reason=reason, problem=problem)


def voter(who: Identity, by: str | None = None) -> Voter:
    """Who decides in the console."""
    return who.voter(by, via=VIA)


def _done(request: Request, who: Identity, by: str, back: str) -> Response:
    response = RedirectResponse(back, 303)
    if not who.authenticated:
        frame.remember_name(request, response, by.strip())
    return response
