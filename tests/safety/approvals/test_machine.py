"""The life of a request under every order of votes, edits, time and use: what a bank would count on always holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gatewright.agents.errors import GatewrightError
from gatewright.safety import approvals
from gatewright.safety.approvals.ballots import Action, Answer, Request, State, Vote
from gatewright.safety.approvals.terms import PARTIES, ApprovalTerms, Escalation, Stage

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
ACTION = Action(kind="tool", name="pay", args={"amount": 80}, agent="clerk", deployment="x", pack="p" * 64)
ROLES = {
    "ada": {"ops"},
    "bob": {"treasury"},
    "cyd": {"ops", "treasury"},
    "dan": {"lead"},
    "eve": {"break_glass"},
    "fay": set[str](),
}
people = st.sampled_from(sorted(ROLES))
terms = st.builds(
    ApprovalTerms,
    stages=st.lists(
        st.builds(Stage, any=st.integers(1, 2), roles=st.frozensets(st.sampled_from(["ops", "treasury"]), max_size=1)),
        min_size=1,
        max_size=2,
    ).map(tuple),
    excluded=st.frozensets(st.sampled_from([*PARTIES, "name:cyd"])),
    expires=st.none() | st.just(3600.0),
    on_expiry=st.sampled_from(["hold", "escalate", "reject", "approve"]),
    escalation=st.sampled_from([(), (Escalation(after=600.0, to="role:lead"),)]),
)


class Approval(RuleBasedStateMachine):
    """One request at a time; an edit that others must approve is followed by the request about it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.uses = 0
        self.seen: list[State] = []

    @initialize(terms=terms, requester=people | st.just(""), owner=people | st.just(""))
    def ask(self, terms: ApprovalTerms, requester: str, owner: str) -> None:
        self.request = Request(
            id="r1",
            kind="approval",
            action=ACTION,
            terms=terms,
            opened=NOW,
            requester=requester,
            owner=owner,
            irreversible=True,
        )

    @rule(
        by=people,
        behalf=people | st.just(""),
        verdict=st.sampled_from(["approve", "approve", "approve", "reject", "edit", "answer"]),
        emergency=st.sampled_from([False, False, False, True]),
        signed_in=st.sampled_from([True, True, False]),
        id=st.sampled_from(["", "v1", "v2"]),
    )
    def vote(self, by: str, behalf: str, verdict: Answer, emergency: bool, signed_in: bool, id: str) -> None:
        vote = Vote(
            by=by,
            verdict=verdict,
            reason="because",
            value={"amount": 5},
            roles=frozenset(ROLES[behalf or by]),
            time=self.now,
            authenticated=signed_in,
            on_behalf_of=behalf if behalf != by else "",
            break_glass=emergency,
            id=id,
        )
        before = self.request
        try:
            self.request = approvals.decide(before, vote)
        except GatewrightError:
            return
        assert before.state == "open" or self.request is before  # a decision is made once
        if self.request.state == "superseded":
            self.follow()

    def follow(self) -> None:
        edited = self.request
        asked = Request(
            id="r2",
            kind="approval",
            action=edited.decided,
            opened=self.now,
            irreversible=True,
            requester=edited.requester,
            owner=edited.owner,
        )
        self.request = approvals.following(asked, edited)

    @rule(minutes=st.integers(1, 90))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def somebody_looks(self) -> None:
        before = self.request
        self.request = approvals.expire(before, self.now)
        assert self.request.state in ("open", "expired") or self.request == before  # silence performs nothing final

    @rule(same=st.booleans())
    def use(self, same: bool) -> None:
        digest = self.request.digest if same else "0" * 64
        try:
            self.request = approvals.consume(self.request, digest)
        except GatewrightError:
            return
        assert same
        self.uses += 1

    @rule()
    @precondition(lambda self: self.uses == 0)
    def the_run_ends(self) -> None:
        if self.request.state == "open":
            self.request = approvals.cancel(self.request)

    @invariant()
    def it_is_used_once_at_most(self) -> None:
        assert self.uses <= 1

    @invariant()
    def nobody_has_two_says(self) -> None:
        if not hasattr(self, "request"):
            return
        counted = [name for vote in self.request.votes if not vote.break_glass for name in vote.people]
        assert len(counted) == len(set(counted))

    @invariant()
    def nobody_who_is_excluded_decides(self) -> None:
        if not hasattr(self, "request"):
            return
        request = self.request
        for vote in request.votes:
            assert vote.by != request.requester or "requester" not in request.terms.excluded
            if not vote.break_glass:
                assert not vote.people & request.excluded.keys()

    @invariant()
    def what_is_approved_has_its_people(self) -> None:
        if not hasattr(self, "request") or self.request.state not in ("approved", "consumed"):
            return
        request = self.request
        if any(vote.break_glass for vote in request.votes):
            assert all("break_glass" in vote.roles for vote in request.votes if vote.break_glass)
            return
        if request.vote is not None and request.vote.verdict in ("edit", "answer"):
            assert request.terms.quorum == 1
            return
        called = {"lead"} if request.level else set[str]()
        for at, stage in enumerate(request.terms.stages):
            given = [vote for vote in request.votes if vote.verdict == "approve" and vote.stage == at]
            assert len(given) == stage.any
            assert all(vote.roles >= stage.roles or vote.roles & called for vote in given)
            assert all(vote.authenticated for vote in given) or (request.terms.quorum == 1 and not stage.roles)


Approval.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestApproval = Approval.TestCase
