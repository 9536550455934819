from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gatewright.agents.errors import IntegrityError, UnavailableError, UsageError
from gatewright.runtime.policies import artefact, networks
from gatewright.runtime.policies.artefact import Serving, compose
from gatewright.safety.canonical import canonical

from .conftest import ORIGIN, Make


def members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return buffer.getvalue()


def resealed(parts: dict[str, bytes], change: Callable[[dict[str, Any]], None] = lambda manifest: None) -> bytes:
    """With digests as somebody would write them who makes a file on purpose."""
    manifest = json.loads(parts["manifest.json"])
    for name, stored in manifest["arrays"].items():
        stored["sha256"] = sha256(parts[f"arrays/{name}.npy"]).hexdigest()
    change(manifest)
    written = canonical(manifest)
    return zipped(parts | {"manifest.json": written, "version": sha256(written).hexdigest().encode()})


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def test_a_saved_policy_is_loaded_as_it_was(make: Make, tmp_path: Path) -> None:
    made, path = make(), tmp_path / "triage.policy"
    made.save(path)
    found = artefact.load(path, version=made.version)
    assert found.manifest == made.manifest
    x = np.linspace(-1, 1, 30, dtype=np.float32).reshape(10, 3)
    assert (found.network.logits(x) == made.network.logits(x)).all()


def test_equal_policies_are_equal_bytes_and_other_weights_another_version(make: Make) -> None:
    assert make().content() == make().content()
    assert len({make().version, make(seed=1).version, make(Serving(mode="sample", exploration=0.1)).version}) == 3


def test_the_version_is_the_hash_of_the_manifest_and_that_holds_those_of_arrays(make: Make) -> None:
    made = make()
    parts = members(made.content())
    assert sha256(parts["manifest.json"]).hexdigest() == made.version
    stored = json.loads(parts["manifest.json"])["arrays"]
    assert stored["w0"]["sha256"] == sha256(parts["arrays/w0.npy"]).hexdigest()


def test_a_table_is_stored_too(make: Make) -> None:
    network = networks.table([[0.0], [], []], {1: [1, 2, 3]}, [0, 0, 0])
    made = compose(network, point="triage", options=("a", "b", "c"), encoding=make().manifest.encoding, origin=ORIGIN)
    found = artefact.parse(made.content())
    assert found.network.logits(np.array([1, 0, 0], np.float32)).tolist() == [1, 2, 3]


def test_a_flipped_bit_anywhere_is_noticed(make: Make) -> None:
    content = make().content()
    whole = members(content)
    for place in range(0, len(content), 97):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        try:
            found = artefact.parse(bytes(damaged))
        except (IntegrityError, UsageError):
            continue
        assert members(found.content()) == whole, place  # only what describes members (their dates) may differ


def test_a_truncated_file_is_refused(make: Make) -> None:
    content = make().content()
    with pytest.raises(IntegrityError, match="no whole zip file"):
        artefact.parse(content[: len(content) // 2])


@pytest.mark.parametrize("member", ["manifest.json", "arrays/w0.npy"])
def test_a_changed_member_is_refused(make: Make, member: str) -> None:
    parts = members(make().content())
    parts[member] = parts[member].replace(b"1", b"2", 1) if member.endswith("json") else parts[member][:-1] + b"\0"
    with pytest.raises(IntegrityError, match="was changed or is damaged"):
        artefact.parse(zipped(parts))


def test_another_version_than_the_one_asked_for_is_refused(make: Make, tmp_path: Path) -> None:
    make(seed=1).save(tmp_path / "p.policy")
    with pytest.raises(IntegrityError, match="is version .*, not .*; fetch the one"):
        artefact.load(tmp_path / "p.policy", version=make().version)


def test_a_pickled_array_is_refused_even_with_digests_that_fit(make: Make) -> None:
    parts = members(make().content())
    parts["arrays/b0.npy"] = npy(np.array([print] * 8, dtype=object))
    with pytest.raises(IntegrityError, match="pickled objects are never loaded"):
        artefact.parse(resealed(parts))


@pytest.mark.parametrize(
    "head",
    [b"((", b"-" * 9000 + b"1", b"{'descr': '<f4', 'fortran_order': False, 'shape': (3L, 8L)}", b"'''", b""],
    ids=["open", "deep", "of Python 2", "unended", "none"],
)
def test_the_head_of_an_array_is_not_parsed(make: Make, head: bytes) -> None:
    parts = members(make().content())
    parts["arrays/w0.npy"] = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(96)
    with pytest.raises(IntegrityError, match="does not begin as one of <f4"):
        artefact.parse(resealed(parts))


def test_arrays_are_written_as_numpy_writes_them(make: Make) -> None:
    made = make()
    parts = members(made.content())
    for name, array in made.network.arrays().items():
        assert parts[f"arrays/{name}.npy"] == npy(array)


def test_an_array_that_is_huge_in_one_way_and_empty_in_the_other_is_refused(make: Make) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["arrays"]["w0"]["shape"] = [0, 2**53 - 1]

    with pytest.raises(UsageError, match=r"arrays\.w0\.shape\.1: Input should be less than or equal to"):
        artefact.parse(resealed(members(make().content()), change))


def test_a_manifest_that_is_written_otherwise_is_refused(make: Make) -> None:
    parts = members(make().content())
    written = json.dumps(json.loads(parts["manifest.json"]), indent=2).encode()
    with pytest.raises(IntegrityError, match="not in canonical form"):
        artefact.parse(zipped(parts | {"manifest.json": written, "version": sha256(written).hexdigest().encode()}))


def test_an_array_that_promises_more_than_it_holds_is_refused_before_memory_is_taken(make: Make) -> None:
    parts = members(make().content())
    header = npy(np.zeros((1, 1), np.float32))
    parts["arrays/w0.npy"] = header.replace(b"(1, 1), }          ", b"(999999, 999999), }")

    def change(manifest: dict[str, Any]) -> None:
        manifest["arrays"]["w0"]["shape"] = [999999, 999999]

    with pytest.raises(IntegrityError, match="holds 4 bytes"):
        artefact.parse(resealed(parts, change))


def test_arrays_that_do_not_follow_from_one_another_are_refused(make: Make) -> None:
    parts = members(make().content())
    parts["arrays/b0.npy"] = npy(np.zeros(7, np.float32))

    def change(manifest: dict[str, Any]) -> None:
        manifest["arrays"]["b0"]["shape"] = [7]

    with pytest.raises(IntegrityError, match="do not make the network of its manifest"):
        artefact.parse(resealed(parts, change))


def test_a_file_of_stable_baselines_is_refused_with_the_remedy() -> None:
    with pytest.raises(UsageError, match=r"Stable-Baselines3, whose loading executes"):
        artefact.parse(zipped({"data": b"{}", "policy.pth": b"", "_stable_baselines3_version": b"2.9"}))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (zipped({"a": b""}), "it is no policy"),
        (zipped({"manifest.json": b"{}" * 10_000, "version": b""}, zipfile.ZIP_DEFLATED), "compressed"),
    ],
    ids=["without a manifest", "compressed"],
)
def test_what_is_no_policy_is_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        artefact.parse(content)


def test_an_unknown_key_of_the_manifest_is_refused(make: Make) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["hook"] = "import os"

    with pytest.raises(UsageError, match="hook: Extra inputs"):
        artefact.parse(resealed(members(make().content()), change))


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.policy"
    with path.open("wb") as file:
        file.truncate(artefact.LARGEST + 1)
    with pytest.raises(UsageError, match="a policy has at most"):
        artefact.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"none\.policy': No such file"):
        artefact.load(tmp_path / "none.policy")


def test_a_network_of_other_columns_is_not_made_a_policy(make: Make) -> None:
    with pytest.raises(UsageError, match="reads 2 columns and tells 2 options apart"):
        encoding = make().manifest.encoding
        network = networks.linear(np.zeros((2, 2)), np.zeros(2))
        compose(network, point="triage", options=("a", "b", "c"), encoding=encoding, origin=ORIGIN)


@pytest.mark.parametrize(("mode", "share"), [("greedy", 0.1), ("sample", 0.0), ("epsilon-greedy", 0.3)])
def test_exploration_is_declared_and_capped(mode: Any, share: float) -> None:
    with pytest.raises(ValueError, match="exploration"):
        Serving(mode=mode, exploration=share)
