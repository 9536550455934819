"""Decision points: named choices with typed features and options, made by a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from .effects import ACTIVE, Effect
from .errors import DeniedError, UsageError

F = TypeVar("F", bound=BaseModel)
F_contra = TypeVar("F_contra", bound=BaseModel, contravariant=True)


class Choice(BaseModel):
    """What a policy picked.

    `propensity` is the probability, in (0, 1], with which this policy picks `option` given these features: 1 for a
    deterministic rule. `policy` names who chose, with a version.
    """

    option: str
    propensity: float = 1.0
    policy: str
    reason: str = ""


class Policy(Protocol[F_contra]):
    """What makes a choice: a rule, a model, a learned policy."""

    def __call__(self, features: F_contra, open_options: Sequence[str]) -> Choice:
        """Pick one of `open_options`, which is never empty and keeps the decision point's order."""
        ...


@dataclass(frozen=True, kw_only=True)
class DecisionPoint(Generic[F]):
    """A named choice. `policy` is the rule it starts with; a deployment may put another in its place."""

    name: str
    features: type[F]
    options: tuple[str, ...]
    policy: Policy[F]


class PointPolicy(Protocol):
    """A policy that a deployment puts in place of a decision point's own."""

    def at(self, point: DecisionPoint[Any]) -> Policy[Any]:
        """The policy for `point`.

        Raises:
            UsageError: it is not one for this point, its options or its features.
        """
        ...


def _effect(point: DecisionPoint[F], features: F, closed: Mapping[str, str]) -> Effect:
    unknown = sorted(set(closed) - set(point.options))
    if unknown:
        raise UsageError(
            f"decision point {point.name!r} has no option {unknown[0]!r} to close; it has {list(point.options)}"
        )
    if not set(point.options) - set(closed):
        raise UsageError(f"decision point {point.name!r}: every option is closed: {dict(closed)!r}")
    args = {
        "features": features.model_dump(mode="json"),
        "options": list(point.options),
        "closed": dict(closed),
    }
    return Effect(kind="decision", name=point.name, args=args, labels=frozenset({"reads"}))


def decide(
    point: DecisionPoint[F],
    features: F,
    *,
    closed: Mapping[str, str] | None = None,
    policy: Policy[F] | None = None,
) -> Choice:
    """Let the policy of `point` choose, as an effect: journalled, guarded and recorded.

    Args:
        closed: options that may not be chosen now, each with the reason; rules may close more of them.
        policy: chooses instead of the point's own rule, unless the deployment has a policy for this point.

    Raises:
        UsageError: `closed` names an unknown option, or closes all of them; or the deployment's policy does not fit.
        DeniedError: rules closed what was left.
    """
    wish = _effect(point, features, closed or {})
    context = ACTIVE.get()
    given = None if context is None else context.policies.get(point.name)

    def choose(args: Mapping[str, Any]) -> dict[str, Any]:
        open_options = [option for option in point.options if option not in args["closed"]]
        if not open_options:
            raise DeniedError(f"every option of decision point {point.name!r} is closed: {dict(args['closed'])!r}")
        chooser = given.at(point) if given is not None else policy or point.policy
        choice = chooser(point.features.model_validate(args["features"]), open_options)
        if choice.option not in open_options:
            raise UsageError(
                f"policy {choice.policy!r} chose {choice.option!r} at {point.name!r}; open are {open_options}"
            )
        return choice.model_dump(mode="json")

    made = choose(wish.args) if context is None else context.chain.perform(wish, choose)
    return Choice.model_validate(made)
