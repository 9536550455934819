"""Witnesses: somebody outside who remembers the last checkpoint of a log and cosigns only what continues it.

C2SP tlog-witness (https://c2sp.org/tlog-witness) without the HTTP: requests and answers are text.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence

from gatewright.agents.errors import ConflictError, IntegrityError, UsageError

from . import merkle
from .checkpoints import Checkpoint, SigningKey, VerifierKey, from_base64, open_checkpoint

MAX_PROOF = 63  # hashes; enough for 2**63 records

_REQUEST = re.compile(r"old (0|[1-9][0-9]{0,18})\n((?:[A-Za-z0-9+/=]+\n)*)\n(.*)", re.DOTALL)


def request(old: int, proof: Sequence[bytes], note: str) -> str:
    """What a log asks a witness, as one text: the body of C2SP's `add-checkpoint`.

    Args:
        old: the size that the witness cosigned last, 0 if it does not know the log.
        proof: the consistency proof from `old` to the checkpoint's size; empty from 0.
        note: the signed checkpoint.
    """
    return f"old {old}\n" + "".join(f"{b64encode(each).decode()}\n" for each in proof) + f"\n{note}"


class Witness:
    """Cosigns checkpoints, each only if it continues the last one seen.

    Runs where the operator of the log has no access. `seen` is its whole memory; store it before giving a line away,
    for a witness that forgets can be shown a second history.
    """

    def __init__(
        self, key: SigningKey, logs: Collection[VerifierKey], seen: Mapping[str, Checkpoint] | None = None
    ) -> None:
        if key.purpose != "witness":
            raise UsageError(
                f"key {key.name!r} is a log's; make one with `SigningKey.generate(..., purpose='witness')`"
            )
        self._key = key
        self._logs = tuple(logs)
        self._seen = dict(seen or {})

    @property
    def seen(self) -> Mapping[str, Checkpoint]:
        """The last checkpoint of each log, by origin."""
        return dict(self._seen)

    def cosign(self, note: str, proof: Sequence[bytes], *, at: int) -> str:
        """Check a checkpoint against the last one of its log and give the cosignature line to append to the note.

        Args:
            proof: the consistency proof from the size last seen; empty for a log that was not seen before, or was
                empty.
            at: POSIX seconds now.

        Raises:
            IntegrityError: the log did not sign it, went backwards, or changed what it said before. The witness's
                memory is as it was.
        """
        checkpoint = open_checkpoint(note, self._logs).checkpoint
        last = self._seen.get(checkpoint.origin)
        if checkpoint.size == 0 and checkpoint.root != merkle.EMPTY_ROOT:
            raise IntegrityError(
                f"log {checkpoint.origin!r}: an empty log has another root than {checkpoint.root.hex()}"
            )
        if last is None or last.size == 0:
            if proof:
                raise IntegrityError(f"log {checkpoint.origin!r} was not seen before; its first proof must be empty")
        elif checkpoint.size < last.size:
            raise IntegrityError(
                f"log {checkpoint.origin!r} went backwards: {last.size} records were seen, now it has {checkpoint.size}"
            )
        else:
            merkle.verify_consistency(last.size, checkpoint.size, proof, last.root, checkpoint.root)
        self._seen[checkpoint.origin] = checkpoint
        return self._key.signature_line(str(checkpoint), at=at)

    def answer(self, text: str, *, at: int) -> str:
        """Answer a `request` with the cosignature line.

        Raises:
            UsageError: the request is malformed.
            ConflictError: it starts from another size than the witness saw last, which the message names; ask again
                from there.
            IntegrityError: as `cosign`.
        """
        match = _REQUEST.fullmatch(text)
        proof = [from_base64(line) for line in match[2].splitlines()] if match else []
        if match is None or len(proof) > MAX_PROOF or None in proof:
            raise UsageError(
                "not a witness request: a line `old SIZE`, up to 63 proof lines in base64, an empty line, a checkpoint"
            )
        checkpoint = open_checkpoint(match[3], self._logs).checkpoint
        last = self._seen.get(checkpoint.origin)
        size = last.size if last else 0
        if int(match[1]) != size:
            raise ConflictError(f"log {checkpoint.origin!r}: ask from size {size}, the last one seen, not {match[1]}")
        return self.cosign(match[3], [each for each in proof if each is not None], at=at)
