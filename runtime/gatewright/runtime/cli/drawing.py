"""`gatewright audit sample`: which decisions to look at, so that few say something of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.runtime import summaries
from gatewright.runtime.operations import Operations
from gatewright.runtime.search import Search
from gatewright.runtime.views import RecordView
from gatewright.safety.ledger import sampling
from gatewright.safety.ledger.checkpoints import Checkpoint

from .clients import connect
from .desk import Desk, desk, facts
from .grammar import Command
from .searching import criteria, wanted

RARE = 0.1  # the probability of a choice below which it is among those to look at
OVERRIDES = ("reject", "edit", "respond")
STRATA = ("overridden", "denied", "rare", "random")


@click.command("sample", cls=Command)
@criteria
@click.option("--confidence", type=click.FloatRange(0, 1, True, True), default=0.95, show_default=True)
@click.option("--rate", type=click.FloatRange(0, 1, True, True), default=0.05, show_default=True)
@click.option(
    "--allowed", type=click.IntRange(0, 100), default=0, show_default=True, help="Deviations that may be found."
)
@click.option("--nonce", required=True, help="The auditor's own random text, of 16 characters or more.")
@click.option("--commit", is_flag=True, help="Only print what the nonce is committed to with, before the checkpoint.")
@desk
def sample(desk: Desk, /, confidence: float, rate: float, allowed: int, nonce: str, commit: bool, **given: Any) -> None:
    """Draw decisions to look at: all that were overridden, denied or rare choices, and random ones of the others.

    If no more than --allowed of the random ones deviate, at most --rate of the others do, with --confidence. The
    options of `audit search` say which decisions there are. The draw is made from the nonce and the newest checkpoint:
    first give the log's operator what --commit prints, then wait for a checkpoint, then draw.
    """
    committed = sampling.commitment(nonce)
    sampling.seed(nonce, b"")  # refuses one that could be guessed
    if commit:
        desk.show({"commitment": committed}, lambda: committed)
        return
    if given["kind"] not in (None, "effect"):
        raise UsageError(f"effects are sampled, not records of kind {given['kind']!r}")

    async def ask() -> dict[str, Any]:
        async with connect(desk.config()) as client:
            note = (await client.ledger()).checkpoint
            if not note:
                raise UnavailableError("the log has no signed checkpoint yet; try again in a while")
            checkpoint = Checkpoint.parse(note.rpartition("\n\n")[0] + "\n")
            strata = await _strata(client, wanted({**given, "kind": "effect"}), checkpoint.size)
        rest = strata.pop("random")
        count = sampling.sample_size(len(rest), rate=rate, confidence=confidence, allowed=allowed)
        drawn = sampling.draw(rest, count, sampling.seed(nonce, checkpoint.root))
        return {
            "words": f"{count} of {len(rest)} at random for a rate of at most {rate:g} with {confidence:g} confidence "
            f"and {allowed} deviations, nonce committed as {committed}",
            "commitment": committed,
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "population": len(rest) + len({index for each in strata.values() for index in each}),
            "strata": {**strata, "random": drawn},
            "indices": sorted({*drawn, *(index for each in strata.values() for index in each)}),
        }

    value = desk.run(ask())
    desk.show(value, lambda: _described(value))


async def _strata(client: Operations, search: Search, size: int) -> dict[str, list[int]]:
    """The effects below index `size`, each in the first stratum that it belongs to, `random` for all others."""
    strata: dict[str, list[int]] = {name: [] for name in STRATA}
    before: int | None = size
    while before is not None:
        found = await client.search(search, before=before, limit=1000)
        for view in found.records:
            strata[_stratum(view)].append(view.index)
        before = found.before
    return {name: sorted(indices) for name, indices in strata.items()}


def _stratum(view: RecordView) -> str:
    summary = summaries.of(view)
    approval = view.record["approval"] or {}
    if approval.get("verdict") in OVERRIDES:
        return "overridden"
    if summary.outcome in ("denied", "terminated"):
        return "denied"
    choice = view.opened.get("result")
    if summary.kind == "decision" and isinstance(choice, Mapping) and choice.get("propensity", 1) < RARE:
        return "rare"
    return "random"


def _described(value: Mapping[str, Any]) -> str:
    counts = {name: len(indices) for name, indices in value["strata"].items()}
    said = facts({name: value[name] for name in ("origin", "size", "root", "commitment", "population")} | counts)
    return f"{said}\n\nlook at\n{' '.join(map(str, value['indices']))}"
