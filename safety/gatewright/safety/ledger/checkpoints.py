"""Checkpoints: signed statements of how long the ledger is and what its root is.

The formats are C2SP's, so that other tools and public witnesses understand them: signed-note, tlog-checkpoint and
tlog-cosignature (https://c2sp.org). Nothing here keeps a file: keys and notes are text, times are handed in.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gatewright.agents.errors import IntegrityError, UsageError

from . import merkle

Purpose = Literal["log", "witness"]
"""`log`: signs checkpoints of its own log (Ed25519, type 0x01) · `witness`: cosigns those of others, with a time
(cosignature/v1, type 0x04). A key serves one purpose only."""

MAX_SIGNATURES = 64  # in one note; the format asks for at least 16
MAX_NOTE = 256 * 1024  # characters

_TYPES: Mapping[Purpose, bytes] = {"log": b"\x01", "witness": b"\x04"}
_PURPOSES: Mapping[bytes, Purpose] = {code: purpose for purpose, code in _TYPES.items()}
_ED25519_SIZE = 32  # bytes of a public key and of a private seed
_PRIVATE = "PRIVATE+KEY+"
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f\ud800-\udfff]+")
_SIGNATURE_LINE = re.compile(r"— (\S+) ([A-Za-z0-9+/]+={0,2})")
_FORBIDDEN = re.compile(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]")  # control characters, and what is not UTF-8
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


def from_base64(text: str) -> bytes | None:
    """The bytes, or None: only the one spelling that encoding them again gives is accepted."""
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        return None
    return data if b64encode(data).decode() == text else None


@dataclass(frozen=True)
class VerifierKey:
    """The public half of a key: what auditors and witnesses hold. `str()` gives the text to hand out.

    >>> key = VerifierKey.parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    >>> key.name, key.purpose
    ('example.com/foo', 'log')
    """

    name: str
    purpose: Purpose
    public: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `name+id+key` (C2SP signed-note, "verifier keys").

        Raises:
            UsageError: it is malformed, or of a type other than Ed25519 and cosignature/v1.
        """
        name, identity, purpose, public = _key_parts(text.strip(), "a verifier key")
        key = cls(name, purpose, public)
        if key.id.hex() != identity:
            raise UsageError(f"verifier key {name!r} says id {identity!r} but has {key.id.hex()!r}; copy it again")
        return key

    @property
    def id(self) -> bytes:
        """Four bytes that tell keys of one name apart; no protection against a forger."""
        return sha256(self.name.encode() + b"\n" + _TYPES[self.purpose] + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64encode(_TYPES[self.purpose] + self.public).decode()}"

    def verify(self, text: str, signature: bytes) -> int | None:
        """Check a signature over a note's text; gives the time of a cosignature in POSIX seconds, else None.

        Raises:
            IntegrityError: the signature is not this key's over this text.
        """
        message, at = text.encode(), None
        if self.purpose == "witness":
            at, signature = int.from_bytes(signature[:8], "big"), signature[8:]
            message = _cosigned(text, at)
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            raise IntegrityError(f"the signature of {self.name!r} does not belong to this note") from None
        return at


@dataclass(frozen=True)
class SigningKey:
    """The private half of a key. Whoever has it can sign any history: keep it from those who run the database."""

    name: str
    purpose: Purpose
    seed: bytes = field(repr=False)

    @classmethod
    def generate(cls, name: str, *, purpose: Purpose = "log") -> Self:
        """A new key. `name` is the log's origin or the witness's name, a URL without scheme by custom.

        Raises:
            UsageError: the name is empty or holds white space or `+`.
        """
        _check_name(name)
        return cls(name, purpose, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def load(cls, text: str) -> Self:
        """Read what `dump` wrote.

        Raises:
            UsageError: it is malformed. The message does not repeat the text.
        """
        text = text.strip()
        if not text.startswith(_PRIVATE):
            raise UsageError(f"a signing key begins with {_PRIVATE!r}; this may be a verifier key or another file")
        name, identity, purpose, seed = _key_parts(text.removeprefix(_PRIVATE), "a signing key")
        key = cls(name, purpose, seed)
        if key.verifier.id.hex() != identity:
            raise UsageError(f"signing key {name!r} says id {identity!r} but has {key.verifier.id.hex()!r}")
        return key

    def dump(self) -> str:
        """The secret as one line of text, in the note key format `PRIVATE+KEY+name+id+key`."""
        secret = b64encode(_TYPES[self.purpose] + self.seed).decode()
        return f"{_PRIVATE}{self.name}+{self.verifier.id.hex()}+{secret}"

    @property
    def verifier(self) -> VerifierKey:
        """The public half, for auditors and witnesses."""
        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()
        return VerifierKey(self.name, self.purpose, public)

    def signature_line(self, text: str, *, at: int | None = None) -> str:
        """A signature over a note's text, as the line to append to the note.

        Args:
            at: POSIX seconds; exactly witnesses state one.
        """
        if (at is None) != (self.purpose == "log"):
            raise UsageError(f"a {self.purpose} key {'states no' if at is not None else 'must state a'} time")
        message = text.encode() if at is None else _cosigned(text, at)
        stamp = b"" if at is None else at.to_bytes(8, "big")
        signature = Ed25519PrivateKey.from_private_bytes(self.seed).sign(message)
        return f"— {self.name} {b64encode(self.verifier.id + stamp + signature).decode()}\n"


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"key name {name!r} must be non-empty, without white space or '+', like 'example.org/ledger'")


def _key_parts(text: str, what: str) -> tuple[str, str, Purpose, bytes]:
    parts = text.split("+", 2)  # base64 may hold further plus signs
    data = from_base64(parts[2]) if len(parts) == 3 else None
    if data is None:
        raise UsageError(f"{what} has the form name+id+base64; this has not")
    purpose = _PURPOSES.get(data[:1])
    if purpose is None or len(data) != 1 + _ED25519_SIZE:
        raise UsageError(f"{what} of {parts[0]!r} is not Ed25519 (type 0x01) nor cosignature/v1 (type 0x04)")
    _check_name(parts[0])
    return parts[0], parts[1], purpose, data[1:]


def _cosigned(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """How long a log is and what its root is. `str()` gives the text that is signed (C2SP tlog-checkpoint)."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a checkpoint.

        Raises:
            IntegrityError: it is malformed. Extension lines are refused: nobody could audit what they say.
        """
        lines = text.split("\n")
        root = from_base64(lines[2]) if len(lines) == 4 else None
        if root is None or len(root) != merkle.HASH_SIZE or lines[3] or not lines[0] or not _SIZE.fullmatch(lines[1]):
            raise IntegrityError(f"not a checkpoint (three lines: origin, size, root): {text[:200]!r}")
        return cls(origin=lines[0], size=int(lines[1]), root=root)

    def __str__(self) -> str:
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A signature that was verified. `at`: POSIX seconds that a witness states, None for a log's own."""

    key: VerifierKey
    at: int | None


@dataclass(frozen=True, kw_only=True)
class Note:
    """A text with the signatures on it that were verified; those of unknown keys are left out."""

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, kw_only=True)
class SignedCheckpoint:
    """A checkpoint that its log signed, with the cosignatures of known witnesses."""

    checkpoint: Checkpoint
    cosignatures: tuple[Signature, ...]


def sign(checkpoint: Checkpoint, key: SigningKey) -> str:
    """The checkpoint as a signed note.

    Raises:
        UsageError: the key is a witness's or another log's.
    """
    if key.purpose != "log" or key.name != checkpoint.origin:
        raise UsageError(f"the {key.purpose} key {key.name!r} cannot sign checkpoints of log {checkpoint.origin!r}")
    text = str(checkpoint)
    return f"{text}\n{key.signature_line(text)}"


def open_note(note: str, keys: Collection[VerifierKey]) -> Note:
    """Verify a signed note (C2SP signed-note) against the keys that one trusts.

    Raises:
        IntegrityError: it is malformed, a known key's signature is wrong, or no known key signed it.
    """
    text, separator, signed = note.rpartition("\n\n")
    lines = signed.split("\n")
    if not separator or lines.pop() or not lines or len(note) > MAX_NOTE or _FORBIDDEN.search(note):
        raise IntegrityError(f"not a signed note (text, empty line, signature lines): {note[:200]!r}")
    if len(lines) > MAX_SIGNATURES:
        raise IntegrityError(f"a note with {len(lines)} signatures; at most {MAX_SIGNATURES} are accepted")
    text += "\n"
    known = {(key.name, key.id): key for key in keys}
    verified: dict[VerifierKey, Signature] = {}
    for line in lines:
        match = _SIGNATURE_LINE.fullmatch(line)
        data = from_base64(match[2]) if match else None
        if match is None or data is None or len(data) < 5:
            raise IntegrityError(f"not a signature line of a note: {line[:200]!r}")
        key = known.get((match[1], data[:4]))
        if key is not None:
            verified[key] = Signature(key=key, at=key.verify(text, data[4:]))
    if not verified:
        raise IntegrityError(
            f"no known key signed this note; known are {sorted(key.name for key in keys)}, "
            f"it is signed by {sorted(line.split(' ')[1] for line in lines)}"
        )
    return Note(text=text, signatures=tuple(verified.values()))


def open_checkpoint(note: str, keys: Collection[VerifierKey]) -> SignedCheckpoint:
    """Verify a signed checkpoint. `keys` are the log's (old ones too, where it changed them) and its witnesses'.

    Raises:
        IntegrityError: as `open_note`, the text is no checkpoint, or the log itself (the `log` key whose name is the
            origin) did not sign it.
    """
    opened = open_note(note, keys)
    checkpoint = Checkpoint.parse(opened.text)
    if not any(each.key.purpose == "log" and each.key.name == checkpoint.origin for each in opened.signatures):
        raise IntegrityError(f"log {checkpoint.origin!r} did not sign this checkpoint with a known key")
    cosignatures = tuple(each for each in opened.signatures if each.key.purpose == "witness")
    return SignedCheckpoint(checkpoint=checkpoint, cosignatures=cosignatures)
