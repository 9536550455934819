"""Who answers what people are asked in a trial."""

from __future__ import annotations

from collections.abc import Sequence

from gatewright.agents.errors import ConflictError, GatewrightError
from gatewright.runtime.operations import Operations
from gatewright.runtime.views import ApprovalView
from gatewright.safety import canonical
from gatewright.safety.approvals.ballots import Voter

from .documents import Answer, Answered, Approvals

UNATTENDED = "nobody looks at what is tried in simulation"
UNASKED = "nobody was asked this in the recording"


class UnansweredError(GatewrightError):
    """Something was asked that only a person, or a recording of one, could answer; the trial ends there."""


class Approvers:
    """The people of one trial: as many as a request needs, with the roles that it needs."""

    def __init__(self, approvals: Approvals, answers: Sequence[Answered]) -> None:
        self._approvals = approvals
        self._left = list(answers)

    async def answer(self, client: Operations, approval: ApprovalView) -> None:
        """Answer a request that is open.

        Raises:
            UnansweredError: it is a question, and the recording has no answer to it.
        """
        said, view = self._said(approval), approval
        for number in range(max(approval.needed - approval.given, 1)):
            name = f"approver-{approval.given + number + 1}"
            voter = Voter(name=name, roles=frozenset(view.roles), authenticated=True, via="scenario")
            try:
                view = await client.decide(approval.id, said.verdict, voter=voter, reason=said.reason, value=said.value)
            except ConflictError:
                return  # its time was over, or its run
            if view.state != "open":
                return

    def _said(self, approval: ApprovalView) -> Answered:
        how = self._how(approval)
        if how == "recorded" or approval.kind == "question":
            if (found := self._recorded(approval)) is not None:
                return found if found.reason else found.model_copy(update={"reason": UNATTENDED})
            if approval.kind == "question":
                raise UnansweredError(
                    f"it asks people {str(approval.action.get('payload'))[:200]!r}, and the case has no answer to "
                    "that; write it under `answers`"
                )
            return Answered(verdict="reject", reason=UNASKED)
        return Answered(verdict=how, reason=UNATTENDED)

    def _how(self, approval: ApprovalView) -> Answer:
        named = {self._approvals.roles[role] for role in approval.roles if role in self._approvals.roles}
        for strictest in ("reject", "recorded", "approve"):
            if strictest in named:
                return strictest
        return self._approvals.default

    def _recorded(self, approval: ApprovalView) -> Answered | None:
        """The answer to this very action; each is given once. Questions are answered in their order."""
        name = "" if approval.kind == "question" else str(approval.action.get("name") or "")
        args = approval.action.get("args") or {}
        for place, answered in enumerate(self._left):
            if answered.name == name and (not name or _same(answered.args, args)):
                return self._left.pop(place)
        return None


def _same(one: object, other: object) -> bool:
    return canonical.canonical(canonical.json_value(one)) == canonical.canonical(canonical.json_value(other))
