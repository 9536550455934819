"""What the rules of a release say of an episode, beside what was said when it happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gatewright.runtime.episodes import Episode
from gatewright.runtime.policy import recorded, tally
from gatewright.runtime.policy.recorded import Happening
from gatewright.safety.rules.events import CLOSES
from gatewright.safety.verdicts import Decision

from .divergence import Divergence

if TYPE_CHECKING:
    from .release import Release


@dataclass(frozen=True)
class Verdicts:
    """What rules say of an episode again. Differences are by position for `effects`, by run for `inputs` and
    `outputs`; `admitted` are inputs that rules changed, `refused` runs whose input they did not let in, and `changed`
    those whose output they changed. `closed`: the options that are closed now, by position of their decision, where
    rules do no more to it than that."""

    effects: Mapping[int, Divergence]
    closed: Mapping[int, Mapping[str, str]]
    inputs: Mapping[str, Divergence]
    outputs: Mapping[str, Divergence]
    admitted: Mapping[str, Any]
    refused: frozenset[str]
    changed: frozenset[str]


def verdicts(episode: Episode, release: Release) -> tuple[Verdicts, bool]:
    """Ask the rules of the release about everything that happened, and compare."""
    effects: dict[int, Divergence] = {}
    closed: dict[int, Mapping[str, str]] = {}
    inputs: dict[str, Divergence] = {}
    outputs: dict[str, Divergence] = {}
    admitted: dict[str, Any] = {}
    refused: set[str] = set()
    changed: set[str] = set()
    same = True
    if not episode.runs:
        return Verdicts(effects, closed, inputs, outputs, admitted, frozenset(), frozenset()), same
    guard = release.deployment(episode.root.deployment).guard
    for happening, decision in recorded.judged(recorded.happened(episode, wanted=guard.wants), guard):
        event, judgement = happening.event, happening.judgement
        given, answer = event.hook in ("input", "message.receive"), event.hook == "output"
        same = same and (judgement is None or judgement.pack == guard.title)
        if given and decision.args is not None:
            admitted[event.run_id] = decision.args
        if given and decision.verdict not in ("allow", "modify"):
            refused.add(event.run_id)
        if answer and decision.verdict == "modify" and decision.result is not None:
            changed.add(event.run_id)
        divergence = _compared(episode, happening, decision)
        if happening.position is not None and event.hook == CLOSES and decision.verdict in ("allow", "modify"):
            closed[happening.position] = (decision.args or event.args).get("closed") or {}
        elif happening.position is not None and divergence is not None:
            closed.pop(happening.position, None)
        if divergence is None:
            continue
        if given:
            inputs.setdefault(event.run_id, divergence)
        elif answer:
            outputs.setdefault(event.run_id, divergence)
        elif happening.position is not None:
            effects.setdefault(happening.position, divergence)
    return Verdicts(effects, closed, inputs, outputs, admitted, frozenset(refused), frozenset(changed)), same


def _compared(episode: Episode, happening: Happening, decision: Decision) -> Divergence | None:
    event, judgement = happening.event, happening.judgement
    then, now = tally.then(judgement), tally.now(decision, judgement)
    if judgement is not None and judgement.verdict == "modify" and event.hook.endswith((".after", "output")):
        return None  # the record has what rules made of the result, not what they saw
    if happening.approval is not None and happening.approval.verdict == "edit":
        return None  # rules were asked once more, about what people wrote
    if then.verdict == now.verdict and set(then.rules) == set(now.rules):
        return None
    what = f"rules say {now.verdict!r} of {event.hook} {event.name!r}, and had said {then.verdict!r}"
    old = {"verdict": then.verdict, "rules": list(then.rules), "reason": then.reason}
    new = {"verdict": now.verdict, "rules": list(now.rules), "reason": now.reason}
    return Divergence(episode.id, event.run_id, happening.position, "verdict", what, old, new)
