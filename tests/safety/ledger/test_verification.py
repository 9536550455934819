from collections.abc import Callable, Iterator

import pytest

from gatewright.agents.errors import IntegrityError, UsageError
from gatewright.safety.ledger import merkle
from gatewright.safety.ledger.checkpoints import Checkpoint, SigningKey, sign
from gatewright.safety.ledger.records import Record, seal
from gatewright.safety.ledger.verification import (
    Finding,
    Opened,
    Report,
    StoredLeaf,
    verify_log,
    verify_record,
    verify_seals,
)
from gatewright.safety.ledger.witnesses import Witness

ORIGIN = "example.org/support/decisions"
KEY = SigningKey(ORIGIN, "log", bytes(range(32)))
WITNESS_KEY = SigningKey("audit.example.org", "witness", bytes(range(1, 33)))


def log(size: int, change: Callable[[int], str] = str) -> list[StoredLeaf]:
    records = [
        Record(kind="run", time="2026-08-19T12:00:00.000000Z", deployment="support", run_id=change(number)).encode()
        for number in range(size)
    ]
    return [StoredLeaf(number, data, merkle.leaf_hash(data)) for number, data in enumerate(records)]


def note(leaves: list[StoredLeaf], size: int, key: SigningKey = KEY) -> str:
    root = merkle.root(merkle.leaf_hash(leaf.data) for leaf in leaves[:size])
    return sign(Checkpoint(origin=key.name, size=size, root=root), key)


LOG = log(20)
NOTES = [note(LOG, 8), note(LOG, 16)]


def check(leaves: list[StoredLeaf], notes: list[str] = NOTES, held: list[str] | None = None) -> Report:
    return verify_log(leaves, notes, [KEY.verifier], held=held or [])


def problems(report: Report) -> list[tuple[str, int | None, int | None]]:
    return [(finding.problem, finding.first, finding.last) for finding in report.findings]


def test_an_honest_log_verifies_and_says_how_much_is_signed() -> None:
    report = check(LOG, held=[note(LOG, 5), note(LOG, 16)])

    assert report.ok
    assert (report.size, report.signed, report.first_bad_index) == (20, 16, None)
    assert report.root == merkle.root(leaf.hash for leaf in LOG)
    report.require()


def test_an_empty_log_verifies() -> None:
    assert check([], []).ok
    assert check([], [note(LOG, 0)]).ok


def test_a_record_that_no_longer_hashes_to_its_stored_hash_is_named() -> None:
    leaves = LOG.copy()
    leaves[11] = leaves[11]._replace(data=leaves[11].data.replace(b'"11"', b'"12"'))

    report = check(leaves)

    assert problems(report) == [("rewritten", 8, 15), ("changed", 11, 11)]
    assert report.signed == 8


def test_a_record_changed_with_its_hash_is_bracketed_by_checkpoints() -> None:
    leaves = log(20, lambda number: "forged" if number == 11 else str(number))

    report = check(leaves)

    assert problems(report) == [("rewritten", 8, 15)]
    with pytest.raises(IntegrityError, match="from record 8 to 15") as refusal:
        report.require()
    assert refusal.value.index == 8


def test_a_record_changed_after_the_last_checkpoint_is_not_covered_yet() -> None:
    report = check(log(20, lambda number: "forged" if number == 18 else str(number)))
    assert report.ok and report.signed == 16 < report.size


def test_a_gap_is_named() -> None:
    assert ("missing", 3, 4) in problems(check(LOG[:3] + LOG[5:]))


def test_records_in_another_order_are_named() -> None:
    swapped = [*LOG[:6], LOG[7], LOG[6], *LOG[8:]]
    assert ("disordered", 6, 8) in problems(check(swapped))
    assert ("disordered", 6, 7) in problems(check([*LOG[:7], *LOG[6:]]))


def test_a_log_cut_below_its_checkpoint_is_truncated() -> None:
    report = check(LOG[:12])
    assert problems(report) == [("truncated", 12, 15)]
    assert report.first_bad_index == 12


def test_a_held_checkpoint_newer_than_the_log_shows_a_rollback() -> None:
    report = check(LOG[:8], [NOTES[0]], held=[NOTES[1]])
    assert problems(report) == [("truncated", 8, 15), ("withdrawn", None, None)]


def test_a_held_checkpoint_of_another_history_is_noticed() -> None:
    forged = log(20, lambda number: "forged" if number == 2 else str(number))
    report = check(forged, [note(forged, 16)], held=[note(LOG, 4)])
    assert problems(report) == [("rewritten", 0, 3)]
    assert "held checkpoint of size 4" in report.findings[0].message


def test_checkpoints_signed_anew_do_not_narrow_down_what_a_held_one_shows() -> None:
    forged = log(20, lambda number: "forged" if number == 2 else str(number))
    report = check(forged, [note(forged, 5), note(forged, 16)], held=[note(LOG, 8)])
    assert problems(report) == [("rewritten", 0, 7)]


def test_two_histories_signed_for_one_size_are_noticed() -> None:
    forged = log(20, lambda number: "forged" if number == 2 else str(number))
    assert problems(check(forged, [note(forged, 16)], held=[note(LOG, 16)])) == [("rewritten", 0, 15)]


def test_a_checkpoint_that_the_log_withdrew_is_noticed() -> None:
    assert problems(check(LOG, [NOTES[0]], held=[NOTES[1]])) == [("withdrawn", None, None)]


def test_a_checkpoint_signed_with_an_unknown_key_is_noticed() -> None:
    report = check(LOG, [NOTES[0], note(LOG, 16, SigningKey.generate(ORIGIN))])
    assert problems(report) == [("checkpoint", None, None)]
    assert "stored checkpoint 1" in report.findings[0].message


def test_a_log_without_checkpoints_proves_nothing() -> None:
    assert problems(check(LOG, [])) == [("unsigned", 0, None)]


def test_a_changed_signing_key_is_followed_with_both_keys() -> None:
    later = SigningKey(ORIGIN, "log", bytes(32))
    notes = [note(LOG, 8), note(LOG, 16, later)]

    assert verify_log(LOG, notes, [KEY.verifier, later.verifier]).ok
    assert not verify_log(LOG, notes, [later.verifier]).ok


def test_a_required_witness_must_have_cosigned() -> None:
    cosigned = NOTES[0] + Witness(WITNESS_KEY, [KEY.verifier]).cosign(NOTES[0], [], at=1)

    def report(*notes: str) -> Report:
        return verify_log(LOG, notes, [KEY.verifier], witnesses=[WITNESS_KEY.verifier])

    assert report(cosigned, NOTES[1]).ok
    assert report(cosigned, NOTES[1]).witnessed == 8
    assert problems(report(*NOTES)) == [("unsigned", None, None)]


def test_leaves_are_read_once_and_one_at_a_time() -> None:
    given: list[int] = []

    def stream() -> Iterator[StoredLeaf]:
        for leaf in LOG:
            given.append(leaf.position)
            yield leaf

    assert verify_log(stream(), NOTES, [KEY.verifier]).ok
    assert given == list(range(20))


def test_keys_of_the_wrong_kind_are_refused() -> None:
    other = SigningKey.generate("example.org/other").verifier
    for keys, witnesses in (
        ([], []),
        ([KEY.verifier, other], []),
        ([WITNESS_KEY.verifier], []),
        ([KEY.verifier], [other]),
    ):
        with pytest.raises(UsageError):
            verify_log(LOG, NOTES, keys, witnesses=witnesses)


def test_a_report_without_findings_has_no_bad_index() -> None:
    finding = Finding(problem="checkpoint", message="no")
    assert Report(size=1, root=b"", signed=0, witnessed=0, findings=(finding,)).first_bad_index is None


def test_one_record_is_verified_without_the_log() -> None:
    nodes = {(0, number): leaf.hash for number, leaf in enumerate(LOG)}
    frontier = merkle.Frontier()
    for leaf in LOG:
        nodes |= {(node.level, node.position): node.hash for node in frontier.append(leaf.hash)}
    proof = merkle.inclusion_proof(5, 16, lambda level, index: nodes[level, index])

    assert verify_record(LOG[5].data, 5, proof, NOTES[1], [KEY.verifier]).run_id == "5"
    for data, position in ((LOG[6].data, 5), (LOG[5].data, 6)):
        with pytest.raises(IntegrityError):
            verify_record(data, position, proof, NOTES[1], [KEY.verifier])


def test_seals_tell_kept_erased_and_forged_values_apart() -> None:
    sealed = {name: seal(name.encode()) for name in ("args", "result", "prompt")}

    states = verify_seals(
        {name: each.commitment for name, each in sealed.items()},
        {
            "args": Opened(sealed["args"].salt, b"args"),
            "result": Opened(sealed["result"].salt, b"forged"),
            "note": Opened(bytes(16), b"added"),
        },
    )

    assert states == {"args": "matches", "note": "unsealed", "prompt": "erased", "result": "changed"}
