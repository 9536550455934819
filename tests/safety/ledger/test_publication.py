from dataclasses import replace

import orjson

from gatewright.safety.ledger import publication, records
from gatewright.safety.ledger.records import ApprovalPart, GuardPart, Judgement, Record, RuleOutcome

_RULE = RuleOutcome(id="mail", verdict="deny", reason="kim@example.org is not known")
_MAIL = Judgement(verdict="deny", pack="p@1", rules=(_RULE,))
_PLAIN = Record(
    kind="effect",
    time="2026-01-01T00:00:00.000000Z",
    deployment="d",
    guard=GuardPart(before=Judgement(verdict="allow", pack="p@1")),
    sealed={"args": "0" * 64},
)


def test_a_record_without_free_text_is_published_as_it_is() -> None:
    published, said = publication.publish(_PLAIN)
    assert published is _PLAIN and said is None


def test_a_record_whose_words_hold_no_personal_data_is_published_as_it_is() -> None:
    record = replace(_PLAIN, approval=ApprovalPart(id="ask_1", verdict="reject", by="kim", reason="too much"))
    published, said = publication.publish(record)
    assert published is record and said is None


def test_personal_data_is_masked_wherever_somebody_can_write_freely() -> None:
    record = replace(
        _PLAIN,
        guard=GuardPart(before=replace(_MAIL, shadow=_MAIL), after=_MAIL),
        approval=ApprovalPart(id="ask_1", verdict="reject", by="lee@bank.example", reason="call +49 30 901820 first"),
        detail={"reason": "card 4111 1111 1111 1111", "by": "lee@bank.example"},
    )
    leaf = publication.publish(record).record.encode()
    for text in (b"kim@example.org", b"901820", b"4111"):
        assert text not in leaf
    assert b"[email] is not known" in leaf and b"call [phone] first" in leaf and b"card [card]" in leaf


def test_who_decided_is_not_masked() -> None:
    record = replace(_PLAIN, approval=ApprovalPart(id="a", verdict="reject", by="lee@bank.example", reason="a@b.org"))
    assert b"lee@bank.example" in publication.publish(record).record.encode()


def test_what_was_said_in_full_is_sealed_by_its_place() -> None:
    published, said = publication.publish(replace(_PLAIN, guard=GuardPart(before=_MAIL)))
    assert said is not None
    assert orjson.loads(said.value) == {"guard.before.rules.0.reason": "kim@example.org is not known"}
    records.check_seal(published.sealed["said"], said.salt, said.value)
    assert published.sealed["args"] == "0" * 64


def test_a_published_record_can_be_read_back() -> None:
    published = publication.publish(replace(_PLAIN, guard=GuardPart(before=_MAIL))).record
    assert records.decode(published.encode()) == published
