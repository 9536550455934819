"""Evidence packs, as `gatewright audit export --pack` writes them."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gatewright.runtime.evidence import verify

if TYPE_CHECKING:
    from .conftest import Project

SMALL = json.dumps({"order": "A-17", "amount": 40})


@pytest.fixture
def recorded(project: Project) -> Project:
    """A project in which a run was made and signed for."""
    assert project("run", "start", "clerk", "--input", SMALL).code == 0
    return project


def unpacked(pack: Path) -> Path:
    folder = pack.with_suffix("")
    with zipfile.ZipFile(pack) as archive:
        archive.extractall(folder)
    return folder


def key(project: Project) -> str:
    return next(project.path.rglob("ledger.pub")).read_text("utf-8").strip()


def test_a_pack_of_records_verifies_with_python_alone(recorded: Project) -> None:
    written = recorded("audit", "export", "0", "2", "--pack", "pack.zip", "--opened", "--json")
    folder = unpacked(recorded.path / "pack.zip")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "verify.py", "--key", key(recorded)], cwd=folder, capture_output=True, text=True
    )
    assert (written.code, written.json["records"]) == (0, 2)
    assert (done.returncode, done.stderr) == (0, "")
    assert "everything in this pack holds" in done.stdout


def test_a_pack_of_the_whole_log_verifies(recorded: Project) -> None:
    written = recorded("audit", "export", "--pack", "pack.zip", "--json")
    assert written.json["records"] == recorded("audit", "verify", "--json").json["size"]
    assert list(verify.problems(recorded.path / "pack.zip", key(recorded))) == []


def test_a_key_that_is_no_text_is_refused_by_its_name(recorded: Project) -> None:
    (recorded.path / "ledger.pub").write_bytes(b"\xc4\x00")
    done = recorded("audit", "verify", "--key", "@ledger.pub")
    assert (done.code, "'ledger.pub' holds no text" in done.err) == (2, True)


def test_a_pack_of_nothing_is_not_written(recorded: Project) -> None:
    done = recorded("audit", "export", "--case", "thread-nope", "--pack", "pack.zip")
    assert (done.code, (recorded.path / "pack.zip").exists()) == (2, False)
    assert "case thread-nope would hold no record" in done.err


def test_equal_evidence_gives_equal_bytes(recorded: Project) -> None:
    first = recorded("audit", "export", "1", "--pack", "a.zip", "--json")
    second = recorded("audit", "export", "1", "--pack", "b.zip", "--json")
    assert first.json["sha256"] == second.json["sha256"]
    assert (recorded.path / "a.zip").read_bytes() == (recorded.path / "b.zip").read_bytes()


@pytest.mark.parametrize("whole", [False, True])
def test_a_change_of_any_file_is_found_and_named(recorded: Project, whole: bool) -> None:
    recorded("audit", "export", *(() if whole else ("0", "2", "--opened")), "--pack", "pack.zip")
    folder, known = unpacked(recorded.path / "pack.zip"), key(recorded)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert len(files) >= 6
    for path in files:
        content = path.read_bytes()
        for place in (0, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            name = path.relative_to(folder).as_posix()
            assert any(name in problem for problem in verify.problems(folder, known)), (name, place)
        path.write_bytes(content)
    assert list(verify.problems(folder, known)) == []


def test_a_file_that_is_missing_or_added_is_found(recorded: Project) -> None:
    recorded("audit", "export", "0", "--pack", "pack.zip")
    folder, known = unpacked(recorded.path / "pack.zip"), key(recorded)
    (folder / "note.txt").write_text("also this")
    (folder / "REPORT.html").unlink()
    assert list(verify.problems(folder, known)) == ["REPORT.html: is missing", "note.txt: is not listed in SHA256SUMS"]


def test_a_record_swapped_for_another_of_the_same_log_is_found(recorded: Project) -> None:
    recorded("audit", "export", "0", "1", "--pack", "pack.zip")
    folder, known = unpacked(recorded.path / "pack.zip"), key(recorded)
    first, second, _ = (folder / "records.jsonl").read_bytes().split(b"\n")
    (folder / "records.jsonl").write_bytes(second + b"\n" + first + b"\n")
    found = list(verify.problems(folder, known))
    assert len(found) == 2 and all("records.jsonl: record" in problem for problem in found)


def test_an_opened_value_that_was_not_sealed_is_found_though_the_sums_fit(recorded: Project) -> None:
    recorded("audit", "export", "0", "2", "--opened", "--pack", "pack.zip")
    folder, known = unpacked(recorded.path / "pack.zip"), key(recorded)
    said = [json.loads(line) for line in (folder / "opened.jsonl").read_bytes().splitlines()]
    said[0]["salt"] = "00" * 16
    forge(folder / "opened.jsonl", "".join(json.dumps(each) + "\n" for each in said).encode(), folder)
    (problem,) = verify.problems(folder, known)
    assert problem.endswith(f"{said[0]['field']!r} of record {said[0]['index']} is not the value that was sealed")


@pytest.mark.parametrize("garbled", [b"\xff\xfe", b"no json\n", b'{"index": 99}\n'])
def test_opened_values_that_cannot_be_read_are_named(recorded: Project, garbled: bytes) -> None:
    recorded("audit", "export", "0", "2", "--opened", "--pack", "pack.zip")
    folder, known = unpacked(recorded.path / "pack.zip"), key(recorded)
    forge(folder / "opened.jsonl", garbled, folder)
    (problem,) = verify.problems(folder, known)
    assert problem.startswith("opened.jsonl: cannot be read")


@pytest.mark.parametrize("whole", [False, True])
def test_a_false_number_of_records_is_found_though_the_sums_fit(recorded: Project, whole: bool) -> None:
    recorded("audit", "export", *([] if whole else ["0", "2"]), "--pack", "pack.zip")
    folder, known = unpacked(recorded.path / "pack.zip"), key(recorded)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    forge(folder / "manifest.json", json.dumps({**manifest, "records": 1}).encode(), folder)
    assert list(verify.problems(folder, known)) == ["manifest.json: says that there are 1 records, and there are not"]


def test_a_proof_for_another_checkpoint_is_found_though_the_sums_fit(recorded: Project) -> None:
    recorded("audit", "export", "0", "2", "--pack", "pack.zip")
    folder, known = unpacked(recorded.path / "pack.zip"), key(recorded)
    proof = next((folder / "proofs").iterdir())
    forge(proof, proof.read_bytes().replace(b"\n\n", b"\n\nof another log\n"), folder)
    (problem,) = verify.problems(folder, known)
    assert problem.startswith(f"proofs/{proof.name}: is no proof of record ")


def test_a_policy_under_the_name_of_another_is_found_though_the_sums_fit(recorded: Project) -> None:
    recorded("audit", "export", "0", "--pack", "pack.zip")
    folder, known = unpacked(recorded.path / "pack.zip"), key(recorded)
    (folder / "policies").mkdir()
    manifests = [b'{"arrays":{}}', b'{"arrays": {}}']
    policy = folder / "policies" / f"{sha256(manifests[0]).hexdigest()}.policy"
    found: list[list[str]] = []
    for manifest in manifests:
        content = BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("manifest.json", manifest)
        forge(policy, content.getvalue(), folder)
        found.append(list(verify.problems(folder, known)))
    assert found == [[], [f"policies/{policy.name}: is not the policy of that version"]]


def forge(path: Path, content: bytes, folder: Path) -> None:
    """Write a file of a pack, and its sum anew."""
    path.write_bytes(content)
    sums, name = folder / "SHA256SUMS", path.relative_to(folder).as_posix()
    kept = [line for line in sums.read_text("utf-8").splitlines() if not line.endswith(f"  {name}")]
    sums.write_text("\n".join([*kept, f"{sha256(content).hexdigest()}  {name}", ""]), "utf-8")
