"""Policy artefacts: a learned policy as a file of plain arrays and a JSON manifest, named by what it holds.

The file is a zip without compression: `manifest.json` (canonical JSON, RFC 8785), `arrays/NAME.npy` (NumPy's format
1.0 with a head of 128 bytes, never pickled) and `version`. The version is the SHA-256 of `manifest.json`, which holds
that of every array, so `unzip -p FILE manifest.json | sha256sum` checks it without Gatewright. Equal policies give
equal bytes.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gatewright.agents.errors import GatewrightError, IntegrityError, UnavailableError, UsageError
from gatewright.runtime.files import replacing
from gatewright.safety import canonical

from . import MOST_EXPLORATION, networks
from .encoding import Encoding
from .networks import Architecture, Network

LARGEST = 64 * 2**20  # bytes of a file, and of what it holds
LARGEST_MANIFEST = 2**20  # bytes

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Part(BaseModel):
    """A part of the manifest; unknown keys are errors, so that nothing is believed that is not understood."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Serving(Part):
    """How the policy chooses among the open options; closed ones get no probability.

    `greedy`: the best one. `epsilon-greedy`: the best one, but with the probability `exploration` any open one, each
    as likely. `sample`: by the softmax of the logits, but anything other than the best one together with a probability
    of `exploration` at most.
    """

    mode: Literal["greedy", "epsilon-greedy", "sample"] = "greedy"
    exploration: Annotated[float, Field(ge=0, le=MOST_EXPLORATION)] = 0.0

    @model_validator(mode="after")
    def _declared(self) -> Serving:
        if (self.mode == "greedy") != (self.exploration == 0):
            raise ValueError(f"mode {self.mode!r} does not go with an exploration of {self.exploration!r}")
        return self


class Data(Part):
    """What the policy was trained on.

    `source`: a suite, an episode file or a query. `ledger_root` is the root hash of the ledger with `ledger_size`
    records, of which those from `first` to `last` (inclusive) were used; `sha256` that of a file.
    """

    source: str
    decisions: Annotated[int, Field(ge=0)]
    first: Annotated[int, Field(ge=0)] | None = None
    last: Annotated[int, Field(ge=0)] | None = None
    ledger_size: Annotated[int, Field(ge=0)] | None = None
    ledger_root: Digest | None = None
    sha256: Digest | None = None


class Origin(Part):
    """Where the policy comes from, enough to train it again.

    `threads` of the library that trained it, which weights may depend on. `versions` of the libraries. `parent`: the
    version of the policy that it was trained from, or replaces. `metrics`: as evaluated, by name.
    """

    algorithm: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    seeds: tuple[int, ...] = ()
    threads: Annotated[int, Field(ge=1)] | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    settings: dict[str, bool | int | float | str | None] = Field(default_factory=dict)
    data: Data | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    parent: Digest | None = None


class Stored(Part):
    """An array in the file. `sha256` is that of its `.npy` bytes."""

    dtype: Literal["<f4", "<i8"]
    shape: Annotated[tuple[Annotated[int, Field(ge=0, le=LARGEST)], ...], Field(min_length=1, max_length=2)]
    sha256: Digest


class Manifest(Part):
    """All about a policy but its numbers."""

    format: Literal["gatewright-policy/1"] = "gatewright-policy/1"
    point: str
    options: Annotated[tuple[str, ...], Field(min_length=1)]
    encoding: Encoding
    features_digest: Digest
    mask: Literal["closed options get no probability"] = "closed options get no probability"
    serving: Serving
    architecture: Architecture
    arrays: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")], Stored]
    origin: Origin


@dataclass(frozen=True, kw_only=True, eq=False)
class Artefact:
    """A policy with its manifest. Make one with `compose`."""

    manifest: Manifest
    network: Network
    version: str

    def save(self, path: Path) -> None:
        """Write it to a file, which is replaced at once or not at all.

        Raises:
            UnavailableError: it cannot be written.
        """
        try:
            with replacing(path) as draft:
                draft.write_bytes(self.content())
        except OSError as error:
            raise UnavailableError(f"cannot write the policy {str(path)!r}: {error.strerror}") from error

    def content(self) -> bytes:
        """The bytes of its file."""
        members = {"version": f"{self.version}\n".encode(), "manifest.json": _canonical(self.manifest)}
        members |= {f"arrays/{name}.npy": _npy(array) for name, array in sorted(self.network.arrays().items())}
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for name, content in members.items():
                member = zipfile.ZipInfo(name)  # of 1980: the same bytes whenever it is written
                member.create_system, member.external_attr = 3, 0o100644 << 16
                archive.writestr(member, content)
        return buffer.getvalue()


def compose(
    network: Network,
    *,
    point: str,
    options: Sequence[str],
    encoding: Encoding,
    origin: Origin,
    serving: Serving | None = None,
) -> Artefact:
    """The artefact of a trained network, greedy unless `serving` says otherwise.

    Raises:
        UsageError: the network reads other columns than the encoding gives, tells other options apart, or is not made
            of float32.
    """
    network = networks.build(network.architecture, network.arrays())
    _check_size(network, encoding, options)
    manifest = Manifest(
        point=point,
        options=tuple(options),
        encoding=encoding,
        features_digest=encoding.digest,
        serving=serving or Serving(),
        architecture=network.architecture,
        arrays={name: _stored(array) for name, array in network.arrays().items()},
        origin=origin,
    )
    return Artefact(manifest=manifest, network=network, version=sha256(_canonical(manifest)).hexdigest())


def load(path: Path, *, version: str | None = None) -> Artefact:
    """The policy in a file, checked against the digests that it holds, and against `version` where one is given.

    Nothing of it is executed: a pickled array is refused, and files of Stable-Baselines3, which unpickle, are, too.

    Raises:
        UnavailableError: there is no such file, or it cannot be read.
        UsageError: it is something else than a policy.
        IntegrityError: it is damaged or was changed, or is another version than the one that was asked for.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= LARGEST else b""
    except OSError as error:
        raise UnavailableError(f"cannot read the policy {str(path)!r}: {error.strerror}") from error
    if size > LARGEST:
        raise UsageError(f"{str(path)!r} has {size} bytes; a policy has at most {LARGEST}")
    try:
        found = parse(content)
    except GatewrightError as error:
        raise type(error)(f"{str(path)!r}: {error}") from error
    if version is not None and found.version != version:
        raise IntegrityError(f"{str(path)!r} is version {found.version}, not {version}; fetch the one that is meant")
    return found


def parse(content: bytes) -> Artefact:
    """The policy that a file of these bytes holds.

    Raises:
        UsageError, IntegrityError: as `load`.
    """
    members = _members(content)
    written = members.pop("manifest.json")
    version = sha256(written).hexdigest()
    if members.pop("version").decode("ascii", "replace").strip() != version:
        raise IntegrityError("the manifest is not the one that the version was made of; it was changed or is damaged")
    manifest = _manifest(written)
    if set(members) != {f"arrays/{name}.npy" for name in manifest.arrays}:
        raise IntegrityError(f"it holds {sorted(members)}, and its manifest names {sorted(manifest.arrays)}")
    arrays = {name: _array(name, members[f"arrays/{name}.npy"], stored) for name, stored in manifest.arrays.items()}
    try:
        network = networks.build(manifest.architecture, arrays)
        _check_size(network, manifest.encoding, manifest.options)
    except UsageError as error:
        raise IntegrityError(f"its arrays do not make the network of its manifest: {error}") from error
    return Artefact(manifest=manifest, network=network, version=version)


def _members(content: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            names = [info.filename for info in infos]
            if "policy.pth" in names:
                raise UsageError(
                    "it is a file of Stable-Baselines3, whose loading executes what it holds; load it where it was "
                    "trained, and save its weights as a policy of Gatewright"
                )
            if not {"manifest.json", "version"} <= set(names) or len(set(names)) != len(names):
                raise UsageError(f"it is no policy: a zip with {names[:8]}, not with `manifest.json` and `version`")
            if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos):
                raise UsageError("it is compressed or encrypted, which a policy is not")
            if sum(info.file_size for info in infos) > LARGEST:
                raise UsageError(f"it says that it holds more than the {LARGEST} bytes that a policy may")
            return {info.filename: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, OSError) as error:
        raise IntegrityError(
            f"it is no whole zip file: {error}; it is damaged, or something else than a policy"
        ) from error


def _manifest(written: bytes) -> Manifest:
    if len(written) > LARGEST_MANIFEST:
        raise UsageError(f"its manifest has {len(written)} bytes; one has at most {LARGEST_MANIFEST}")
    try:
        manifest = Manifest.model_validate_json(written)
    except ValidationError as error:
        raise UsageError(f"its manifest cannot be understood: {_first(error)}") from error
    if manifest.features_digest != manifest.encoding.digest:
        raise IntegrityError("the digest of its features is not that of its encoding; it was made or changed by hand")
    if _canonical(manifest) != written:  # saved again, it would be another version
        raise IntegrityError("its manifest is not in canonical form (RFC 8785); it was made or changed by hand")
    return manifest


def _first(error: ValidationError) -> str:
    [detail, *_] = error.errors(include_url=False, include_context=False)
    return f"{'.'.join(map(str, detail['loc'])) or 'it'}: {detail['msg']}"


def _canonical(manifest: Manifest) -> bytes:
    return canonical.canonical(json.loads(manifest.model_dump_json()))


def _stored(array: NDArray[Any]) -> Stored:
    return Stored.model_validate(
        {"dtype": array.dtype.str, "shape": array.shape, "sha256": sha256(_npy(array)).hexdigest()}
    )


def _npy(array: NDArray[Any]) -> bytes:
    return _head(array.dtype.str, array.shape) + array.tobytes()


def _head(dtype: str, shape: tuple[int, ...]) -> bytes:
    """How an array of one or two dimensions begins in NumPy's format 1.0 (`numpy.lib.format`), rows first."""
    said = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    return b"\x93NUMPY\x01\x00\x76\x00" + f"{said:<117}\n".encode()


def _array(name: str, content: bytes, stored: Stored) -> NDArray[Any]:
    """The array of `.npy` bytes. Their head is compared and never parsed: it could promise anything."""
    if sha256(content).hexdigest() != stored.sha256:
        raise IntegrityError(f"array {name!r} is not the one that its manifest names; it was changed or is damaged")
    head = _head(stored.dtype, stored.shape)
    if not content.startswith(head):
        raise IntegrityError(
            f"array {name!r} does not begin as one of {stored.dtype} {stored.shape}, which its manifest says that it "
            "is; pickled objects are never loaded"
        )
    dtype = np.dtype(stored.dtype)
    if len(content) - len(head) != dtype.itemsize * math.prod(stored.shape):
        raise IntegrityError(
            f"array {name!r} of shape {stored.shape} holds {len(content) - len(head)} bytes; it is damaged"
        )
    return np.frombuffer(content, dtype, offset=len(head)).reshape(stored.shape)


def _check_size(network: Network, encoding: Encoding, options: Sequence[str]) -> None:
    if network.columns != len(encoding.columns) or network.options != len(options):
        raise UsageError(
            f"the network reads {network.columns} columns and tells {network.options} options apart, but the features "
            f"have {len(encoding.columns)} and there are {len(options)} options"
        )
