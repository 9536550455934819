"""Verifying: a whole log of a million records by the one-file verifier, beside nothing but hashing its records.

The reference reads the same file and hashes each record once, in a plain loop: what nobody who verifies records one by
one can do without. The verifier hashes as many inner nodes besides, and checks the signature.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from gatewright.runtime.evidence import verify
from gatewright.safety.canonical import JsonValue, canonical
from gatewright.safety.ledger.checkpoints import Checkpoint, SigningKey, sign
from gatewright.safety.ledger.records import EffectPart, GuardPart, Judgement, Record, RuleOutcome

from .figures import Bar, Figure, compare, say, take_turns
from .program import Setting, main

RECORDS = 1_000_000
ORIGIN = "benchmark.local/decisions"
NUMBER = "000000000000"  # what tells records apart


def leaf() -> bytes:
    """The record of a tool call, as the chain writes it."""
    record = Record(
        kind="effect",
        time="2026-08-19T12:00:00.000000Z",
        deployment="claims",
        agent="adjuster",
        run_id=f"run-{NUMBER}",
        thread_id=f"thread-{NUMBER}",
        case_id=f"thread-{NUMBER}",
        step="adjuster/tools:3",
        effect=EffectPart(kind="tool", name="pay_claim", key=f"adjuster/tools:3/0/{NUMBER}", digest="d" * 64),
        guard=GuardPart(
            before=Judgement(
                verdict="allow",
                pack="claims@1#" + "e" * 64,
                rules=(RuleOutcome(id="payout-limit", verdict="allow", reason="below what needs a person"),),
            ),
            after=Judgement(verdict="allow", pack="claims@1#" + "e" * 64),
        ),
        outcome="ok",
        duration_ms=41,
        sealed={"args": "a" * 64, "result": "b" * 64},
    )
    return record.encode()


def fill(folder: Path, count: int) -> None:
    """Write a pack of a whole log with so many records."""
    folder.mkdir()
    template = leaf()

    def lines() -> Iterator[bytes]:
        for number in range(count):
            yield template.replace(NUMBER.encode(), b"%012d" % number) + b"\n"

    with (folder / verify.RECORDS).open("wb") as stream:
        stream.writelines(lines())
    with (folder / verify.RECORDS).open("rb") as written:
        size, root = verify.root_of(written)
    key = SigningKey.generate(ORIGIN)
    note = sign(Checkpoint(origin=ORIGIN, size=size, root=root), key)
    manifest: dict[str, JsonValue] = {
        "origin": ORIGIN,
        "key": str(key.verifier),
        "size": size,
        "root": root.hex(),
        "complete": True,
        "records": size,
    }
    (folder / verify.CHECKPOINT).write_text(note, "utf-8")
    (folder / verify.MANIFEST).write_bytes(canonical(manifest))
    sums = [
        f"{sha256((folder / name).read_bytes()).hexdigest()}  {name}" for name in (verify.CHECKPOINT, verify.MANIFEST)
    ]
    (folder / verify.SUMS).write_text("".join(f"{line}\n" for line in sums), "utf-8")


async def measure(setting: Setting) -> Sequence[Figure]:
    """Both sides in turns, on one file."""
    count, pack = setting.size(RECORDS, 5_000), setting.folder / "pack"
    say(f"verifying: writing {count} records of {len(leaf())} bytes")
    fill(pack, count)

    async def ours() -> float:
        began = time.process_time()
        problems = list(verify.problems(pack))
        taken = time.process_time() - began
        assert not problems, json.dumps(problems)
        return count / taken

    async def hashing() -> float:
        began = time.process_time()
        with (pack / verify.RECORDS).open("rb") as stream:
            for line in stream:
                sha256(line).digest()
        return count / (time.process_time() - began)

    say("verifying: in turns")
    pairs = await take_turns(ours, hashing, setting.size(5, 1))
    return [compare("records_verified", "/CPU s", pairs, Bar(value=0.6, sense="at least"))]


if __name__ == "__main__":
    main(measure, __doc__)
