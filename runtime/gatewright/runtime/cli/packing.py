"""`gatewright audit export --pack`: what goes into an evidence pack."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from gatewright.agents.errors import UsageError
from gatewright.agents.wording import counted
from gatewright.runtime import evidence
from gatewright.runtime.config import Config
from gatewright.runtime.operations import Operations

from .audit import every
from .clients import connect
from .desk import Desk


def pack(
    desk: Desk,
    path: Path,
    *,
    indices: Sequence[int],
    sample: Path | None,
    run_id: str | None,
    case_id: str | None,
    opened: bool,
) -> None:
    """Write a pack and say what is in it."""
    given = [bool(indices), sample is not None, run_id is not None or case_id is not None]
    if sum(given) > 1:
        raise UsageError("choose by INDICES, by --sample or by --run and --case, one of them")

    async def write() -> evidence.Packed:
        config = desk.config()
        async with connect(config) as client:
            chosen = await _chosen(client, indices, sample, run_id, case_id)
            if chosen.indices is not None and not chosen.indices:
                raise UsageError(f"a pack of {chosen.words} would hold no record; check what was chosen")
            policies = await _policies(client, config, chosen.indices)
            return await evidence.write(client, path, chosen, opened=opened, policies=policies)

    packed = desk.run(write())
    value = {"path": str(path), "records": packed.records, "sha256": packed.sha256}
    desk.show(value, lambda: f"wrote {counted(packed.records, 'record')} to {path}\nsha256  {packed.sha256}")


async def _chosen(
    client: Operations, indices: Sequence[int], sample: Path | None, run_id: str | None, case_id: str | None
) -> evidence.Chosen:
    if sample is not None:
        return _drawn(sample)
    if indices:
        return evidence.Chosen(indices=indices, words=f"records {', '.join(map(str, sorted(set(indices))))}")
    if run_id is None and case_id is None:
        return evidence.Chosen(indices=None, words="the whole log")
    size = (await client.ledger()).size
    found = [view.index async for view in every(client, run_id=run_id, case_id=case_id, size=size)]
    words = " and ".join(f"{name} {value}" for name, value in (("run", run_id), ("case", case_id)) if value)
    return evidence.Chosen(indices=found, words=f"records of {words}")


def _drawn(sample: Path) -> evidence.Chosen:
    try:
        said = json.loads(sample.read_text("utf-8"))
        return evidence.Chosen(indices=[int(each) for each in said["indices"]], words=f"a sample: {said['words']}")
    except OSError as error:
        raise UsageError(f"cannot read {str(sample)!r}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{str(sample)!r} is not what `gatewright audit sample --json` prints") from error


async def _policies(client: Operations, config: Config, indices: Sequence[int] | None) -> dict[str, bytes]:
    """The artefacts, among those of the configuration, that made one of the decisions; all of them for a whole log."""
    files = {
        chooser.file
        for deployment in config.deployments.values()
        for chooser in deployment.policies.values()
        if chooser.file is not None
    }
    if not files:
        return {}
    from gatewright.runtime.policies import artefact

    known = {found.version: found.content() for found in map(artefact.load, sorted(files))}
    return known if indices is None else await evidence.deciders(client, known, indices)
