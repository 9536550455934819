"""Logs: recorded decisions as arrays. Unlike the environments beside it, this needs no extra.

What would have happened with another option is not on record. So what is learnt from a log is weighted by how likely
the choice was when it was made, and a log of decisions that left nothing to chance says nothing about other policies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatewright.agents.decisions import Choice, DecisionPoint
from gatewright.agents.errors import UsageError
from gatewright.runtime.episodes import Episode
from gatewright.runtime.policies.encoding import Encoding, Vector
from gatewright.runtime.views import RecordView


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A decision that was made. `position`: its record's index in the ledger; `closed`: options with the reasons."""

    case_id: str
    position: int
    features: Mapping[str, Any]
    options: Sequence[str]
    closed: Mapping[str, str]
    choice: Choice


def of_episode(episode: Episode, point: str) -> Iterator[Decision]:
    """The decisions of a case at a point, in the order of the log.

    Without those that failed, that were erased, or that people made in place of the policy.
    """
    for entry in episode.entries:
        part, approval = entry.record.effect, entry.record.approval
        if part is None or (part.kind, part.name, entry.record.outcome) != ("decision", point, "ok"):
            continue
        if approval is not None and approval.verdict == "answer":
            continue
        if {"args", "result"} <= entry.values.keys():
            args, result = entry.values["args"].decoded(), entry.values["result"].decoded()
            yield _decision(episode.id, entry.position, args, result)


def of_records(records: Iterable[RecordView], point: str) -> Iterator[Decision]:
    """The decisions at a point among decision records, as the service or its API gives them; else as `of_episode`."""
    for view in records:
        part, approval = view.record.get("effect") or {}, view.record.get("approval") or {}
        if (part.get("kind"), part.get("name"), view.record.get("outcome")) != ("decision", point, "ok"):
            continue
        if approval.get("verdict") == "answer":
            continue
        if {"args", "result"} <= view.opened.keys():
            yield _decision(view.case_id or "", view.index, view.opened["args"], view.opened["result"])


def _decision(case_id: str, position: int, args: Mapping[str, Any], result: Any) -> Decision:
    return Decision(
        case_id=case_id,
        position=position,
        features=args["features"],
        options=args["options"],
        closed=args["closed"],
        choice=Choice.model_validate(result),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Log:
    """Decisions at one point as arrays of n rows, in the order in which they were given.

    `observations`: float32, shape `(n, n_columns)`. `opened`: bool, shape `(n, n_options)`, which options were open.
    `actions`: int64, shape `(n,)`, the position of the option that was chosen, and `propensities`, float64, in (0, 1],
    how likely that was. `rewards`: float64. `positions`: int64, indices in the ledger.
    """

    point: DecisionPoint[Any]
    encoding: Encoding
    observations: Vector
    opened: NDArray[np.bool_]
    actions: NDArray[np.int64]
    propensities: NDArray[np.float64]
    rewards: NDArray[np.float64]
    positions: NDArray[np.int64]
    cases: Sequence[str]
    policies: Sequence[str]

    @classmethod
    def of(
        cls,
        point: DecisionPoint[Any],
        decisions: Iterable[Decision],
        rewards: Mapping[str, float],
        *,
        encoding: Encoding | None = None,
    ) -> Log:
        """The arrays of decisions.

        Args:
            rewards: of cases, by id. A case's reward is that of its last decision here; those before it have 0.
            encoding: of the point's features; without one, fitted to these.

        Raises:
            UsageError: there are none, one does not fit the point, or the reward of its case is not known.
        """
        rows = list(decisions)
        if not rows:
            raise UsageError(f"there are no decisions at {point.name!r} on record; have the team make some first")
        for row in rows:
            _check(point, row, rewards)
        features = [row.features for row in rows]
        encoding = encoding or Encoding.of(point.features).fitted(features)
        last = {row.case_id: at for at, row in enumerate(rows)}
        return cls(
            point=point,
            encoding=encoding,
            observations=encoding.encode_many(features),
            opened=np.array([[option not in row.closed for option in point.options] for row in rows]),
            actions=np.array([point.options.index(row.choice.option) for row in rows], np.int64),
            propensities=np.array([row.choice.propensity for row in rows], np.float64),
            rewards=np.array([rewards[row.case_id] if last[row.case_id] == at else 0.0 for at, row in enumerate(rows)]),
            positions=np.array([row.position for row in rows], np.int64),
            cases=[row.case_id for row in rows],
            policies=[row.choice.policy for row in rows],
        )

    def __len__(self) -> int:
        return len(self.actions)


def _check(point: DecisionPoint[Any], row: Decision, rewards: Mapping[str, float]) -> None:
    where = f"the decision of case {row.case_id!r} (record {row.position})"
    if tuple(row.options) != point.options:
        raise UsageError(
            f"{where} was between {list(row.options)}, and {point.name!r} has the options {list(point.options)} now; "
            "take only records since the options were changed"
        )
    if row.choice.option not in point.options or row.choice.option in row.closed:
        raise UsageError(
            f"{where} chose {row.choice.option!r}, which was not open; such a record cannot be learnt from"
        )
    if not 0 < row.choice.propensity <= 1:
        raise UsageError(f"{where} has the propensity {row.choice.propensity!r}; it must be above 0 and up to 1")
    if row.case_id not in rewards:
        raise UsageError(f"the reward of case {row.case_id!r} is not known; give one for every case, or leave it out")
