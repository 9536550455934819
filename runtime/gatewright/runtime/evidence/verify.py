"""Verify an evidence pack of decisions, with nothing but Python 3.11 or newer: `python verify.py [PACK] [--key KEY]`.

PACK is the zip file or the folder it was unpacked to; without it, the folder that this file is in. KEY is the log's
verifier key (`name+id+base64`, or @FILE), which you should have from somebody who answers for the log; without it, the
one in the pack is believed. Exit code 0 if everything holds, 5 if not, 2 if there is no pack or KEY is no key.

What is checked: every file against SHA256SUMS; the checkpoint's signature (Ed25519, RFC 8032; C2SP signed-note); that
every record is in the log of the checkpoint (RFC 6962, RFC 9162), or, if the pack holds the whole log, that the records
lead to its root; that opened values are those that were sealed; that policies are the versions that they say.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zipfile
from base64 import b64decode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

SUMS, MANIFEST, RECORDS, CHECKPOINT, OPENED = (
    "SHA256SUMS",
    "manifest.json",
    "records.jsonl",
    "checkpoint.txt",
    "opened.jsonl",
)
PROOF = "c2sp.org/tlog-proof@v1"
BATCH = 1024  # leaves folded together, a power of two


class Broken(Exception):
    """Something does not hold; the message begins with the name of the file."""


class Head(NamedTuple):
    """What a checkpoint says of the log."""

    origin: str
    size: int
    root: bytes


class Pack:
    """The files of a pack, by name."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._zip = None if place.is_dir() else zipfile.ZipFile(place)

    def names(self) -> list[str]:
        """All files."""
        if self._zip is not None:
            return sorted(name for name in self._zip.namelist() if not name.endswith("/"))
        found = (path.relative_to(self._place) for path in self._place.rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in found if "__pycache__" not in path.parts)

    def open(self, name: str) -> IO[bytes]:
        """A file, to be read."""
        try:
            return self._zip.open(name) if self._zip is not None else (self._place / name).open("rb", buffering=1 << 18)
        except (KeyError, OSError) as error:
            raise Broken(f"{name}: is missing") from error

    def read(self, name: str) -> bytes:
        """A file's bytes."""
        with self.open(name) as stream:
            try:
                return stream.read()
            except zipfile.BadZipFile as error:
                raise Broken(f"{name}: is damaged ({error})") from error


# Ed25519 (RFC 8032, section 5.1) in extended coordinates: slow, and needed once.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)

Point = tuple[int, int, int, int]


def point_add(p: Point, q: Point) -> Point:
    """The sum of two points."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def point_times(scalar: int, p: Point) -> Point:
    """A multiple of a point."""
    total: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = point_add(total, p)
        p, scalar = point_add(p, p), scalar >> 1
    return total


def point_of(data: bytes) -> Point | None:
    """The point that 32 bytes encode; None if they encode none."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = point_of(bytes([0x58]) + bytes([0x66]) * 31)


def signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is that of the holder of the key `public` over `message`."""
    key, commitment = point_of(public), point_of(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or key is None or commitment is None or scalar >= ORDER or BASE is None:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    left, right = point_times(scalar, BASE), point_add(commitment, point_times(challenge, key))
    return not ((left[0] * right[2] - right[0] * left[2]) % P or (left[1] * right[2] - right[1] * left[2]) % P)


# The log: RFC 6962 hashes, C2SP checkpoints.


class Key(NamedTuple):
    """A verifier key; `id` are four bytes."""

    name: str
    id: bytes
    public: bytes


def key_of(text: str) -> Key | None:
    """The verifier key of a log; None if the text is none."""
    name, identity, coded = (*text.strip().split("+", 2), "", "")[:3]
    try:
        public = b64decode(coded, validate=True)
    except ValueError:
        return None
    ours = sha256(name.encode() + b"\n" + public).digest()[:4]
    if len(public) != 33 or public[0] != 1 or ours.hex() != identity:
        return None
    return Key(name, ours, public[1:])


def open_checkpoint(note: str, key: str) -> Head:
    """What a signed checkpoint says, once its signature by the log's key is verified."""
    held = key_of(key)
    if held is None:
        raise Broken(f"{CHECKPOINT}: {key.strip()!r} is not the verifier key of a log")
    name = held.name
    text, _, lines = note.rpartition("\n\n")
    text += "\n"
    found = [line[2:].split(" ") for line in lines.split("\n") if line.startswith("— ")]
    signatures = [b64decode(each[1]) for each in found if len(each) == 2 and each[0] == name]
    if not any(each[:4] == held.id and signed(held.public, text.encode(), each[4:]) for each in signatures):
        raise Broken(f"{CHECKPOINT}: is not signed by {name!r}")
    origin, size, root, *rest = text.split("\n")
    if rest != [""] or origin != name:
        raise Broken(f"{CHECKPOINT}: is no checkpoint of {name!r}")
    return Head(origin, int(size), b64decode(root))


def folded(level: list[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    new = sha256
    while len(level) > 1:
        pairs = iter(level)
        level = [new(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return level[0]


def root_of(stream: Iterable[bytes]) -> tuple[int, bytes]:
    """Size and root of the log whose records are these lines, read once."""
    lines, new = iter(stream), sha256
    size, peaks, last = 0, list[tuple[int, bytes]](), b"\n"  # complete subtrees, largest first: leaves, hash

    def grow(leaves: int, root: bytes) -> None:
        while peaks and peaks[-1][0] == leaves:
            root = new(b"\x01" + peaks.pop()[1] + root).digest()
            leaves *= 2
        peaks.append((leaves, root))

    while True:
        level = [new(b"\x00" + (last := line)[:-1]).digest() for line in islice(lines, BATCH)]
        size += len(level)
        if len(level) == BATCH:
            grow(BATCH, folded(level))
            continue
        for leaf in level:
            grow(1, leaf)
        break
    if last[-1:] != b"\n":
        raise Broken(f"{RECORDS}: does not end with a line end")
    if not peaks:
        return 0, new().digest()
    root = peaks.pop()[1]
    while peaks:
        root = new(b"\x01" + peaks.pop()[1] + root).digest()
    return size, root


def root_from(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes | None:
    """Where a proof leads (RFC 9162, section 2.1.3.2); None if it is of another length than it should be."""
    place, last, result = index, size - 1, leaf
    for sibling in path:
        if not last:
            return None
        if place & 1 or place == last:
            result = sha256(b"\x01" + sibling + result).digest()
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            result = sha256(b"\x01" + result + sibling).digest()
        place, last = place >> 1, last >> 1
    return None if last else result


# The pack.


def check_sums(pack: Pack) -> Iterator[str]:
    """What is not as SHA256SUMS says. The records are checked against the log instead."""
    listed: dict[str, str] = {}
    *lines, last = pack.read(SUMS).decode("utf-8", "replace").split("\n")
    if last:
        yield f"{SUMS}: does not end with a line end"
    for line in lines:
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            yield f"{SUMS}: has a line that is none: {line!r}"
        listed[name] = digest
    present = set(pack.names()) - {SUMS, RECORDS}
    for name in sorted(present | set(listed)):
        if name not in present:
            yield f"{name}: is missing"
        elif name not in listed:
            yield f"{name}: is not listed in {SUMS}"
        else:
            try:
                if sha256(pack.read(name)).hexdigest() != listed[name]:
                    yield f"{name}: is not what {SUMS} says"
            except Broken as error:
                yield str(error)


def check_records(pack: Pack, manifest: dict[str, Any], head: Head, note: str) -> Iterator[str]:
    """What is wrong with the records."""
    with pack.open(RECORDS) as stream:
        if manifest["complete"]:
            size, root = root_of(stream)
            if (size, root) != (head.size, head.root):
                yield (
                    f"{RECORDS}: {size} records lead to root {root.hex()}; the checkpoint says {head.size} and "
                    f"{head.root.hex()}: records were changed, dropped or reordered"
                )
            return
        lines = stream.read().split(b"\n")
    if lines.pop() or len(lines) != len(manifest["indices"]):
        yield f"{RECORDS}: has other lines than the {len(manifest['indices'])} records of {MANIFEST}"
        return
    for index, line in zip(manifest["indices"], lines, strict=True):
        name = f"proofs/{index:012d}.tlog-proof"
        try:
            proof, _, signature = pack.read(name).decode().partition("\n\n")
            version, place, *path = proof.split("\n")
            if version != PROOF or place != f"index {index}" or signature != note:
                yield f"{name}: is no proof of record {index} for {CHECKPOINT}"
                continue
            leaf = sha256(b"\x00" + line).digest()
            if root_from(leaf, index, head.size, [b64decode(each, validate=True) for each in path]) != head.root:
                yield f"{RECORDS}: record {index} is not the one in the log, or {name} is not its proof"
        except (Broken, ValueError) as error:
            yield str(error) if isinstance(error, Broken) else f"{name}: cannot be read ({error})"


def check_opened(pack: Pack, manifest: dict[str, Any]) -> Iterator[str]:
    """Opened values that are not those that were sealed."""
    try:
        yield from _unsealed(pack, manifest)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        yield f"{OPENED}: cannot be read ({type(error).__name__}: {error})"


def _unsealed(pack: Pack, manifest: dict[str, Any]) -> Iterator[str]:
    lines = pack.read(RECORDS).split(b"\n")
    known = range(len(lines)) if manifest["complete"] else manifest["indices"]
    places = {index: place for place, index in enumerate(known)}
    for line in pack.read(OPENED).decode().splitlines():
        said = json.loads(line)
        record = json.loads(lines[places[said["index"]]])
        value = pack.read(said["file"]) if "file" in said else bytes.fromhex(said["value"])
        salt = bytes.fromhex(said["salt"])
        if len(salt) != 16 or record["sealed"].get(said["field"]) != sha256(salt + value).hexdigest():
            where = said.get("file", OPENED)
            yield f"{where}: {said['field']!r} of record {said['index']} is not the value that was sealed"


def check_policies(pack: Pack) -> Iterator[str]:
    """Policies that are not the versions that their names say."""
    for name in pack.names():
        if name.startswith("policies/"):
            version = name.removeprefix("policies/").removesuffix(".policy")
            try:
                with zipfile.ZipFile(BytesIO(pack.read(name))) as policy:
                    held = policy.read("manifest.json")
                    arrays: dict[str, Any] = json.loads(held)["arrays"]
                    wrong = [
                        each
                        for each, said in arrays.items()
                        if sha256(policy.read(f"arrays/{each}.npy")).hexdigest() != said["sha256"]
                    ]
                    if wrong or sha256(held).hexdigest() != version:
                        yield f"{name}: is not the policy of that version"
            except (KeyError, ValueError, zipfile.BadZipFile) as error:
                yield f"{name}: is no policy ({error})"


def problems(place: Path, key: str = "") -> Iterator[str]:
    """All that does not hold in a pack; each begins with the name of a file. `key`: else the pack's own is believed."""
    try:
        pack = Pack(place)
        yield from check_sums(pack)
        manifest: dict[str, Any] = json.loads(pack.read(MANIFEST))
        note = pack.read(CHECKPOINT).decode()
        head = open_checkpoint(note, key or manifest["key"])
        if (manifest["origin"], manifest["size"], manifest["root"]) != (head.origin, head.size, head.root.hex()):
            yield f"{MANIFEST}: names another log than {CHECKPOINT}"
        if manifest["records"] != (head.size if manifest["complete"] else len(manifest["indices"])):
            yield f"{MANIFEST}: says that there are {manifest['records']!r} records, and there are not"
        yield from check_records(pack, manifest, head, note)
        if OPENED in pack.names():
            yield from check_opened(pack, manifest)
        yield from check_policies(pack)
    except Broken as error:
        yield str(error)
    except zipfile.BadZipFile as error:
        yield f"{place.name}: is no whole zip file ({error})"
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        yield f"{MANIFEST}: does not describe this pack ({type(error).__name__}: {error})"


def main(arguments: list[str] | None = None) -> int:
    """Verify the pack that the command line names; gives the exit code."""
    parser = argparse.ArgumentParser(description="Verify an evidence pack of decisions.")
    parser.add_argument("pack", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--key", help="the log's verifier key, text or @FILE")
    given = parser.parse_args(arguments)
    key: str | None = given.key
    if not given.pack.exists():
        parser.error(f"{given.pack} is not there")
    if key is not None and key.startswith("@"):
        try:
            key = Path(key[1:]).read_text("utf-8")
        except (OSError, ValueError) as error:
            parser.error(f"cannot read the key: {error}")
    if key is not None and key_of(key) is None:
        parser.error(f"--key: {key.strip()[:200]!r} is not the verifier key of a log; it reads name+id+base64")
    found = list(problems(given.pack, key or ""))
    for problem in found:
        print(problem)
    if found:
        print("\nTHIS PACK DOES NOT HOLD")
        return 5
    manifest = json.loads(Pack(given.pack).read(MANIFEST))
    print(f"log      {manifest['origin']}\nrecords  {manifest['records']} of {manifest['size']}")
    print(f"root     {manifest['root']}")
    print("\neverything in this pack holds")
    if key is None:
        print(f"but the key was the pack's own; compare it with one from elsewhere:\n{manifest['key']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
