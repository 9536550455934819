"""A recorded decision explained, all in one call: for the command line and for pages that show it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gatewright.agents.errors import IntegrityError, NotFoundError, UsageError
from gatewright.runtime import deployments, summaries
from gatewright.runtime.config import Config
from gatewright.runtime.evidence.proofs import prove
from gatewright.runtime.operations import Operations
from gatewright.runtime.policies.artefact import Artefact
from gatewright.runtime.policies.encoding import Encoding
from gatewright.runtime.policies.serving import probabilities
from gatewright.runtime.search import Search
from gatewright.runtime.views import RecordView

from .attributions import Attribution, Contrast
from .changes import Change, Direction, directions, levers, smallest_change
from .evidence import Reproduction, explain, record, reproduce
from .games import Array, Game, Group, Reference

ROWS = 1_000  # reference rows
PAGE = 200


@dataclass(frozen=True, kw_only=True)
class Explained:
    """Why a recorded decision came out as it did.

    `closed`: options that could not be chosen, each with the rule or reason · `chances`: of all options, as served ·
    `change`: the smallest one that flips the choice, None where the grid has none · `record`: to be kept, or logged ·
    `approver`: who decided, "" if nobody was asked.
    """

    view: RecordView
    point: str
    policy: str
    features: Mapping[str, Any]
    contrast: Contrast
    attribution: Attribution
    chances: Mapping[str, float]
    closed: Mapping[str, str]
    change: Change | None
    record: dict[str, Any]
    approver: str

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        change = self.change
        return {
            "index": self.view.index,
            "leaf_hash": self.view.leaf_hash,
            "point": self.point,
            "policy": self.policy,
            "features": dict(self.features),
            "option": self.contrast.option,
            "against": self.contrast.against,
            "bars": [bar._asdict() for bar in self.contrast.bars],
            "base": self.contrast.base,
            "output": self.contrast.output,
            "residual": self.contrast.residual,
            "off_support": self.attribution.off_support,
            "settled": self.attribution.settled,
            "chances": dict(self.chances),
            "closed": dict(self.closed),
            "change": change
            and {"option": change.option, "size": change.size, "steps": [step._asdict() for step in change.steps]},
            "approver": self.approver,
            "record": self.record,
        }


def game_of(artefact: Artefact, reference: Reference) -> Game:
    """The game of a policy artefact: its own logits, in single precision as they are served."""
    encoding, network = artefact.manifest.encoding, artefact.network

    def logits(rows: Array) -> Array:
        return np.asarray(network.logits(rows.astype(np.float32)), dtype=np.float64)

    groups = [Group(name, tuple(range(columns.start, columns.stop))) for name, columns in encoding.groups.items()]
    return Game(logits, groups, reference, artefact.manifest.options)


async def reference_of(client: Operations, point: str, encoding: Encoding, *, before: int) -> Reference:
    """The newest 1,000 decisions of a point with an index below `before`, or as many as there are.

    Decisions whose features were erased, or do not fit the encoding any more, are left out.

    Raises:
        NotFoundError: there is none.
    """
    found: list[RecordView] = []
    page: int | None = before
    while page is not None and len(found) < ROWS:
        hits = await client.search(Search(point=point), before=page, limit=PAGE)
        found += [view for view in hits.records if _fits(encoding, view)]
        page = hits.before
    found = sorted(found[:ROWS], key=lambda view: view.index)
    if not found:
        raise NotFoundError(
            f"no decision of {point!r} before record {before} still has its features; there is nothing to compare with"
        )
    rows = encoding.encode_many([_features(view) for view in found]).astype(np.float64)
    query = f"the newest {ROWS} decisions of {point} before record {before}"
    return Reference(rows=rows, query=query, first=found[0].index, last=found[-1].index)


async def explain_decision(
    client: Operations,
    index: int,
    artefacts: Sequence[Artefact],
    *,
    against: str | None = None,
    exact: bool = False,
    seed: int = 0,
    allowed: Mapping[str, Direction] | None = None,
) -> Explained:
    """Explain the decision at an index of the ledger: the option chosen against the runner-up, or another one.

    Args:
        artefacts: policies, the one that decided among them.
        against: any other option, a closed one too.
        allowed: which way each feature may change, from `directions`; without it, every one either way.

    Raises:
        NotFoundError: there is no such record, its values were erased, or its policy is not among `artefacts`.
        UsageError: it is no decision, or `against` is not another option.
        IntegrityError: the record is not the log's, or a sealed value is not what it commits to.
    """
    view = await client.record(index)
    effect = view.record["effect"] or {}
    if effect.get("kind") != "decision" or view.record["outcome"] != "ok":
        raise UsageError(f"record {index} is no decision that was made; `gatewright audit search --point` finds those")
    if not {"args", "result"} <= set(view.opened):
        raise NotFoundError(f"the features and the choice of record {index} were erased; they cannot be explained")
    if problem := (await prove(client, view)).problem:
        raise IntegrityError(f"record {index} is not explained: {problem}; run `gatewright audit verify`", index=index)
    choice = view.opened["result"]
    artefact = _artefact(artefacts, choice, index)
    reference = await reference_of(client, effect["name"], artefact.manifest.encoding, before=index)
    return await asyncio.to_thread(_explained, view, artefact, reference, against, exact, seed, allowed)


def declared(config: Config, deployment: str, point: str) -> dict[str, Direction] | None:
    """Which way the features of a decision point may change, as the deployment's team says; None where it declares no
    such point."""
    settings = config.deployments.get(deployment)
    if settings is None or not settings.team:
        return None
    known = {each.name: each for each in deployments.team_of(settings.team).points}
    return directions(known[point].features) if point in known else None


def _explained(
    view: RecordView,
    artefact: Artefact,
    reference: Reference,
    against: str | None,
    exact: bool,
    seed: int,
    allowed: Mapping[str, Direction] | None,
) -> Explained:
    args, choice = view.opened["args"], view.opened["result"]
    options = artefact.manifest.options
    game = game_of(artefact, reference)
    row = artefact.manifest.encoding.encode(args["features"]).astype(np.float64)
    opened = np.array([option not in args["closed"] for option in options])
    logits = game.worth(row[None])
    other = against or _runner_up(options, logits[0], opened, choice["option"])
    found = explain(game, row, exact=exact, seed=seed)
    either: Direction = "either"
    every: Mapping[str, Direction] = {name: either for name in artefact.manifest.encoding.groups}
    names = every if allowed is None else allowed
    chances = probabilities(logits, opened[None], artefact.manifest.serving)[0]
    return Explained(
        view=view,
        point=view.record["effect"]["name"],
        policy=choice["policy"],
        features=args["features"],
        contrast=found.contrast(choice["option"], other),
        attribution=found,
        chances=dict(zip(options, chances.tolist(), strict=True)),
        closed=args["closed"],
        change=smallest_change(
            game,
            row,
            levers(game, row, names, lambda group, value: _spoken(artefact.manifest.encoding, group, value)),
            open_options=opened.tolist(),
        ),
        record=record(
            game,
            row,
            found,
            decision=view.index,
            policy=artefact.version,
            contrast=(choice["option"], other),
            seed=seed,
        ),
        approver=summaries.of(view).approver,
    )


async def reproduce_logged(client: Operations, index: int, artefacts: Sequence[Artefact]) -> Reproduction:
    """Compute an explanation anew that was recorded in the ledger at an index, from the decisions before its decision.

    Raises:
        NotFoundError: there is no such record, its numbers were erased, or its policy is not among `artefacts`.
        IntegrityError: the reference rows are not those of then: features were erased since, or changed.
    """
    view = await client.record(index)
    kept = view.opened.get("explanation")
    if kept is None:
        raise NotFoundError(f"record {index} is no explanation, or its numbers were erased")
    decision = await client.record(kept["decision"])
    artefact = _artefact(artefacts, decision.opened.get("result") or {"policy": kept["policy"]}, decision.index)
    point = str(decision.record["effect"]["name"])
    reference = await reference_of(client, point, artefact.manifest.encoding, before=decision.index)
    return reproduce(kept, game_of(artefact, reference))


def _artefact(artefacts: Sequence[Artefact], choice: Mapping[str, Any], index: int) -> Artefact:
    for artefact in artefacts:
        if artefact.version in str(choice["policy"]):
            return artefact
    said = f"; its own reason: {choice['reason']!r}" if choice.get("reason") else ""
    raise NotFoundError(
        f"decision {index} was made by {choice['policy']!r}, and no policy file of that version is known (the "
        f"configuration's, or --policy FILE); rules say their reasons themselves{said}"
    )


def _runner_up(options: Sequence[str], logits: Array, opened: Any, chosen: str) -> str:
    """The best other option, an open one if there is any."""
    others = [place for place, option in enumerate(options) if option != chosen]
    return options[max(others, key=lambda place: (bool(opened[place]), float(logits[place])))]


def _features(view: RecordView) -> Mapping[str, Any]:
    args = view.opened.get("args") or {}
    features: Mapping[str, Any] = args.get("features") or {}
    return features


def _fits(encoding: Encoding, view: RecordView) -> bool:
    try:
        encoding.encode(_features(view))
    except UsageError:
        return False
    return True


def _spoken(encoding: Encoding, group: Group, value: Array) -> Any:
    """An encoded value as it was before it was encoded; numbers to six digits, as single precision holds them."""
    feature = next(each for each in encoding.features if each.name == group.name)
    if feature.optional and not value[-1]:
        return None
    if feature.kind == "category":
        return feature.values[int(value[: len(feature.values)].argmax())]
    if feature.kind == "flag":
        return bool(value[0])
    if feature.low is not None and feature.high is not None:
        middle, half = (feature.low + feature.high) / 2, (feature.high - feature.low) / 2 or 1.0
    else:
        middle, half = feature.mean, feature.scale
    number = float(f"{middle + half * float(value[0]):.6g}")
    return round(number) if feature.whole else number
