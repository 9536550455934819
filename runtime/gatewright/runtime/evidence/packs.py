"""Evidence packs: records, their proofs and what they name, in a zip file that equal evidence gives equal bytes of."""

from __future__ import annotations

import io
import json
import zipfile
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from gatewright.agents.errors import IntegrityError, UnavailableError
from gatewright.runtime.files import replacing
from gatewright.runtime.operations import Operations
from gatewright.runtime.views import RecordView
from gatewright.safety.canonical import canonical
from gatewright.safety.ledger import merkle
from gatewright.safety.ledger.checkpoints import Checkpoint

from . import verify
from .report import report

PAGE = 1000  # records asked for at once
FORMAT = "gatewright-evidence/1"
EXPLANATION = "explanation"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which records: those at `indices`, or the whole log if that is None. `words`: how they were chosen."""

    indices: Sequence[int] | None
    words: str


class Packed(NamedTuple):
    """What was written: how many records, and the SHA-256 of the file."""

    records: int
    sha256: str


async def write(
    client: Operations, path: Path, chosen: Chosen, *, opened: bool = False, policies: Mapping[str, bytes] | None = None
) -> Packed:
    """Write a pack; explanations that were recorded of the chosen decisions join them.

    Args:
        opened: with the sealed values (arguments, results) that are not erased.
        policies: policy artefacts by their version.

    Raises:
        UnavailableError: no checkpoint covers the records yet, or the file cannot be written.
        NotFoundError: there is no such record.
    """
    head = await client.ledger()
    if not head.checkpoint:
        raise UnavailableError("the log has no signed checkpoint yet, so nothing could be proven; try again in a while")
    checkpoint = Checkpoint.parse(head.checkpoint.rpartition("\n\n")[0] + "\n")
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "origin": checkpoint.origin,
        "key": head.key,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "chosen": chosen.words,
        "complete": chosen.indices is None,
        "opened": opened,
    }
    files = {f"policies/{version}.policy": content for version, content in (policies or {}).items()}
    files[verify.CHECKPOINT] = head.checkpoint.encode()
    files["verify.py"] = Path(verify.__file__).read_bytes()
    try:
        with replacing(path) as draft:
            with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
                if chosen.indices is None:
                    shown, count = await _whole(client, archive, checkpoint.size), checkpoint.size
                else:
                    shown = await _some(client, archive, files, sorted(set(chosen.indices)), head.checkpoint, opened)
                    count = len(shown)
                    manifest["indices"] = [view.index for view in shown]
                manifest["records"] = count
                files["REPORT.html"] = report(manifest, shown, head.checkpoint).encode()
                files[verify.MANIFEST] = canonical(manifest) + b"\n"
                sums = {name: sha256(content).hexdigest() for name, content in sorted(files.items())}
                files[verify.SUMS] = "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()
                for name, content in sorted(files.items()):
                    archive.writestr(_member(name), content)
            with draft.open("rb") as stream:
                digest = _digest(stream)
    except OSError as error:
        raise UnavailableError(f"cannot write {str(path)!r}: {error.strerror}") from error
    return Packed(count, digest)


async def deciders(client: Operations, known: Mapping[str, bytes], indices: Sequence[int]) -> dict[str, bytes]:
    """The artefacts, by version, that made one of the decisions at these indices."""
    views = [await client.record(index) for index in indices] if known else []
    named = [str((view.opened.get("result") or {}).get("policy", "")) for view in views if _decided(view.record)]
    return {version: content for version, content in known.items() if any(version in name for name in named)}


def _decided(record: Mapping[str, Any]) -> bool:
    effect = record["effect"] or {}
    return effect.get("kind") == "decision" and record["outcome"] == "ok"


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)  # of 1980: the same bytes whenever it is written
    member.create_system, member.external_attr = 3, 0o100644 << 16
    return member


def _digest(stream: io.BufferedReader) -> str:
    total = sha256()
    while block := stream.read(1 << 20):
        total.update(block)
    return total.hexdigest()


async def _whole(client: Operations, archive: zipfile.ZipFile, size: int) -> list[RecordView]:
    """Write the whole log, whose records prove one another; gives the last page of it, to be shown."""
    page: list[RecordView] = []
    with archive.open(_member(verify.RECORDS), "w", force_zip64=True) as stream:
        async for page in _pages(client, size):
            stream.write(b"".join(_leaf(view) + b"\n" for view in page))
    return page


async def _pages(client: Operations, size: int) -> AsyncIterator[list[RecordView]]:
    after = -1
    while after + 1 < size:
        page = await client.records(after=after, limit=min(PAGE, size - after - 1))
        if not page or page[0].index != after + 1 or page[-1].index != after + len(page):
            raise IntegrityError(f"the log does not show record {after + 1} of {size}; run `gatewright audit verify`")
        yield page
        after = page[-1].index


def _leaf(view: RecordView) -> bytes:
    """The bytes of a record as they were hashed."""
    data = canonical(view.record)
    if merkle.leaf_hash(data).hex() != view.leaf_hash:
        raise IntegrityError(
            f"record {view.index} is not what was hashed; run `gatewright audit verify`", index=view.index
        )
    return data


async def _some(
    client: Operations,
    archive: zipfile.ZipFile,
    files: dict[str, bytes],
    indices: Sequence[int],
    note: str,
    opened: bool,
) -> list[RecordView]:
    """Write records with their proofs; gives them, to be shown."""
    size = int(note.split("\n")[1])
    late = [index for index in indices if index >= size]
    if late:
        raise UnavailableError(
            f"record {late[0]} is not covered by a checkpoint yet (the newest is of size {size}); try again in a while"
        )
    explained = await _explanations(client, set(indices), size)
    lines: list[bytes] = []
    shown: list[RecordView] = []
    values: list[str] = []
    for index in sorted({*indices, *explained}):
        view = await client.record(index)
        shown.append(view if opened else view.model_copy(update={"opened": {}}))
        proven = await client.inclusion_proof(index, at=size, opened=opened)
        lines.append(bytes.fromhex(proven["leaf"]))
        path = [b64encode(bytes.fromhex(each)).decode() for each in proven["proof"]]
        proof = "\n".join([verify.PROOF, f"index {index}", *path, "", note])
        files[f"proofs/{index:012d}.tlog-proof"] = proof.encode()
        for field, kept in proven.get("opened", {}).items():
            said = {"index": index, "field": field, "salt": kept["salt"]}
            if field == EXPLANATION:
                said["file"] = f"explanations/{index:012d}.json"
                files[said["file"]] = bytes.fromhex(kept["value"])
            else:
                said["value"] = kept["value"]
            values.append(json.dumps(said, sort_keys=True))
    archive.writestr(_member(verify.RECORDS), b"".join(line + b"\n" for line in lines))
    if values:
        files[verify.OPENED] = "".join(f"{value}\n" for value in values).encode()
    return shown


async def _explanations(client: Operations, indices: set[int], size: int) -> list[int]:
    """The records, among the first `size`, that explain one of these decisions."""
    found: list[int] = []
    after = -1
    while page := await client.records(kind=EXPLANATION, after=after, limit=PAGE):
        found += [view.index for view in page if view.index < size and view.record["detail"].get("decision") in indices]
        after = page[-1].index
    return found
