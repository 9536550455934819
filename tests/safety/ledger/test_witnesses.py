import re
from pathlib import Path

import pytest

from gatewright.agents.errors import ConflictError, IntegrityError, UsageError
from gatewright.safety.ledger import merkle
from gatewright.safety.ledger.checkpoints import Checkpoint, SigningKey, open_checkpoint, sign
from gatewright.safety.ledger.witnesses import MAX_PROOF, Witness, request

ORIGIN = "example.org/support/decisions"
KEY = SigningKey(ORIGIN, "log", bytes(range(32)))
WITNESS_KEY = SigningKey("audit.example.org", "witness", bytes(range(1, 33)))
LEAVES = [merkle.leaf_hash(bytes([number])) for number in range(20)]
NOW = 1_787_000_000


def checkpoint(size: int, leaves: list[bytes] = LEAVES) -> Checkpoint:
    return Checkpoint(origin=ORIGIN, size=size, root=merkle.root(leaves[:size]))


def proof(first: int, second: int, leaves: list[bytes] = LEAVES) -> list[bytes]:
    frontier = merkle.Frontier()
    nodes = {(node.level, node.position): node.hash for leaf in leaves for node in frontier.append(leaf)}
    return merkle.consistency_proof(first, second, lambda level, index: nodes[level, index])


def test_a_witness_follows_a_log_that_only_grows() -> None:
    witness = Witness(WITNESS_KEY, [KEY.verifier])
    for first, second in [(0, 0), (0, 5), (5, 5), (5, 8), (8, 20)]:
        steps = proof(first, second) if first else []
        assert witness.cosign(sign(checkpoint(second), KEY), steps, at=NOW).startswith("— audit.example.org ")
        assert witness.seen == {ORIGIN: checkpoint(second)}


def test_a_witness_that_was_restarted_remembers() -> None:
    witness = Witness(WITNESS_KEY, [KEY.verifier], {ORIGIN: checkpoint(8)})
    with pytest.raises(IntegrityError, match="went backwards: 8 records"):
        witness.cosign(sign(checkpoint(5), KEY), [], at=NOW)


def test_a_witness_refuses_a_rewritten_log_and_keeps_its_memory() -> None:
    rewritten = [merkle.leaf_hash(b"other"), *LEAVES[1:]]
    witness = Witness(WITNESS_KEY, [KEY.verifier])
    witness.cosign(sign(checkpoint(8), KEY), [], at=NOW)

    for size in (8, 12):
        note = sign(checkpoint(size, rewritten), KEY)
        with pytest.raises(IntegrityError):
            witness.cosign(note, proof(8, size, rewritten), at=NOW)
    with pytest.raises(IntegrityError):
        witness.cosign(sign(checkpoint(12), KEY), [], at=NOW)

    assert witness.seen == {ORIGIN: checkpoint(8)}


def test_a_witness_cosigns_only_logs_that_it_knows() -> None:
    with pytest.raises(IntegrityError, match="no known key"):
        Witness(WITNESS_KEY, []).cosign(sign(checkpoint(8), KEY), [], at=NOW)


def test_a_witness_refuses_a_first_proof_and_an_empty_log_with_a_root() -> None:
    witness = Witness(WITNESS_KEY, [KEY.verifier])
    with pytest.raises(IntegrityError, match="must be empty"):
        witness.cosign(sign(checkpoint(8), KEY), proof(5, 8), at=NOW)
    with pytest.raises(IntegrityError, match="an empty log"):
        witness.cosign(sign(Checkpoint(origin=ORIGIN, size=0, root=bytes(32)), KEY), [], at=NOW)
    assert witness.seen == {}


def test_a_logs_key_cannot_witness() -> None:
    with pytest.raises(UsageError, match="is a log's"):
        Witness(KEY, [KEY.verifier])


def test_a_request_is_answered_with_a_line_that_completes_the_note() -> None:
    witness = Witness(WITNESS_KEY, [KEY.verifier], {ORIGIN: checkpoint(5)})
    note = sign(checkpoint(8), KEY)

    note += witness.answer(request(5, proof(5, 8), note), at=NOW)

    opened = open_checkpoint(note, [KEY.verifier, WITNESS_KEY.verifier])
    assert [each.key for each in opened.cosignatures] == [WITNESS_KEY.verifier]


def test_a_request_has_the_form_of_the_published_protocol() -> None:
    assert request(20852014, [bytes(32)], "note\n") == "old 20852014\n" + "A" * 43 + "=\n\nnote\n"


def test_a_request_from_another_size_names_the_size_to_start_from() -> None:
    witness = Witness(WITNESS_KEY, [KEY.verifier], {ORIGIN: checkpoint(5)})
    with pytest.raises(ConflictError, match="ask from size 5"):
        witness.answer(request(0, [], sign(checkpoint(8), KEY)), at=NOW)
    assert witness.seen == {ORIGIN: checkpoint(5)}


NOTE = sign(checkpoint(8), KEY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        NOTE,
        f"old 05\n\n{NOTE}",
        f"old 5\n{NOTE}",
        f"old 5\nAA\n\n{NOTE}",
        request(5, [bytes(32)] * (MAX_PROOF + 1), NOTE),
    ],
    ids=["empty", "bare", "zero", "no line", "base64", "long"],
)
def test_a_malformed_request_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a witness request"):
        Witness(WITNESS_KEY, [KEY.verifier]).answer(text, at=NOW)


def test_the_witness_of_the_document_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = (Path(__file__).parents[3] / "docs" / "audit.md").read_text("utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("ledger.pub").write_text(str(KEY.verifier))
    Path("witness.key").write_text(WITNESS_KEY.dump())

    for first, second in ((0, 8), (8, 20)):
        note = sign(checkpoint(second), KEY)
        Path("request.txt").write_text(request(first, proof(first, second) if first else [], note), "utf-8")
        exec(script, {})
        cosigned = note + Path("cosignature.txt").read_text("utf-8")
        assert len(open_checkpoint(cosigned, [KEY.verifier, WITNESS_KEY.verifier]).cosignatures) == 1
        assert Checkpoint.parse(Path("seen.txt").read_text()) == checkpoint(second)
