"""Verifying the ledger offline: stored leaves against checkpoints, with public keys alone.

What is hashed is the stored bytes, never a re-encoding. Everything streams, so a log need not fit in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from gatewright.agents.errors import IntegrityError, UsageError

from . import merkle
from .checkpoints import Checkpoint, VerifierKey, open_checkpoint
from .merkle import Frontier
from .records import Record, check_seal, decode

Problem = Literal["changed", "missing", "disordered", "rewritten", "truncated", "checkpoint", "withdrawn", "unsigned"]
"""`changed`: a record's bytes are not those that were hashed when it was stored · `missing`: an index is left out ·
`disordered`: an index is out of order or appears twice · `rewritten`: the records do not lead to the root of a
checkpoint · `truncated`: a checkpoint was signed for more records than there are · `checkpoint`: a note is malformed,
or signed by nobody known · `withdrawn`: a checkpoint that was held is newer than all that the log still shows ·
`unsigned`: no good checkpoint vouches for any record, or none that a witness was asked for cosigned."""

SealState = Literal["matches", "erased", "changed", "unsealed"]
"""`matches`: the value is the one committed to · `erased`: there is a commitment and no value any more · `changed`:
another value · `unsealed`: a value for which the record holds no commitment."""


class StoredLeaf(NamedTuple):
    """A record as the store gives it. `position`: its index in the log · `hash`: the leaf hash stored beside it."""

    position: int
    data: bytes
    hash: bytes


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong. The bad record is from `first` to `last` inclusive; None where no index can be told."""

    problem: Problem
    message: str
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """What verification found.

    `size` and `root` are those of the stored records · `signed`: how many of them, from the first, a good checkpoint
    vouches for; the rest is too new to be covered · `witnessed`: how many all witnesses cosigned.
    """

    size: int
    root: bytes
    signed: int
    witnessed: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def first_bad_index(self) -> int | None:
        """The lowest index at which something may be wrong; the findings say how exactly it is known."""
        return min((finding.first for finding in self.findings if finding.first is not None), default=None)

    def require(self) -> None:
        """Raise what was found.

        Raises:
            IntegrityError: something is wrong; `index` is `first_bad_index`.
        """
        if self.findings:
            raise IntegrityError("\n".join(each.message for each in self.findings), index=self.first_bad_index)


@dataclass(frozen=True)
class _Claim:
    """A checkpoint whose signature is good: what the log is said to be."""

    checkpoint: Checkpoint
    held: bool
    cosigned: bool

    @property
    def name(self) -> str:
        return f"{'held' if self.held else 'stored'} checkpoint of size {self.checkpoint.size}"


@dataclass
class _Roots:
    """Compares the growing log with the claims about it."""

    claims: list[_Claim]  # smallest first
    checked: int = 0
    witnessed: int = 0
    good: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})  # largest size of each source, by `held`
    bad: dict[bool, Finding] = field(default_factory=dict[bool, Finding])  # the first of each source

    @property
    def due(self) -> int:
        """The size at which `check` must be called next; -1 when there is none."""
        return self.claims[self.checked].checkpoint.size if self.checked < len(self.claims) else -1

    @property
    def signed(self) -> int:
        return max(self.good.values())

    def check(self, frontier: Frontier) -> None:
        size, root = frontier.size, frontier.root()
        while self.due == size:
            claim = self.claims[self.checked]
            self.checked += 1
            if claim.checkpoint.root == root:
                self.good[claim.held] = size
                if claim.cosigned:
                    self.witnessed = size
            elif claim.held not in self.bad:
                self.bad[claim.held] = self._rewritten(claim, root)

    def _rewritten(self, claim: _Claim, root: bytes) -> Finding:
        # A stored checkpoint may have been signed anew by who rewrote the log: it narrows nothing down for a held one.
        first = self.good[True] if claim.held else self.signed
        last = max(claim.checkpoint.size - 1, 0)
        return Finding(
            problem="rewritten",
            message=f"from record {first} to {last}, one or more were changed, dropped, inserted or reordered: "
            f"they lead to root {root.hex()}, the {claim.name} says {claim.checkpoint.root.hex()}",
            first=first,
            last=last,
        )


def _open(
    notes: Iterable[str], keys: Collection[VerifierKey], witnesses: Collection[VerifierKey], held: bool
) -> tuple[list[_Claim], list[Finding]]:
    claims: list[_Claim] = []
    findings: list[Finding] = []
    for number, note in enumerate(notes):
        try:
            signed = open_checkpoint(note, [*keys, *witnesses])
        except IntegrityError as error:
            source = "held" if held else "stored"
            findings.append(Finding(problem="checkpoint", message=f"{source} checkpoint {number}: {error}"))
            continue
        cosigners = {each.key for each in signed.cosignatures}
        claims.append(_Claim(signed.checkpoint, held, bool(witnesses) and cosigners.issuperset(witnesses)))
    return claims, findings


def _misplaced(leaf: StoredLeaf, expected: int) -> Finding:
    if leaf.position > expected:
        last = leaf.position - 1
        which = f"record {expected} is" if last == expected else f"records {expected} to {last} are"
        return Finding(problem="missing", message=f"{which} missing", first=expected, last=last)
    return Finding(
        problem="disordered",
        message=f"record {leaf.position} comes where record {expected} should be",
        first=leaf.position,
        last=expected,
    )


def verify_log(
    leaves: Iterable[StoredLeaf],
    checkpoints: Iterable[str],
    keys: Collection[VerifierKey],
    *,
    held: Iterable[str] = (),
    witnesses: Collection[VerifierKey] = (),
) -> Report:
    """Verify a whole log.

    Args:
        leaves: every record, in the order of the log; read once.
        checkpoints: the signed notes that are stored with the log.
        keys: the log's verifier keys, old ones too where it changed them; all of one origin.
        held: signed notes that were kept where the log's operator could not touch them. They may be older or
            newer than the log as it is: each must be a stage of it.
        witnesses: keys of witnesses who all must have cosigned a checkpoint.

    Raises:
        UsageError: no key, keys of several origins, or of the wrong purpose.
    """
    _check_keys(keys, witnesses)
    claims, findings = _open(checkpoints, keys, witnesses, held=False)
    held_claims, held_findings = _open(held, keys, witnesses, held=True)
    claims = sorted([*claims, *held_claims], key=lambda claim: claim.checkpoint.size)
    findings += held_findings

    roots, frontier = _Roots(claims), Frontier()
    expected = 0
    if roots.due == 0:
        roots.check(frontier)
    due = roots.due
    for leaf in leaves:
        if leaf.position != expected:
            findings.append(_misplaced(leaf, expected))
        actual = merkle.leaf_hash(leaf.data)
        if actual != leaf.hash:
            findings.append(
                Finding(
                    problem="changed",
                    message=f"record {leaf.position}: its bytes hash to {actual.hex()}, stored is {leaf.hash.hex()}",
                    first=leaf.position,
                    last=leaf.position,
                )
            )
        frontier.append(actual)
        expected = max(expected, leaf.position) + 1
        if frontier.size == due:
            roots.check(frontier)
            due = roots.due

    findings += roots.bad.values()
    findings += _absences(roots, frontier.size, bool(witnesses))
    findings.sort(key=lambda finding: (finding.first is None, finding.first or 0))
    return Report(
        size=frontier.size,
        root=frontier.root(),
        signed=roots.signed,
        witnessed=roots.witnessed,
        findings=tuple(findings),
    )


def _check_keys(keys: Collection[VerifierKey], witnesses: Collection[VerifierKey]) -> None:
    names = sorted({key.name for key in keys})
    if len(names) != 1:
        raise UsageError(f"a log is verified with the keys of one origin, not of {names}; name the log's own")
    for key in (*keys, *witnesses):
        purpose = "witness" if key in witnesses else "log"
        if key.purpose != purpose:
            raise UsageError(f"key {key.name!r} is a {key.purpose} key where a {purpose} key is needed")


def _absences(roots: _Roots, size: int, witnessed: bool) -> Iterable[Finding]:
    """What should be there and is not: records, checkpoints, signatures."""
    newest = {claim.held: claim for claim in roots.claims}  # smallest first, so the largest stays
    beyond = [claim for claim in newest.values() if claim.checkpoint.size > size]
    if beyond:
        claim = max(beyond, key=lambda claim: claim.checkpoint.size)
        yield Finding(
            problem="truncated",
            message=f"records {size} to {claim.checkpoint.size - 1} were cut off: the {claim.name} was signed for more",
            first=size,
            last=claim.checkpoint.size - 1,
        )
    if True in newest:
        shown = newest[False].checkpoint.size if False in newest else 0
        kept = newest[True].checkpoint.size
        if kept > shown:
            yield Finding(
                problem="withdrawn",
                message=f"the newest checkpoint that the log shows is of size {shown}, one of size {kept} is held",
            )
    if size and not roots.signed and not roots.bad and not beyond:
        yield Finding(problem="unsigned", message=f"no checkpoint vouches for any of the {size} records", first=0)
    elif size and witnessed and not roots.witnessed:
        yield Finding(problem="unsigned", message="no good checkpoint of this log was cosigned by all the witnesses")


def verify_record(
    data: bytes, position: int, proof: Sequence[bytes], note: str, keys: Collection[VerifierKey]
) -> Record:
    """Verify one record without the log: that it is record `position` of the log that signed the checkpoint `note`.

    Args:
        proof: from `merkle.inclusion_proof`, for the size of the checkpoint.

    Raises:
        IntegrityError: the note, the proof or the record does not hold.
    """
    checkpoint = open_checkpoint(note, keys).checkpoint
    merkle.verify_inclusion(merkle.leaf_hash(data), position, checkpoint.size, proof, checkpoint.root)
    return decode(data)


class Opened(NamedTuple):
    """A sealed value as it is kept beside the log."""

    salt: bytes
    value: bytes


def verify_seals(sealed: Mapping[str, str], opened: Mapping[str, Opened]) -> dict[str, SealState]:
    """How each sealed field of a record stands, by name.

    Args:
        sealed: the commitments, `Record.sealed`.
        opened: the values that are still kept.
    """
    states: dict[str, SealState] = {}
    for name in sorted({*sealed, *opened}):
        if name not in opened:
            states[name] = "erased"
        elif name not in sealed:
            states[name] = "unsealed"
        else:
            try:
                check_seal(sealed[name], *opened[name])
                states[name] = "matches"
            except IntegrityError:
                states[name] = "changed"
    return states
