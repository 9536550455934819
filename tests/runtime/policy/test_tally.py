"""What counts as a changed verdict."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gatewright.runtime.policy import tally
from gatewright.runtime.policy.recorded import Case, Happening
from gatewright.runtime.policy.tally import Answers, Opinion, Report
from gatewright.safety.ledger import records
from gatewright.safety.ledger.records import ApprovalPart, Judgement, RuleOutcome
from gatewright.safety.rules.events import Event
from gatewright.safety.verdicts import Decision, Finding, RuleHit, Verdict

EVENT = Event(hook="tool.before", name="pay", time=datetime(2026, 1, 1, tzinfo=UTC))


def judgement(verdict: Verdict, *rules: RuleOutcome) -> Judgement:
    return records.Judgement(verdict=verdict, pack="test@1#0", rules=rules)


def test_limits_and_failed_guards_are_no_verdicts_of_rules() -> None:
    said = judgement(
        "deny",
        RuleOutcome(id="large", verdict="ask", reason="much"),
        RuleOutcome(id="budget:day", verdict="deny"),
        RuleOutcome(id="breaker:bank", verdict="deny"),
        RuleOutcome(id="guard:toxic", verdict="deny"),
    )

    assert tally.then(said) == Opinion("ask", ("large",), "much")


def test_what_was_waived_then_is_waived_now() -> None:
    said = judgement("allow", RuleOutcome(id="large", verdict="deny", waived="waiver-1"))
    decision = Decision(verdict="deny", hits=(RuleHit(rule_id="large", verdict="deny", reason="much"),))

    assert tally.then(said).verdict == tally.now(decision, said).verdict == "allow"
    assert tally.now(decision, None) == Opinion("deny", ("large",), "much")


def test_a_waiver_does_not_keep_an_error_from_denying() -> None:
    said = judgement("deny", RuleOutcome(id="large", verdict="deny", waived="waiver-1"))
    decision = Decision(verdict="deny", findings=(Finding(rule_id="large", kind="error", message="no value"),))

    assert tally.now(decision, said).verdict == "deny"


@pytest.mark.parametrize(
    ("answer", "new", "count"), [("reject", "allow", 1), ("reject", "deny", 0), ("approve", "allow", 0)]
)
def test_what_people_refused_and_would_go_through_is_listed(answer: str, new: Verdict, count: int) -> None:
    report = Report(pack="new", against="old")
    said = judgement("ask", RuleOutcome(id="large", verdict="ask"))
    approval = ApprovalPart(id="a", verdict=answer, by="kim")

    report.add("case", Happening(7, EVENT, said, approval), tally.then(said), Opinion(new, (), ""))

    assert report.overruled.count == count
    assert report.changes.kept[0].position == 7


def test_questions_that_were_always_approved_are_formalities_from_five_on() -> None:
    answers = Answers()
    for _ in range(4):
        answers.add("approve")
    assert not answers.formality
    answers.add("approve")
    answers.add("expired")
    assert (answers.formality, answers.count) == (True, 5)
    answers.add("reject")
    assert not answers.formality


def test_lists_end_and_counts_do_not() -> None:
    report = Report(pack="new", against="old")
    for at in range(tally.LISTED + 5):
        report.begin(Case(f"case-{at}", "x", (), 1))
        report.add("case", Happening(at, EVENT, None, None), tally.NOTHING, Opinion("deny", ("all",), ""))

    assert (report.changes.count, len(report.changes.kept)) == (tally.LISTED + 5, tally.LISTED)
    assert (report.lost, report.lost_in, len(report.lost_cases)) == (tally.LISTED + 5, tally.LISTED + 5, tally.LISTED)
