"""Verdicts, how those of several rules become one, and what a rule may change.

`allow < modify < ask < deny < terminate`: the strongest wins and order never matters, so a rule pack can be read
rule by rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gatewright.safety.approvals.terms import ApprovalTerms

Verdict = Literal["allow", "modify", "ask", "deny", "terminate"]
"""`allow`: go on · `modify`: go on with other arguments or another result · `ask`: people decide · `deny`: not this
one; the agent is told why · `terminate`: the run ends."""

ORDER: tuple[Verdict, ...] = ("allow", "modify", "ask", "deny", "terminate")
_RANK: Mapping[Verdict, int] = {verdict: rank for rank, verdict in enumerate(ORDER)}


def strongest(verdicts: Iterable[Verdict]) -> Verdict:
    """The strongest of the verdicts; `allow` if there are none.

    >>> strongest(["modify", "deny", "ask"])
    'deny'
    """
    return ORDER[max((_RANK[verdict] for verdict in verdicts), default=0)]


Mode = Literal["enforce", "shadow"]
"""`enforce`: the rule counts · `shadow`: it is evaluated and reported, and changes nothing."""


@dataclass(frozen=True, kw_only=True)
class RuleHit:
    """A rule that matched, with its reason filled in. `waived` is the id of the waiver that keeps it from counting."""

    rule_id: str
    verdict: Verdict
    reason: str
    mode: Mode = "enforce"
    waived: str | None = None

    @property
    def counts(self) -> bool:
        """Whether its verdict is part of the decision."""
        return self.mode == "enforce" and self.waived is None


FindingKind = Literal["error", "limit", "conflict", "unstable", "guard", "reason"]
"""`error`: an expression has no value for the event · `limit`: the event is too large or
too deep to look at, or not JSON · `conflict`: two
rules change the same place differently · `unstable`: changes never came to rest · `guard`: an external guard gave no
scores · `reason`: a reason's template has no value (its verdict stands, the text is shown as written)."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something wrong with a rule, met while it was evaluated; every kind but `reason` denies where the rule counts."""

    rule_id: str
    kind: FindingKind
    message: str
    mode: Mode = "enforce"

    @property
    def denies(self) -> bool:
        """Whether the event is refused because of it; no waiver changes that."""
        return self.mode == "enforce" and self.kind != "reason"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the rules say about an event. `hits` are all rules that matched, also those that do not count.

    `args` and `result` are what to go on with where rules changed them, None where they did not. `terms` are set
    where the verdict is `ask`. `pack` names every pack that was asked, as `name@version#digest` (12 hex digits).
    """

    verdict: Verdict
    hits: tuple[RuleHit, ...] = ()
    args: Mapping[str, Any] | None = None
    result: Any = None
    terms: ApprovalTerms | None = None
    pack: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def reason(self) -> str:
        """Why the verdict is what it is, for people and for the agent: the reasons that carry it, one a line."""
        reasons = [hit.reason for hit in self.hits if hit.counts and hit.verdict == self.verdict]
        if self.verdict == "deny":
            reasons += [finding.message for finding in self.findings if finding.denies]
        return "\n".join(dict.fromkeys(reasons))


Path = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A value to put at `path`: `("args", "address", "city")` or `("result",)`."""

    rule_id: str
    path: Path
    value: Any


def conflict(changes: Sequence[Change]) -> tuple[Change, Change] | None:
    """Two changes that cannot both be made: one place inside the other, or one place and two values."""
    ordered = sorted(changes, key=lambda change: (change.path, change.rule_id))
    for at, one in enumerate(ordered):
        for other in ordered[at + 1 :]:
            if other.path[: len(one.path)] != one.path:
                break  # sorted: what lies inside `one` follows it directly
            if other.path != one.path or not _same(other.value, one.value):
                return one, other
    return None


def changed(root: Any, changes: Iterable[Change]) -> Any:
    """A copy of `root` with the changes made; the first name of each path stands for `root` itself.

    Raises:
        TypeError: a path leads through something that is not an object, or nothing would be left.
    """
    for change in changes:
        root = _put(root, change.path[1:], change.value)
    if root is None:
        raise TypeError("null cannot stand for a whole result; set a text or an object")
    return root


def _put(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    if not isinstance(value, Mapping):
        raise TypeError(f"{path[0]!r} cannot be set in a value of type {type(value).__name__}")
    return {**value, path[0]: _put(value.get(path[0], {}), path[1:], new)}


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)  # 1, 1.0 and True are different JSON values
