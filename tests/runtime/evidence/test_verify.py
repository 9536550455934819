"""The one-file verifier: its signatures, its trees, and that it finds every change of a pack."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.runtime.evidence import verify
from gatewright.safety.ledger import merkle
from gatewright.safety.ledger.checkpoints import Checkpoint, SigningKey, sign


@settings(max_examples=10, deadline=None)
@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=200), flipped=st.integers(0, 511))
def test_signatures_are_judged_as_cryptography_judges_them(seed: bytes, message: bytes, flipped: int) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = key.public_key().public_bytes_raw(), key.sign(message)
    wrong = bytearray(signature)
    wrong[flipped // 8] ^= 1 << flipped % 8
    assert verify.signed(public, message, signature)
    assert not verify.signed(public, message, bytes(wrong))
    assert not verify.signed(public, message + b"!", signature)


def test_a_signature_with_a_scalar_beyond_the_order_is_refused() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    signature = key.sign(b"text")
    malleable = int.from_bytes(signature[32:], "little") + verify.ORDER
    assert not verify.signed(
        key.public_key().public_bytes_raw(), b"text", signature[:32] + malleable.to_bytes(32, "little")
    )


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 1023, 1024, 1025, 3000, 4096])
def test_the_root_of_streamed_records_is_that_of_the_tree(size: int) -> None:
    leaves = [b"record %d" % number for number in range(size)]
    expected = merkle.root(merkle.leaf_hash(leaf) for leaf in leaves)
    assert verify.root_of(leaf + b"\n" for leaf in leaves) == (size, expected)


@pytest.mark.parametrize("size", [1, 2, 3, 6, 13])
def test_proofs_lead_to_the_root(size: int) -> None:
    hashes = [merkle.leaf_hash(b"%d" % number) for number in range(size)]

    def node(level: int, index: int) -> bytes:
        return merkle.root(hashes[index << level : index + 1 << level])

    for index in range(size):
        proof = merkle.inclusion_proof(index, size, node)
        assert verify.root_from(hashes[index], index, size, proof) == merkle.root(hashes)
        assert verify.root_from(hashes[index], index, size, [*proof, bytes(32)]) is None


def test_a_checkpoint_of_another_key_is_refused() -> None:
    key, other = SigningKey.generate("example.org/log"), SigningKey.generate("example.org/log")
    note = sign(Checkpoint(origin="example.org/log", size=3, root=sha256(b"root").digest()), key)
    assert verify.open_checkpoint(note, str(key.verifier)) == ("example.org/log", 3, sha256(b"root").digest())
    with pytest.raises(verify.Broken, match="is not signed"):
        verify.open_checkpoint(note, str(other.verifier))
    with pytest.raises(verify.Broken, match="is not the verifier key"):
        verify.open_checkpoint(note, "example.org/log+00000000+AAAA")


def test_it_needs_nothing_but_python(tmp_path: Path) -> None:
    alone = tmp_path / "verify.py"
    alone.write_bytes(Path(verify.__file__).read_bytes())
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(alone), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 5
    assert "SHA256SUMS: is missing" in done.stdout


@pytest.mark.parametrize("held", [b"", b"example.org/log+00000000+AAAA", b"\xff\xfe", None])
def test_what_is_no_key_is_the_mistake_of_who_gives_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], held: bytes | None
) -> None:
    key = tmp_path / "ledger.pub"
    if held is not None:
        key.write_bytes(held)
    with pytest.raises(SystemExit) as stopped:
        verify.main([str(tmp_path), "--key", f"@{key}"])
    assert stopped.value.code == 2
    assert "key" in capsys.readouterr().err


def test_a_file_that_is_no_zip_is_named(tmp_path: Path) -> None:
    (tmp_path / "pack.zip").write_bytes(b"no zip")
    assert list(verify.problems(tmp_path / "pack.zip")) == ["pack.zip: is no whole zip file (File is not a zip file)"]


def test_an_empty_zip_has_no_sums(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pack.zip", "w"):
        pass
    assert list(verify.problems(tmp_path / "pack.zip")) == ["SHA256SUMS: is missing"]
