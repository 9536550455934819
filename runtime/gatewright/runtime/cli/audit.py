"""`gatewright audit`: verify, read and export the ledger."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.agents.wording import counted
from gatewright.runtime import summaries
from gatewright.runtime.operations import Operations
from gatewright.runtime.views import LedgerView, RecordView
from gatewright.safety.ledger.records import Kind

from .clients import connect
from .desk import Desk, desk, facts
from .grammar import LARGEST, Group, Lazy

if TYPE_CHECKING:
    from gatewright.runtime.ledger import Verified

PAGE = 1000
PASSED = 0
TAMPERED = 5
SHOWN = 20  # findings


COMMANDS = {
    "search": Lazy("gatewright.runtime.cli.searching:search", "Find decisions, newest first."),
    "sample": Lazy("gatewright.runtime.cli.drawing:sample", "Draw decisions to look at."),
}


@click.group(cls=Group, lazy=COMMANDS, default="show", plugins="gatewright.commands.audit")
def audit() -> None:
    """Verify, read and export the ledger. Without a command: show."""


@audit.command("verify")
@click.option(
    "--key", "keys", multiple=True, help="Verifier key of the log: text or @FILE. Without: the one beside it."
)
@click.option("--held", multiple=True, help="Signed checkpoint that was kept elsewhere: text or @FILE.")
@click.option("--witness", "witnesses", multiple=True, help="Verifier key of a witness that must have cosigned.")
@desk
def verify(desk: Desk, keys: Sequence[str], held: Sequence[str], witnesses: Sequence[str]) -> int:
    """Verify that no record was changed, dropped or reordered. Exit code 0, or 5 with the first bad index.

    Needs no service and no secret; running services are no hindrance.
    """
    from gatewright.runtime import ledger

    config = desk.config()
    found = ledger.verify(
        config.data_dir,
        url=config.database,
        keys=[text_of(key).strip() for key in keys],
        held=[_note(each) for each in held],
        witnesses=[text_of(key).strip() for key in witnesses],
    )
    value = {
        "ok": found.ok,
        "size": found.size,
        "signed": found.signed,
        "root": found.root,
        "erased": found.erased,
        "waiting": found.waiting,
        "first_bad_index": found.first_bad_index,
        "findings": [{"index": index, "message": message} for index, message in found.bad],
    }
    desk.show(value, lambda: describe(found))
    return PASSED if found.ok else TAMPERED


@audit.command("show")
@click.argument("index", type=click.IntRange(0, LARGEST), required=False)
@click.option("--run", "run_id", help="Only records of this run.")
@click.option("--case", "case_id", help="Only records of this case.")
@click.option("--kind", type=click.Choice(get_args(Kind)), help="Only this kind.")
@click.option("--after", type=click.IntRange(-1, LARGEST), default=-1, help="Begin behind this index.")
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
@click.argument("indices", type=click.IntRange(0, LARGEST), nargs=-1)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file instead of stdout.")
@click.option(
    "--pack", type=click.Path(path_type=Path, dir_okay=False), help="Write an evidence pack to this zip file."
)
@click.option(
    "--sample", type=click.Path(path_type=Path, dir_okay=False), help="The decisions of `audit sample --json`."
)
@click.option("--run", "run_id", help="Only records of this run.")
@click.option("--case", "case_id", help="Only records of this case.")
@click.option("--opened", is_flag=True, help="With the sealed values (arguments, results) that are not erased.")
@desk
def export(
    desk: Desk,
    indices: Sequence[int],
    output: Path | None,
    pack: Path | None,
    sample: Path | None,
    run_id: str | None,
    case_id: str | None,
    opened: bool,
) -> None:
    """Write the ledger as JSON lines: its head first, then every record in order.

    With --pack, write an evidence pack: the records at INDICES, of a run, a case or a sample, or all, with their
    proofs, the signed checkpoint, the policies that chose, and `verify.py`, which checks it all with Python alone.
    """
    if pack is not None:
        from . import packing

        packing.pack(desk, pack, indices=indices, sample=sample, run_id=run_id, case_id=case_id, opened=opened)
        return
    if indices or sample is not None:
        raise UsageError("INDICES and --sample choose what goes into a pack; give --pack FILE, too")

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
    desk.show({"path": str(output), "records": number}, lambda: f"wrote {counted(number, 'record')} to {output}")


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


def text_of(value: str) -> str:
    """A text, or with `@` the text of a file."""
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text("utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {value[1:]!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{value[1:]!r} holds no text: {error}") from error


def _note(value: str) -> str:
    found = text_of(value)
    if "\n\n" not in found:  # what every note has between its text and its signatures
        raise UsageError(f"{value!r} is no signed checkpoint; write the path of a file that holds one as @FILE")
    return found


def describe(found: Verified) -> str:
    """What verification found, for a person."""
    said = facts(
        {
            "records": found.size,
            "signed": found.signed,
            "root": found.root,
            "sealed values erased": found.erased or None,
            "without a place yet": found.waiting or None,
        }
    )
    if found.ok:
        return f"{said}\n\nthe ledger holds"
    lines = [message for _index, message in found.bad[:SHOWN]]
    more = [f"and {len(found.bad) - SHOWN} more"] if len(found.bad) > SHOWN else []
    place = "" if found.first_bad_index is None else f"; the first bad record is {found.first_bad_index}"
    return "\n".join([said, "", *lines, *more, "", f"THE LEDGER DOES NOT HOLD{place}"])
