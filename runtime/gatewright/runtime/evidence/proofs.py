"""Whether a record is where the log says that it is, worked out when it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gatewright.agents.errors import IntegrityError
from gatewright.runtime.operations import Operations
from gatewright.runtime.views import RecordView
from gatewright.safety.canonical import canonical
from gatewright.safety.ledger import merkle, records
from gatewright.safety.ledger.checkpoints import VerifierKey, open_checkpoint


class Proof(NamedTuple):
    """What was checked. `size`: of the checkpoint that covers the record, None where none does yet · `path`: hashes
    from the leaf to the root · `seals`: how many sealed values are those that were committed to · `problem`: what does
    not hold, "" where all does."""

    size: int | None
    root: str
    origin: str
    key: str
    path: int
    seals: int
    problem: str


async def prove(client: Operations, view: RecordView) -> Proof:
    """Check a record against the newest signed checkpoint, and its sealed values against the record."""
    head = await client.ledger()
    none = Proof(None, "", "", head.key, 0, 0, "")
    try:
        if not head.checkpoint:
            return none._replace(seals=_seals(view, await client.inclusion_proof(view.index, opened=True)))
        signed = open_checkpoint(head.checkpoint, [VerifierKey.parse(head.key)]).checkpoint
        if view.index >= signed.size:
            return none._replace(seals=_seals(view, await client.inclusion_proof(view.index, opened=True)))
        proven = await client.inclusion_proof(view.index, at=signed.size, opened=True)
        path = [bytes.fromhex(each) for each in proven["proof"]]
        leaf = merkle.leaf_hash(_body(view, proven))
        merkle.verify_inclusion(leaf, view.index, signed.size, path, signed.root)
        seals = _seals(view, proven)
    except IntegrityError as error:
        return none._replace(problem=str(error))
    return Proof(signed.size, signed.root.hex(), signed.origin, head.key, len(path), seals, "")


def _body(view: RecordView, proven: Mapping[str, Any]) -> bytes:
    body = bytes.fromhex(proven["leaf"])
    if canonical(view.record) != body or merkle.leaf_hash(body).hex() != view.leaf_hash:
        raise IntegrityError(f"what is shown of record {view.index} is not what the log holds", index=view.index)
    return body


def _seals(view: RecordView, proven: Mapping[str, Any]) -> int:
    opened: Mapping[str, Mapping[str, str]] = proven["opened"]
    _body(view, proven)
    for name, kept in opened.items():
        records.check_seal(view.record["sealed"][name], bytes.fromhex(kept["salt"]), bytes.fromhex(kept["value"]))
    return len(opened)
