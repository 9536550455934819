import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatewright.agents.errors import IntegrityError, UsageError
from gatewright.safety.ledger.records import (
    ApprovalPart,
    EffectPart,
    GuardPart,
    Judgement,
    Record,
    RuleOutcome,
    UsagePart,
    check_seal,
    decode,
    seal,
    timestamp,
)

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no timing is asserted
FULL = Record(
    kind="effect",
    time="2026-08-19T12:30:00.000001Z",
    deployment="support",
    agent="changes",
    run_id="r1",
    thread_id="t1",
    case_id="c1",
    step="changes/tools:2",
    effect=EffectPart(
        kind="tool",
        name="cancel_reservation",
        key="k1",
        call_id="call_1",
        attempt=2,
        labels=frozenset({"irreversible", "egress"}),
        digest="ab" * 32,
    ),
    guard=GuardPart(
        before=Judgement(
            verdict="ask",
            pack="p@1#0",
            rules=(RuleOutcome(id="big", verdict="ask", reason="over 100", mode="shadow", waived="w1"),),
            scores={"injection.score": 0.25},
            shadow=Judgement(verdict="deny", pack="p@2#1"),
        ),
        after=Judgement(verdict="allow", pack="p@1#0"),
    ),
    approval=ApprovalPart(id="a1", verdict="approve", by="kim", reason="known customer"),
    outcome="ok",
    duration_ms=12,
    usage=UsagePart(input_tokens=10, output_tokens=3, cost_microusd=42, model="gpt-4o-mini"),
    sealed={"args": "cd" * 32},
    detail={"point": "escalate", "propensity": 0.5},
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def changed(path: list[str | int], value: Any) -> bytes:
    """The full record's bytes with one field set to another value; still canonical."""
    tree = json.loads(FULL.encode())
    place = tree
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return rfc8785.dumps(tree)


def test_a_record_reads_back_as_it_was_written() -> None:
    smallest = Record(kind="run", time=FULL.time, deployment="support")
    for record in (FULL, smallest):
        assert decode(record.encode()) == record


def test_a_record_is_written_in_canonical_form() -> None:
    assert FULL.encode() == rfc8785.dumps(json.loads(FULL.encode()))


def test_every_field_is_in_the_bytes_that_are_hashed() -> None:
    written = json.loads(FULL.encode())
    assert written.keys() == {name for name in Record.__dataclass_fields__}
    for part in ("effect", "guard", "approval", "usage"):
        assert written[part].keys() == getattr(FULL, part).__dataclass_fields__.keys()
    assert written["guard"]["before"].keys() == Judgement.__dataclass_fields__.keys()
    assert written["guard"]["before"]["rules"][0].keys() == RuleOutcome.__dataclass_fields__.keys()


def test_the_first_schema_is_pinned() -> None:
    record = Record(kind="approval", time=FULL.time, deployment="d", approval=ApprovalPart(id="a", verdict="v", by="b"))

    assert record.encode().decode() == (
        '{"agent":"","approval":{"by":"b","id":"a","reason":"","verdict":"v"},"case_id":"","deployment":"d",'
        '"detail":{},"duration_ms":null,"effect":null,"error":null,"guard":null,"kind":"approval","outcome":null,'
        '"run_id":"","schema":1,"sealed":{},"step":"","thread_id":"","time":"2026-08-19T12:30:00.000001Z","usage":null}'
    )


@PATIENT
@given(name=TEXT, labels=st.frozensets(TEXT), error=st.none() | TEXT, duration=st.none() | st.integers(0, 2**53 - 1))
def test_any_text_survives(name: str, labels: frozenset[str], error: str | None, duration: int | None) -> None:
    record = Record(
        kind="effect",
        time=FULL.time,
        deployment=name,
        effect=EffectPart(kind="model", name=name, key=name, digest=name, labels=labels),
        error=error,
        duration_ms=duration,
        detail={name: [name]},
    )
    assert decode(record.encode()) == record


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        FULL.encode() + b" ",
        FULL.encode().replace(b":12,", b": 12,"),
        changed(["schema"], 2),
        changed(["kind"], "other"),
        changed(["time"], "2026-08-19 12:30:00"),
        changed(["duration_ms"], 1.5),
        changed(["duration_ms"], -1),
        changed(["duration_ms"], "12"),
        changed(["outcome"], "fine"),
        changed(["effect", "kind"], "wish"),
        changed(["effect", "labels"], ["irreversible", "egress"]),
        changed(["guard", "before", "verdict"], "maybe"),
        changed(["sealed", "args"], "short"),
        changed(["extra"], 1),
        changed(["approval", "extra"], 1),
    ],
    ids=range(18),
)
def test_what_is_not_a_canonical_record_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="record"):
        decode(data)


def test_a_record_that_leaves_out_a_field_is_refused() -> None:
    tree = json.loads(FULL.encode())
    del tree["error"]
    with pytest.raises(IntegrityError, match="leaves out a field"):
        decode(rfc8785.dumps(tree))


def test_the_time_is_universal_with_microseconds() -> None:
    east = datetime(2026, 8, 19, 14, 30, 0, 1, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp(east) == "2026-08-19T12:30:00.000001Z"
    assert timestamp(datetime(26, 1, 1, tzinfo=UTC)) == "0026-01-01T00:00:00.000000Z"
    with pytest.raises(UsageError, match="no time zone"):
        timestamp(datetime(2026, 8, 19))


def test_a_sealed_value_is_checked_against_its_commitment() -> None:
    salt, commitment = seal(b"value")

    check_seal(commitment, salt, b"value")
    for wrong_salt, wrong in ((salt, b"other"), (bytes(16), b"value"), (salt[:-1], salt[-1:] + b"value")):
        with pytest.raises(IntegrityError, match="does not match"):
            check_seal(commitment, wrong_salt, wrong)


def test_a_commitment_does_not_tell_that_two_values_are_equal() -> None:
    assert seal(b"42").commitment != seal(b"42").commitment


def test_detail_that_json_cannot_say_is_refused_when_written() -> None:
    with pytest.raises(UsageError, match="json_value"):
        Record(kind="run", time=FULL.time, deployment="d", detail={"score": float("nan")}).encode()
