"""The service as a command sees it: over HTTP where one is running on the data directory, else in this process."""

from __future__ import annotations

import asyncio
import dataclasses
import getpass
import json
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import httpx
import orjson
from pydantic import BaseModel

from gatewright.agents import Conversation, errors
from gatewright.runtime.api import presence
from gatewright.runtime.bus.views import DeadLetterView, LagView, LetterState, TopicView
from gatewright.runtime.config import Config
from gatewright.runtime.controls.views import DeploymentView, ScopeView, WaiverView
from gatewright.runtime.notices.views import NoticeView, State
from gatewright.runtime.operations import Operations
from gatewright.runtime.people import ANYONE, Identity, Roster
from gatewright.runtime.search import Found, Search
from gatewright.runtime.views import (
    ApprovalView,
    DecisionOutcome,
    DelegationView,
    Event,
    GrantOffer,
    GrantView,
    IdentityView,
    LedgerView,
    Multitask,
    Overview,
    RecordView,
    RunView,
    ThreadView,
    Verb,
)
from gatewright.runtime.workers.views import WorkerView
from gatewright.safety.approvals.ballots import Voter
from gatewright.safety.approvals.entitlement import NotEntitledError

if TYPE_CHECKING:
    from gatewright.runtime.service import Service

M = TypeVar("M", bound=BaseModel)

TOKEN = "GATEWRIGHT_TOKEN"  # the variable that holds a person's token
BY = "Who you are, where no people are configured; your user name if not given."
VIA = "cli"
LONG_POLL = 25.0  # seconds; below what proxies and servers allow a silent request
CONNECTIONS = 128
PATIENCE = 10.0  # seconds for a service to start, or for another command to end


@asynccontextmanager
async def connect(config: Config, *, execute: bool = False, create: bool = False) -> AsyncGenerator[Operations]:
    """The operations of the service on `config.data_dir`; waits for one that is starting, or a command that ends soon.

    Args:
        execute: where no service is running, execute runs in this process as long as the context is open.
        create: make the data directory if there is none.

    Raises:
        UnavailableError: there is no data directory, or another process that is no service holds it for `PATIENCE`.
    """
    until = time.monotonic() + PATIENCE
    while (found := presence.find(config.data_dir)) is None:
        service = await _opened(config, execute=execute, create=create, insist=time.monotonic() >= until)
        if service is None:
            await asyncio.sleep(0.1)
            continue
        try:
            yield service
        finally:
            await service.close()
        return
    token = os.environ.get(TOKEN) or found.token()
    async with HTTPClient(found.url, token=token, config=config) as client:
        yield client


async def _opened(config: Config, *, execute: bool, create: bool, insist: bool) -> Service | None:
    """The service in this process; None where another one has the database, or, if we `insist`, an error."""
    from gatewright.runtime.store import database

    store = database.of(config.database, config.data_dir)
    if not create and not store.exists():
        raise errors.UnavailableError(
            f"nothing has run here yet: there is no database in {store.place!r}; start something with "
            "`gatewright run start` or `gatewright serve`, or name another folder with --data-dir"
        )
    from gatewright.runtime.service import Service

    try:
        return await Service.open(config, execute=execute, kind="command")
    except database.InUseError:
        if insist:
            raise
        return None


async def whoami(client: Operations | None, config: Config) -> IdentityView:
    """Who a command acts as: what the service says of our token, else what the configuration says.

    Raises:
        DeniedError: the configuration has people, and GATEWRIGHT_TOKEN holds the token of none of them.
    """
    if isinstance(client, HTTPClient):
        return await client.whoami()
    if not config.people:
        return ANYONE.view()
    found = Roster.of(config).identify(os.environ.get(TOKEN, ""))
    if found is None:
        raise errors.DeniedError(f"people are configured here; put your token into the variable {TOKEN}")
    return found[1].view()


async def acting(client: Operations, config: Config, by: str | None = None) -> Identity:
    """Whose name a command acts under: the token's; only where nobody is known, `by` or the user's name.

    Raises:
        DeniedError: `by` is not whose token it is, they change nothing, or see `whoami`.
    """
    known = await whoami(client, config)
    found = Identity(kind=known.kind, name=known.name, roles=frozenset(known.roles))
    voter = found.voter(by or (None if found.authenticated else getpass.getuser()), via=VIA)
    return dataclasses.replace(found, name=voter.name)


class HTTPClient:
    """`Operations` of a service in another process. Errors come back as the classes they left as.

    `config` is the caller's own: it says what reads a file of conversations, which no service does for its clients.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        config: Config | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._config = config or Config()
        self._http = httpx.AsyncClient(
            base_url=f"{url}/v1",
            headers={b"authorization": f"Bearer {token}".encode()} if token else None,
            timeout=httpx.Timeout(60.0, pool=None),
            limits=httpx.Limits(max_connections=CONNECTIONS),
            transport=transport,
            trust_env=False,  # the service is on this machine; a proxy would not reach it
        )

    async def __aenter__(self) -> HTTPClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def whoami(self) -> IdentityView:
        """Whose token this client sends."""
        return await self._one(IdentityView, "GET", "/whoami")

    async def create_thread(
        self,
        deployment: str,
        *,
        thread_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
    ) -> ThreadView:
        body = {"deployment": deployment, "thread_id": thread_id, "metadata": metadata, "settings": settings}
        return await self._one(ThreadView, "POST", "/threads", body)

    async def thread(self, thread_id: str) -> ThreadView:
        return await self._one(ThreadView, "GET", f"/threads/{_path(thread_id)}")

    async def threads(self, *, deployment: str | None = None, limit: int = 50, offset: int = 0) -> list[ThreadView]:
        return await self._many(ThreadView, "/threads", dict(deployment=deployment, limit=limit, offset=offset))

    async def close_thread(self, thread_id: str, *, by: str) -> ThreadView:
        return await self._one(ThreadView, "POST", f"/threads/{_path(thread_id)}/close", {"by": by})

    async def thread_state(self, thread_id: str) -> dict[str, Any]:
        return _object(await self._ask("GET", f"/threads/{_path(thread_id)}/state"))

    async def start_run(
        self,
        deployment: str,
        input: Any,
        *,
        thread_id: str | None = None,
        run_id: str | None = None,
        settings: dict[str, Any] | None = None,
        multitask: Multitask = "enqueue",
        metadata: dict[str, Any] | None = None,
        requester: str | None = None,  # the token says it
    ) -> RunView:
        body = {
            "deployment": deployment,
            "input": input,
            "thread_id": thread_id,
            "run_id": run_id,
            "settings": settings,
            "multitask": multitask,
            "metadata": metadata,
        }
        return await self._one(RunView, "POST", "/runs", body)

    async def run(self, run_id: str) -> RunView:
        return await self._one(RunView, "GET", f"/runs/{_path(run_id)}")

    async def runs(
        self,
        *,
        status: str | None = None,
        deployment: str | None = None,
        thread_id: str | None = None,
        case_id: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[RunView]:
        return await self._many(
            RunView,
            "/runs",
            dict(
                status=status, deployment=deployment, thread_id=thread_id, case_id=case_id, limit=limit, offset=offset
            ),
        )

    async def wait(self, run_id: str, *, timeout: float | None = None) -> RunView:
        remaining = timeout
        while True:
            poll = LONG_POLL if remaining is None else min(remaining, LONG_POLL)
            response = await self._ask("GET", f"/runs/{_path(run_id)}/wait", query={"timeout": poll})
            if response.status_code == 200:
                return RunView.model_validate_json(response.content)
            if remaining is not None:
                remaining -= poll
                if remaining <= 0:
                    raise TimeoutError(f"run {run_id!r} was not at its end after {timeout:g} s; it goes on")

    async def cancel(self, run_id: str, *, reason: str = "", by: str) -> RunView:
        return await self._one(RunView, "POST", f"/runs/{_path(run_id)}/cancel", {"by": by, "reason": reason})

    async def resume(self, run_id: str, *, by: str) -> RunView:
        return await self._one(RunView, "POST", f"/runs/{_path(run_id)}/resume", {"by": by})

    async def events(self, run_id: str, *, after: int = -1) -> AsyncIterator[Event]:
        """Events in order; taken up again where they were when the service restarts."""
        ended = False
        while not ended:
            headers = {"last-event-id": str(after)} if after >= 0 else {}
            request = self._http.stream("GET", f"/runs/{_path(run_id)}/events", headers=headers, timeout=None)
            ended = True
            try:
                async with request as response:
                    if response.status_code >= 400:
                        await response.aread()
                    _raise(response)
                    async for name, seq, data in _frames(response.aiter_lines()):
                        if name == "bye":
                            raise errors.UnavailableError(
                                f"the service is stopping; run {run_id!r} goes on when it is back"
                            )
                        after = seq
                        yield Event.model_validate({"seq": seq, "type": name, "data": data})
            except httpx.TransportError as error:
                raise _lost(error) from error

    async def approvals(
        self,
        *,
        state: str | None = "open",
        run_id: str | None = None,
        case_id: str | None = None,
        deployment: str | None = None,
        agent: str | None = None,
        role: str | None = None,
        voter: Voter | None = None,
        after: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[ApprovalView]:
        """As the service gives them; `voter` is whoever the token is of."""
        query = dict(
            state=state or "any",
            run_id=run_id,
            case_id=case_id,
            deployment=deployment,
            agent=agent,
            role=role,
            mine=None if voter is None else True,
            after=after,
            limit=limit,
            offset=offset,
        )
        return await self._many(ApprovalView, "/approvals", query)

    async def approval(self, approval_id: str) -> ApprovalView:
        return await self._one(ApprovalView, "GET", f"/approvals/{_path(approval_id)}")

    async def decide(
        self,
        approval_id: str,
        verb: Verb,
        *,
        voter: Voter | None = None,
        by: str = "",
        reason: str = "",
        value: Any = None,
        grant: GrantOffer | None = None,
        on_behalf_of: str = "",
        break_glass: bool = False,
        shown: str = "",
        vote_id: str = "",
    ) -> ApprovalView:
        body = {
            **_signed(voter, by),
            "reason": reason,
            "value": value,
            "grant": grant and grant.model_dump(mode="json"),
            "on_behalf_of": on_behalf_of,
            "break_glass": break_glass,
            "shown": shown,
            "vote_id": vote_id,
        }
        return await self._one(ApprovalView, "POST", f"/approvals/{_path(approval_id)}/{verb}", body)

    async def decide_many(
        self,
        approval_ids: Sequence[str],
        verb: Verb,
        *,
        voter: Voter,
        reason: str = "",
        shown: Mapping[str, str] | None = None,
    ) -> list[DecisionOutcome]:
        body = {
            "ids": list(approval_ids),
            "verb": verb,
            "reason": reason,
            "shown": dict(shown or {}),
            **_signed(voter),
        }
        response = await self._ask("POST", "/approvals/decide", body)
        return [DecisionOutcome.model_validate(item) for item in orjson.loads(response.content)]

    async def delegations(self, *, person: str | None = None, every: bool = False) -> list[DelegationView]:
        return await self._many(DelegationView, "/delegations", dict(person=person, every=every))

    async def delegate(
        self,
        to: str,
        *,
        voter: Voter,
        until: datetime,
        roles: Sequence[str] | None = None,
        deployment: str = "",
        agent: str = "",
        name: str = "",
        reason: str = "",
    ) -> DelegationView:
        body = {
            **_signed(voter),
            "to": to,
            "until": until.isoformat(),
            "roles": None if roles is None else list(roles),
            "deployment": deployment,
            "agent": agent,
            "name": name,
            "reason": reason,
        }
        return await self._one(DelegationView, "POST", "/delegations", body)

    async def revoke_delegation(self, delegation_id: str, *, voter: Voter, operates: bool = False) -> DelegationView:
        place = f"/delegations/{_path(delegation_id)}/revoke"
        return await self._one(DelegationView, "POST", place, _signed(voter))

    async def grants(
        self, *, deployment: str | None = None, by: str | None = None, every: bool = False
    ) -> list[GrantView]:
        return await self._many(GrantView, "/grants", dict(deployment=deployment, by=by, every=every))

    async def revoke_grant(self, grant_id: str, *, voter: Voter, operates: bool = False) -> GrantView:
        return await self._one(GrantView, "POST", f"/grants/{_path(grant_id)}/revoke", _signed(voter))

    async def notices(self, *, state: State | None = None, limit: int = 100, offset: int = 0) -> list[NoticeView]:
        return await self._many(NoticeView, "/notices", dict(state=state, limit=limit, offset=offset))

    async def retry_notice(self, notice_id: str) -> None:
        await self._ask("POST", f"/notices/{_path(notice_id)}/retry")

    async def topics(self) -> list[TopicView]:
        return await self._many(TopicView, "/bus/topics", {})

    async def create_topic(self, name: str) -> TopicView:
        return await self._one(TopicView, "POST", "/bus/topics", {"name": name})

    async def lag(self) -> list[LagView]:
        return await self._many(LagView, "/bus/lag", {})

    async def dead_letters(
        self,
        *,
        topic: str | None = None,
        group: str | None = None,
        state: LetterState | None = "dead",
        limit: int = 100,
        offset: int = 0,
    ) -> list[DeadLetterView]:
        query = dict(topic=topic, group=group, state=state or "any", limit=limit, offset=offset)
        return await self._many(DeadLetterView, "/bus/dead-letters", query)

    async def dead_letter(self, letter_id: str) -> DeadLetterView:
        return await self._one(DeadLetterView, "GET", f"/bus/dead-letters/{_path(letter_id)}")

    async def redrive(self, letter_id: str) -> None:
        await self._ask("POST", f"/bus/dead-letters/{_path(letter_id)}/redrive")

    async def forget_group(self, topic: str, group: str) -> None:
        await self._ask("DELETE", f"/bus/topics/{_path(topic)}/groups/{_path(group)}")

    async def workers(self, *, every: bool = False) -> list[WorkerView]:
        return await self._many(WorkerView, "/workers", {"every": every})

    async def deployments_state(self) -> list[DeploymentView]:
        return await self._many(DeploymentView, "/deployments", {})

    async def pause_deployment(self, name: str, *, by: str, reason: str) -> DeploymentView:
        body = {"by": by, "reason": reason}
        return await self._one(DeploymentView, "POST", f"/deployments/{_path(name)}/pause", body)

    async def resume_deployment(self, name: str, *, by: str) -> DeploymentView:
        return await self._one(DeploymentView, "POST", f"/deployments/{_path(name)}/resume", {"by": by})

    async def waive(self, rule_id: str, *, scope: ScopeView, until: datetime, by: str, reason: str) -> WaiverView:
        body = {
            "rule_id": rule_id,
            "scope": scope.model_dump(exclude_none=True),
            "until": until.isoformat(),
            "by": by,
            "reason": reason,
        }
        return await self._one(WaiverView, "POST", "/waivers", body)

    async def revoke_waiver(self, waiver_id: str, *, by: str) -> WaiverView:
        return await self._one(WaiverView, "POST", f"/waivers/{_path(waiver_id)}/revoke", {"by": by})

    async def waivers(self, *, every: bool = False) -> list[WaiverView]:
        return await self._many(WaiverView, "/waivers", dict(every=every))

    async def records(
        self,
        *,
        run_id: str | None = None,
        case_id: str | None = None,
        kind: str | None = None,
        after: int = -1,
        limit: int = 100,
    ) -> list[RecordView]:
        return await self._many(
            RecordView, "/records", dict(run_id=run_id, case_id=case_id, kind=kind, after=after, limit=limit)
        )

    async def record(self, index: int) -> RecordView:
        return await self._one(RecordView, "GET", f"/records/{index}")

    async def search(self, wanted: Search, *, before: int | None = None, limit: int = 50) -> Found:
        query = {**wanted.model_dump(mode="json", exclude_none=True), "before": before, "limit": limit}
        return Found.model_validate_json((await self._ask("GET", "/search", query=query)).content)

    async def ledger(self) -> LedgerView:
        return await self._one(LedgerView, "GET", "/ledger")

    async def inclusion_proof(self, index: int, *, at: int | None = None, opened: bool = False) -> dict[str, Any]:
        return _object(await self._ask("GET", f"/ledger/proof/{index}", query=dict(at=at, opened=opened)))

    async def note_explanation(self, index: int, explanation: dict[str, Any], *, by: str) -> None:
        await self._ask("POST", f"/records/{index}/explanations", {"explanation": explanation, "by": by})

    async def overview(self) -> Overview:
        return await self._one(Overview, "GET", "/overview")

    async def conversations(self, deployment: str, path: Path | None) -> list[Conversation]:
        if path is None:
            return await self._many(Conversation, "/conversations", dict(deployment=deployment))
        if deployment not in self._config.deployments:
            raise errors.NotFoundError(f"there is no deployment {deployment!r} in this configuration")
        from gatewright.runtime import deployments

        return await asyncio.to_thread(deployments.conversations, self._config.deployments[deployment], path.resolve())

    async def score(self, deployment: str, conversation: Conversation, case_id: str, replies: list[str]) -> float:
        body = {
            "deployment": deployment,
            "conversation": conversation.model_dump(mode="json"),
            "case_id": case_id,
            "replies": replies,
        }
        return float(_object(await self._ask("POST", "/conversations/score", body))["score"])

    async def _one(self, kind: type[M], method: str, path: str, body: Any = None) -> M:
        return kind.model_validate_json((await self._ask(method, path, body)).content)

    async def _many(self, view: type[M], path: str, query: Mapping[str, Any]) -> list[M]:
        response = await self._ask("GET", path, query=query)
        return [view.model_validate(item) for item in orjson.loads(response.content)]

    async def _ask(
        self, method: str, path: str, body: Any = None, *, query: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        params = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            response = await self._http.request(method, path, json=body, params=params)
        except httpx.TransportError as error:
            raise _lost(error) from error
        _raise(response)
        return response


def _lost(error: httpx.TransportError) -> errors.UnavailableError:
    reason = str(error) or type(error).__name__
    return errors.UnavailableError(f"the service does not answer ({reason}); what it accepted goes on when it is back")


def _raise(response: httpx.Response) -> None:
    """Raise the error that an answer tells of, as the class it was raised as."""
    if response.status_code < 400:
        return
    try:
        told = response.json()["error"]
        name, message = str(told["type"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        name, message = "UnavailableError", f"the service answered {response.status_code} to {response.request.url}"
    kind = NotEntitledError if name == NotEntitledError.__name__ else getattr(errors, name, errors.UnavailableError)
    raise kind(message)


async def _frames(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, int, Any]]:
    """Name, id and data of each server-sent event."""
    name, seq, data = "", -1, ""
    async for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "id":
            seq = int(value)
        elif field == "data":
            data += value
        elif not line and name:
            yield name, seq, json.loads(data)
            name, data = "", ""


def _signed(voter: Voter | None, by: str = "") -> dict[str, str]:
    """Who acts, as a body says it: where people are known, the token says it and this may only agree."""
    name = voter.name if voter is not None else by
    return {"by": name} if name else {}


def _path(part: str) -> str:
    return quote(part, safe="")


def _object(response: httpx.Response) -> dict[str, Any]:
    return dict(response.json())
