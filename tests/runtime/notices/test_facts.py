"""What messages may say of an approval, and what they never do."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gatewright.runtime.notices import facts
from gatewright.safety import approvals
from gatewright.safety.approvals.terms import ApprovalTerms, Escalation, Stage

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TERMS = ApprovalTerms(
    stages=(Stage(roles=frozenset({"ops"})), Stage(roles=frozenset({"treasury"}))),
    expires=60,
    escalation=(Escalation(after=30, to="name:kim"),),
)


def request(kind: approvals.Kind = "approval", prompt: str = "", **args: Any) -> approvals.Request:
    return approvals.Request(
        id="ask-1",
        kind=kind,
        action=approvals.Action(
            kind="tool", name="issue_refund", args=args, agent="clerk", deployment="support", pack="p"
        ),
        terms=TERMS,
        prompt=prompt,
        opened=NOW,
    )


def test_an_approval_is_told_by_names_deadline_and_roles() -> None:
    said = facts.of_request(request(prompt="refunds above the limit wait"))

    assert (said.deployment, said.agent, said.subject) == ("support", "clerk", "tool issue_refund")
    assert (said.reason, said.to) == ("refunds above the limit wait", ("role:ops",))
    assert said.due == datetime(2026, 1, 2, 0, 1, tzinfo=UTC)


def test_those_who_may_decide_are_the_stages_people_and_whom_the_escalation_called() -> None:
    first = approvals.decide(
        request(), approvals.Vote(by="o", verdict="approve", roles=frozenset({"ops"}), time=NOW, authenticated=True)
    )
    called = approvals.expire(first, NOW + timedelta(seconds=30))

    assert facts.of_request(first).to == ("role:treasury",)
    assert facts.of_request(called).to == ("name:kim", "role:treasury")
    assert facts.of_request(called, ("name:kim",)).to == ("name:kim",)


def test_values_of_arguments_are_masked_in_a_rules_reason() -> None:
    said = facts.of_request(
        request(prompt="refund of 25 to Mia Li for 'late parcel' twice", amount=25, to="Mia Li", note="late parcel")
    )

    assert said.reason == "refund of ••• to ••• for '•••' twice"


def test_what_an_agent_asks_in_its_own_words_is_not_told() -> None:
    asked = facts.of_request(request("question", "Is Mia Li's card 4111 1111 1111 1111 hers?"))

    assert "Mia" not in facts.dump(asked)
    assert asked.subject == "question of issue_refund"


@given(secret=st.text(alphabet=st.characters(categories=("L", "N")), min_size=3, max_size=40))
def test_no_value_of_three_letters_or_more_is_in_what_is_told(secret: str) -> None:
    said = facts.of_request(request(prompt=f"to {secret}, ({secret}) x{secret}y", nested={"deep": [secret]}))

    assert secret not in said.reason.replace(facts.MASK, "")


def test_numbers_addresses_and_keys_from_elsewhere_are_masked_too() -> None:
    said = facts.masked(f"card 4111111111111111, IBAN DE89370400440532013000, see https://x.org, {'k' * 40}", {})

    assert said == "card ••• IBAN ••• see ••• •••"


def test_a_long_reason_costs_no_more_than_its_beginning() -> None:
    said = facts.masked("9" * 1_000_000 + " a" * 1_000_000, {"many": [f"v{n}" for n in range(10_000)]})

    assert len(said) <= facts.LONGEST_REASON


def test_facts_come_back_from_the_database_as_they_were() -> None:
    said = facts.of_request(request(prompt="because"))

    assert facts.load(facts.dump(said)) == said
