"""The pages of decisions: finding one, why it came out so, its proof, and taking it away or doing it again.

All of them read; so auditors may open each. What costs time is done for one viewer after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from gatewright.agents.effects import Kind
from gatewright.agents.errors import IntegrityError, NotFoundError, UnavailableError, UsageError
from gatewright.runtime import evidence, summaries
from gatewright.runtime.evidence.proofs import prove
from gatewright.runtime.operations import Host
from gatewright.runtime.search import Search
from gatewright.runtime.views import RecordView
from gatewright.safety.ledger.records import Outcome
from gatewright.safety.verdicts import Verdict

from . import frame, offers
from .dossiers import dossier
from .waterfall import waterfall

PAGE = 50
ANY = "any"
TEXTS = ("point", "agent", "policy", "option", "verdict", "outcome", "approver", "case_id")
TIMES = ("since", "until")
CONDITIONS = 2  # fields for conditions on features: the two ends of a range


class Decisions:
    """The pages under `/decisions`."""

    def __init__(self, service: Host) -> None:
        self._service = service
        self._turn = asyncio.Semaphore(1)

    def add(self, router: APIRouter) -> None:
        """Put them into the router."""
        for path, handler in (
            ("/decisions", self.find),
            ("/decisions/{index}", self.show),
            ("/decisions/{index}/replay", self.replay),
            ("/decisions/{index}/pack", self.pack),
        ):
            frame.add(router, "GET", path, handler)

    async def find(self, request: Request) -> Response:
        asked = request.query_params
        kept = {name: asked.get(name, "").strip() for name in (*TEXTS, *TIMES)}
        effect = asked.get("effect", "decision")
        features = [text.strip() for text in asked.getlist("feature") if text.strip()]
        before = frame.number(asked, "before", 0) if asked.get("before") else None
        found = await self._service.search(_search(kept, effect, features), before=before, limit=PAGE)
        chosen = {"effect": effect, **{name: text for name, text in kept.items() if text}, "feature": features}
        return frame.page(
            "decisions.html",
            request,
            hits=[(view, summaries.of(view), _option(view)) for view in found.records],
            kept=kept,
            effect=effect,
            features=[*features, *[""] * CONDITIONS][: max(CONDITIONS, len(features))],
            kinds=get_args(Kind),
            verdicts=get_args(Verdict),
            outcomes=get_args(Outcome),
            newest=urlencode(chosen, doseq=True) if before is not None else "",
            older="" if found.before is None else urlencode({**chosen, "before": found.before}, doseq=True),
        )

    async def show(self, request: Request) -> Response:
        found = await dossier(self._service, frame.number(request.path_params, "index", 0))
        explained, obstacle = None, ""
        if found.kind == "decision" and found.chosen:
            explained, obstacle = await self._explained(found.view.index, request.query_params.get("against") or None)
        return frame.page(
            "decision.html",
            request,
            found=found,
            proof=await prove(self._service, found.view),
            explained=explained,
            obstacle=obstacle,
            drawn=None if explained is None else waterfall(explained),
        )

    async def _explained(self, index: int, against: str | None) -> tuple[Mapping[str, Any] | None, str]:
        """Why it came out so, or why that cannot be said."""
        try:
            explain = offers.explain()
            async with self._turn:
                return await explain(self._service, index, against), ""
        except (IntegrityError, NotFoundError, UnavailableError) as error:
            return None, str(error)

    async def replay(self, request: Request) -> Response:
        view = await self._service.record(frame.number(request.path_params, "index", 0))
        if view.case_id is None:
            raise NotFoundError(f"record {view.index} belongs to no case, so there is nothing to replay")
        again = offers.replay()
        async with self._turn:
            result = await again(self._service, view.case_id)
        return frame.page("replayed.html", request, view=view, result=result)

    async def pack(self, request: Request) -> Response:
        found = await dossier(self._service, frame.number(request.path_params, "index", 0))
        index = found.view.index
        opened = request.query_params.get("opened") == "1"
        known = {artefact.version: artefact.content() for artefact in self._service.artefacts()}
        indices = [index, *(vote.index for vote in found.votes)]
        chosen = evidence.Chosen(indices=indices, words=f"record {index} and what people said of it")
        with TemporaryDirectory(prefix="gatewright-") as folder:
            path = Path(folder) / f"decision-{index}.zip"
            async with self._turn:
                policies = await evidence.deciders(self._service, known, indices)
                await evidence.write(self._service, path, chosen, opened=opened, policies=policies)
            content = await asyncio.to_thread(path.read_bytes)
        headers = {**frame.HEADERS, "content-disposition": f'attachment; filename="{path.name}"'}
        return Response(content, 200, headers, media_type="application/zip")


def _search(kept: Mapping[str, str], effect: str, features: list[str]) -> Search:
    given: dict[str, Any] = {name: text for name in TEXTS if (text := kept[name])}
    given |= {name: _time(name, text) for name in TIMES if (text := kept[name])}
    given["effect"] = None if effect == ANY else effect
    if effect == ANY:
        given["kind"] = "effect"
    try:
        return Search.model_validate({**given, "feature": tuple(features)})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(f"{first['loc'][0]} is {first['input']!r}: {first['msg']}") from error


def _time(name: str, text: str) -> datetime:
    with suppress(ValueError):
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    raise UsageError(f"{name} is {text[:40]!r}, which is no time; write it as 2026-08-19T12:00, in UTC")


def _option(view: RecordView) -> str:
    """What was chosen, of a decision."""
    effect, result = view.record["effect"] or {}, view.opened.get("result")
    if effect.get("kind") != "decision" or not isinstance(result, Mapping):
        return ""
    return str(result.get("option", ""))
