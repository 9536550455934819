"""All that is on record about one effect: what was seen, chosen, judged, asked of people, and what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from gatewright.agents.errors import NotFoundError
from gatewright.runtime import summaries
from gatewright.runtime.operations import Operations
from gatewright.runtime.views import RecordView

MOST = 200  # records of approvals that are looked through


class Option(NamedTuple):
    """What could have been chosen. `closed`: why it could not, "" where it could."""

    name: str
    chosen: bool
    closed: str


class Rule(NamedTuple):
    """A rule that matched. `stage`: what it judged · `note`: why its verdict did not count, "" where it did."""

    stage: str
    pack: str
    id: str
    verdict: str
    reason: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Vote:
    """What somebody answered. `index`: of the record about it · `shown`: what they were shown, None where erased ·
    `value`: what they put in its place, or answered."""

    index: int
    time: datetime
    by: str
    verdict: str
    reason: str
    roles: Sequence[str]
    proven: bool
    on_behalf_of: str
    emergency: bool
    prompt: str
    shown: Any
    value: Any
    about: str


class Dossier(NamedTuple):
    """An effect as it is on record. What it was about is empty where it was erased, which `erased` says.

    `features`, `options`, `policy`, `propensity`: of decisions · `args`, `result`: of everything else · `packs`: those
    that judged it · `votes`: of people on this effect · `others`: on other effects of the same case.
    """

    view: RecordView
    summary: summaries.Summary
    kind: str
    name: str
    features: Mapping[str, Any]
    options: Sequence[Option]
    chosen: str
    policy: str
    propensity: float | None
    reason: str
    erased: bool
    packs: Sequence[str]
    rules: Sequence[Rule]
    votes: Sequence[Vote]
    others: Sequence[Vote]
    error: str

    @property
    def commands(self) -> str:
        """What replays the case."""
        case = shlex.quote(str(self.view.case_id))
        return (
            f"gatewright scenario record {case} -o case.jsonl \\\n"
            "  && gatewright scenario replay case.jsonl --mode strict"
        )


async def dossier(client: Operations, index: int) -> Dossier:
    """What is on record about the effect at an index of the ledger.

    Raises:
        NotFoundError: there is no such record, or it is about something else.
    """
    view = await client.record(index)
    record = view.record
    effect = record["effect"]
    if effect is None:
        raise NotFoundError(f"record {index} is about a {view.kind}, which decided nothing; see it among the records")
    args, choice = _mapping(view.opened.get("args")), _mapping(view.opened.get("result"))
    decided = effect["kind"] == "decision"
    closed = _mapping(args.get("closed"))
    chosen = str(choice.get("option", "")) if decided else ""
    asked = str((record["approval"] or {}).get("id", ""))
    people = await _people(client, view)
    return Dossier(
        view=view,
        summary=summaries.of(view),
        kind=effect["kind"],
        name=effect["name"],
        features=_mapping(args.get("features")) if decided else {},
        options=[
            Option(str(each), each == chosen, str(closed.get(each, "")))
            for each in (args.get("options", ()) if decided else ())
        ],
        chosen=chosen,
        policy=str(choice.get("policy", "")) if decided else "",
        propensity=choice.get("propensity") if decided else None,
        reason=str(choice.get("reason", "")) if decided else "",
        erased=bool(set(record["sealed"]) - set(view.opened)),
        packs=sorted({judged["pack"] for _, judged in _judgements(record)}),
        rules=[rule for stage, judged in _judgements(record) for rule in _rules(stage, judged)],
        votes=[vote for approval, vote in people if asked and approval == asked],
        others=[vote for approval, vote in people if not asked or approval != asked],
        error=str(record["error"] or ""),
    )


async def _people(client: Operations, view: RecordView) -> list[tuple[str, Vote]]:
    """What people said in the case, with the request that it answers."""
    if view.case_id is None:
        return []
    found = await client.records(case_id=view.case_id, kind="approval", limit=MOST)
    return [_vote(each) for each in found if each.record["detail"].get("event") == "vote"]


def _vote(view: RecordView) -> tuple[str, Vote]:
    said, detail, shown = view.record["approval"], view.record["detail"], view.opened.get("shown")
    seen = _mapping(shown)
    vote = Vote(
        index=view.index,
        time=view.time,
        by=said["by"],
        verdict=said["verdict"],
        reason=said["reason"],
        roles=detail.get("roles", ()),
        proven=bool(detail.get("authenticated")),
        on_behalf_of=str(detail.get("on_behalf_of", "")),
        emergency=bool(detail.get("break_glass")),
        prompt=str(seen.get("prompt") or ""),
        shown=seen.get("action", shown),
        value=seen.get("value"),
        about=str(detail.get("name", "")),
    )
    return said["id"], vote


def _judgements(record: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    guard = record["guard"] or {}
    stages = {"before": "what was wished", "after": "what came of it"}
    return [(words, guard[stage]) for stage, words in stages.items() if guard.get(stage)]


def _rules(stage: str, judged: Mapping[str, Any]) -> list[Rule]:
    found: list[Rule] = []
    for one in (judged, judged.get("shadow") or {}):
        for rule in one.get("rules", ()):
            waived = rule.get("waived")
            note = f"waived by {waived}" if waived else "on trial" if rule.get("mode") == "shadow" else ""
            if one is not judged:
                note = note or "on trial"
            found.append(Rule(stage, one["pack"], rule["id"], rule["verdict"], rule["reason"], note))
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
