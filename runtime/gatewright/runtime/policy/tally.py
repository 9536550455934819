"""What a pack changes on recorded events: verdicts, work for people, and where it disagrees with what they decided."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from gatewright.safety import verdicts
from gatewright.safety.ledger import records
from gatewright.safety.verdicts import Decision, Verdict

from .recorded import Case, Happening

LISTED = 1_000  # events that a list of a report names; further ones are counted
ENOUGH = 5  # answers from which on "always approved" says something

_OUTSIDE = ("budget:", "breaker:", "guard:")  # what limits and external guards did, which rules do not decide
_PASSES: frozenset[Verdict] = frozenset({"allow", "modify"})


class Opinion(NamedTuple):
    """What rules say of an event: the verdict, those that matched, and why."""

    verdict: Verdict
    rules: tuple[str, ...]
    reason: str


NOTHING = Opinion("allow", (), "")


class Change(NamedTuple):
    """An event that is judged otherwise. `position`: of its record; `answer`: what people had said, None if nobody
    was asked; `rules` are those that match now."""

    position: int | None
    case: str
    hook: str
    name: str
    old: Verdict
    new: Verdict
    rules: tuple[str, ...]
    reason: str
    answer: str | None


class Listed:
    """Events of one kind: all are counted, the first `LISTED` are kept."""

    def __init__(self) -> None:
        self.count = 0
        self.kept: list[Change] = []

    def add(self, change: Change) -> None:
        """Take in one more."""
        self.count += 1
        if len(self.kept) < LISTED:
            self.kept.append(change)


@dataclass
class Answers:
    """What people said where a rule asked them."""

    approved: int = 0
    edited: int = 0
    rejected: int = 0

    @property
    def count(self) -> int:
        """All of them."""
        return self.approved + self.edited + self.rejected

    @property
    def formality(self) -> bool:
        """Whether everything was approved, often enough to think of relaxing the rule."""
        return self.approved == self.count >= ENOUGH

    def add(self, verdict: str) -> None:
        """Take in one more; what expired is no answer."""
        self.approved += verdict == "approve"
        self.edited += verdict == "edit"
        self.rejected += verdict == "reject"


@dataclass(kw_only=True)
class Report:
    """A pack over recorded events.

    `lost`: events that cannot be shown again, since values were erased or withheld, `lost_in` so many cases, of which
    `lost_cases` names the first. `verdicts` counts pairs of old and
    new. `overruled`: what people had refused and the pack lets through. `deviations`: events that the very same pack
    (`same` of them) judged otherwise when they happened, so that the record does not hold all that it saw. `looked`
    and `hits` count, by rule, the events it was asked about and those it matched; `errors`, those it had no value for.
    `answers` are what people said, by the rule that had asked.
    """

    pack: str
    against: str
    cases: int = 0
    events: int = 0
    lost: int = 0
    lost_in: int = 0
    lost_cases: list[str] = field(default_factory=list[str])
    dates: set[date] = field(default_factory=set[date])
    verdicts: Counter[tuple[Verdict, Verdict]] = field(default_factory=Counter[tuple[Verdict, Verdict]])
    changes: Listed = field(default_factory=Listed)
    overruled: Listed = field(default_factory=Listed)
    deviations: Listed = field(default_factory=Listed)
    same: int = 0
    looked: Counter[str] = field(default_factory=Counter[str])
    hits: Counter[str] = field(default_factory=Counter[str])
    errors: Counter[str] = field(default_factory=Counter[str])
    answers: dict[str, Answers] = field(default_factory=dict[str, Answers])

    def begin(self, case: Case) -> None:
        """Take in a case; its events follow."""
        self.cases += 1
        self.lost += case.lost
        self.lost_in += case.lost > 0
        if case.lost and len(self.lost_cases) < LISTED:
            self.lost_cases.append(case.id)

    def add(self, case: str, happening: Happening, old: Opinion, new: Opinion) -> None:
        """Take in an event with both opinions."""
        self.events += 1
        self.dates.add(happening.event.time.date())
        self.verdicts[old.verdict, new.verdict] += 1
        approval, judgement = happening.approval, happening.judgement
        if approval is not None and judgement is not None:
            for rule in judgement.rules:
                if rule.verdict == "ask" and rule.counts:
                    self.answers.setdefault(rule.id, Answers()).add(approval.verdict)
        if old.verdict == new.verdict:
            return
        change = changed(case, happening, old, new)
        self.changes.add(change)
        if change.answer == "reject" and new.verdict in _PASSES:
            self.overruled.add(change)

    def asks(self, *, new: bool) -> int:
        """How often people are asked, by the new pack or before."""
        return sum(count for pair, count in self.verdicts.items() if pair[new] == "ask")

    @property
    def silent(self) -> list[str]:
        """Rules that never matched."""
        return sorted(rule for rule in self.looked if not self.hits[rule])


def changed(case: str, happening: Happening, old: Opinion, new: Opinion) -> Change:
    """An event with two opinions of it."""
    return Change(
        happening.position,
        case,
        happening.event.hook,
        happening.event.name,
        old.verdict,
        new.verdict,
        new.rules,
        new.reason,
        None if happening.approval is None else happening.approval.verdict,
    )


def then(judgement: records.Judgement | None) -> Opinion:
    """What rules said when it happened, without what limits and external guards did."""
    if judgement is None or not judgement.rules:
        return NOTHING
    rules = [rule for rule in judgement.rules if not rule.id.startswith(_OUTSIDE)]
    verdict = verdicts.strongest(rule.verdict for rule in rules if rule.counts)
    reasons = [rule.reason for rule in rules if rule.counts and rule.verdict == verdict]
    return Opinion(verdict, tuple(rule.id for rule in rules), "\n".join(dict.fromkeys(reasons)))


def now(decision: Decision, judgement: records.Judgement | None) -> Opinion:
    """What rules say now, with the waivers that held when it happened."""
    if not decision.hits and not decision.findings:
        return NOTHING
    rules = tuple(dict.fromkeys([hit.rule_id for hit in decision.hits] + [each.rule_id for each in decision.findings]))
    waived = {rule.id for rule in judgement.rules if rule.waived is not None} if judgement is not None else set[str]()
    if not waived.intersection(rules):
        return Opinion(decision.verdict, rules, decision.reason)
    counting = [hit for hit in decision.hits if hit.counts and hit.rule_id not in waived]
    denied: list[Verdict] = ["deny" for finding in decision.findings if finding.denies]
    verdict = verdicts.strongest([*(hit.verdict for hit in counting), *denied])
    reasons = [hit.reason for hit in counting if hit.verdict == verdict]
    return Opinion(verdict, rules, "\n".join(dict.fromkeys(reasons)))
