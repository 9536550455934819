"""What came of a trial, or of a recorded case: the values that checks ask about and metrics are taken from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from gatewright.runtime import summaries
from gatewright.runtime.views import ApprovalView, RecordView, RunView
from gatewright.safety import canonical

REFUSED = frozenset({"denied", "terminated"})
LONGEST = 200  # characters of an error in a note


@dataclass(frozen=True, kw_only=True)
class Observation:
    """`records` are the effects of the case in the order of the log, `runs` all its runs, the root's in order first.

    `state`: the graph's state at the end, as JSON values · `world`: the digest of the world's · `reward`: None where
    nothing gives one.
    """

    records: Sequence[RecordView]
    runs: Sequence[RunView]
    approvals: Sequence[ApprovalView] = ()
    state: Mapping[str, Any] = field(default_factory=dict[str, Any])
    replies: Sequence[str] = ()
    reward: float | None = None
    world: str = ""

    def values(self) -> dict[str, Any]:
        """The variables of checks."""
        root = [run for run in self.runs if run.thread_id == run.case_id]
        return {
            "output": root[-1].output if root else None,
            "replies": list(self.replies),
            "effects": [_effect(record) for record in self.records],
            "decisions": [found for record in self.records if (found := _decision(record)) is not None],
            "approvals": [_approval(approval) for approval in self.approvals],
            "statuses": [run.status for run in self.runs],
            "reward": self.reward,
            "state": dict(self.state),
        }

    def failures(self) -> list[str]:
        """What the runs that did not succeed ended with, the first line of each error."""
        return [
            f"{run.agent} {run.status}: {run.error.type}: {(run.error.message.splitlines() or [''])[0][:LONGEST]}"
            for run in self.runs
            if run.error is not None
        ]

    def cost(self) -> float | None:
        """In US dollars; None if a model was called and what that cost is not known, 0 if none was."""
        total = 0
        for record in self.records:
            if (record.record.get("effect") or {}).get("kind") == "model":
                micro = (record.record.get("usage") or {}).get("cost_microusd")
                if micro is None:
                    return None
                total += micro
        return total / 1e6

    def violations(self, rules: Collection[str] | None) -> int:
        """The effects that one of `rules` matched; where none are named, those that were denied or ended a run."""
        if rules is None:
            return sum(record.record.get("outcome") in REFUSED for record in self.records)
        return sum(bool(set(summaries.of(record).rules) & set(rules)) for record in self.records)

    def digest(self) -> str:
        """SHA-256 of what it came to: the graph's state and the world's, without the ids that libraries make up."""
        return canonical.digest(canonical.json_value({"state": _without_ids(self.state), "world": self.world}))


def _effect(record: RecordView) -> dict[str, Any]:
    summary = summaries.of(record)
    return {
        "kind": summary.kind,
        "name": summary.name,
        "args": summary.args or {},
        "result": parsed(summary.result),
        "outcome": summary.outcome,
        "verdict": summary.verdict or "allow",
        "rules": list(summary.rules),
        "approver": summary.approver,
        "agent": str(record.record.get("agent") or ""),
    }


def _decision(record: RecordView) -> dict[str, Any] | None:
    summary = summaries.of(record)
    if summary.kind != "decision" or not isinstance(summary.result, Mapping):
        return None
    made = cast("Mapping[str, Any]", summary.result)
    asked: Mapping[str, Any] = summary.args or {}
    return {
        "point": summary.name,
        "option": made.get("option"),
        "features": asked.get("features") or {},
        "closed": asked.get("closed") or {},
        "policy": made.get("policy"),
        "propensity": made.get("propensity"),
        "reason": made.get("reason") or "",
    }


def _approval(approval: ApprovalView) -> dict[str, Any]:
    return {
        "kind": approval.kind,
        "name": str(approval.action.get("name") or ""),
        "args": approval.action.get("args") or {},
        "state": approval.state,
        "decision": approval.decision or "",
        "rules": approval.rules,
        "roles": approval.roles,
    }


def parsed(result: Any) -> Any:
    """A result as rules see it: the value that a JSON text says."""
    if isinstance(result, str) and result[:1] in ("{", "["):
        try:
            return orjson.loads(result)
        except orjson.JSONDecodeError:
            return result
    return result


def _without_ids(value: Any) -> Any:
    if isinstance(value, Mapping):
        plain = cast("Mapping[str, Any]", value)
        message = "type" in plain and "content" in plain
        return {key: _without_ids(item) for key, item in plain.items() if not (message and key == "id")}
    if isinstance(value, list):
        return [_without_ids(item) for item in cast("Any", value)]
    return value
