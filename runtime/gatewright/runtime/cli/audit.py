"""`gatewright audit`: verify, read and export the ledger."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click

from gatewright.agents.errors import UnavailableError
from gatewright.runtime import summaries
from gatewright.runtime.operations import Operations
from gatewright.runtime.views import LedgerView, RecordView

from .clients import connect
from .desk import Desk, desk
from .grammar import Group

PAGE = 1000


@click.group(cls=Group, default="show")
def audit() -> None:
    """Verify, read and export the ledger. Without a command: show."""


@audit.command("show")
@click.argument("index", type=click.IntRange(0), required=False)
@click.option("--run", "run_id", help="Only records of this run.")
@click.option("--case", "case_id", help="Only records of this case.")
@click.option("--kind", help="Only this kind: effect, approval, run, key.")
@click.option("--after", type=click.IntRange(-1), default=-1, help="Begin behind this index.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@desk
def show(
    desk: Desk,
    index: int | None,
    run_id: str | None,
    case_id: str | None,
    kind: str | None,
    after: int,
    limit: int,
) -> None:
    """Show the record at INDEX, or list records in the order of the ledger."""

    async def ask() -> tuple[list[RecordView], dict[str, Any] | None]:
        async with connect(desk.config()) as client:
            if index is None:
                found = await client.records(run_id=run_id, case_id=case_id, kind=kind, after=after, limit=limit)
                return found, None
            return [await client.record(index)], await client.inclusion_proof(index)

    found, proof = desk.run(ask())
    if index is not None:
        value = {**found[0].model_dump(mode="json"), "proof": proof}
        desk.show(value, lambda: json.dumps(value, indent=2, ensure_ascii=False))
        return
    read = [(record, summaries.of(record)) for record in found]
    rows = [
        (str(record.index), record.time.isoformat(), summary.kind, summary.name, summary.verdict, record.run_id)
        for record, summary in read
    ]
    columns = ("index", "time", "kind", "name", "verdict", "run")
    desk.table([record.model_dump(mode="json") for record in found], columns, rows, empty="no records")


@audit.command("export")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file instead of stdout.")
@click.option("--run", "run_id", help="Only records of this run.")
@click.option("--case", "case_id", help="Only records of this case.")
@click.option("--opened", is_flag=True, help="With the sealed values (arguments, results) that are not erased.")
@desk
def export(desk: Desk, output: Path | None, run_id: str | None, case_id: str | None, opened: bool) -> None:
    """Write the ledger as JSON lines: its head first, then every record in order."""

    async def write(stream: Any) -> int:
        number = 0
        async with connect(desk.config()) as client:
            head: LedgerView = await client.ledger()
            stream.write(json.dumps({"ledger": head.model_dump(mode="json")}) + "\n")
            async for record in every(client, run_id=run_id, case_id=case_id, size=head.size):
                kept = record.model_dump(mode="json", exclude=None if opened else {"opened"})
                stream.write(json.dumps(kept, ensure_ascii=False) + "\n")
                number += 1
        return number

    if output is None:
        desk.run(write(sys.stdout))
        return
    try:
        with output.open("w", encoding="utf-8") as stream:
            number = desk.run(write(stream))
    except OSError as error:
        raise UnavailableError(f"cannot write {str(output)!r}: {error.strerror}") from error
    desk.show({"path": str(output), "records": number}, lambda: f"wrote {number} records to {output}")


async def every(client: Operations, *, run_id: str | None, case_id: str | None, size: int) -> AsyncIterator[RecordView]:
    """The records below index `size`, page by page."""
    after = -1
    while True:
        page = await client.records(run_id=run_id, case_id=case_id, after=after, limit=PAGE)
        for record in page:
            if record.index >= size:
                return
            yield record
        if len(page) < PAGE:
            return
        after = page[-1].index
