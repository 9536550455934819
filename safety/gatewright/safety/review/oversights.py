"""What is right in a rule pack and looks like an oversight: warnings, none of which keeps it from being used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gatewright.safety.rules import checking, sources
from gatewright.safety.rules.documents import RuleText
from gatewright.safety.rules.rule import Rule
from gatewright.safety.rules.sources import Problem
from gatewright.safety.rules.tools import UNKNOWN
from gatewright.safety.verdicts import ORDER

from .drafts import Draft
from .mutation import Survivor


def warnings(draft: Draft, survivors: Iterable[Survivor] = ()) -> list[Problem]:
    """Everything that looks like an oversight, in the order of the file.

    Args:
        survivors: what the examples do not try, as `mutation.outcome` finds it.
    """
    file = draft.source.file
    found = [*_idle(draft), *_unlabelled(draft), *_unseen(draft)]
    found += [Problem(file=file, line=each.line, rule=each.rule, message=each.message) for each in survivors]
    return sorted(found, key=lambda problem: problem.line)


def _idle(draft: Draft) -> Iterator[Problem]:
    """Rules that decide nothing, since another always decides the same or more."""
    for number, (rule, text) in enumerate(draft.rules):
        for at, (other, others) in enumerate(draft.rules):
            if at == number or not _covers(other, others, rule, text):
                continue
            if _covers(rule, text, other, others) and at > number:
                continue  # alike: told of the later one
            yield _note(
                draft,
                ("rules", number),
                f"decides nothing: rule {other.id!r} says {other.verdict} whenever it matches; remove one of them",
            )
            break


def _covers(stronger: Rule, its: RuleText, weaker: Rule, text: RuleText) -> bool:
    """Whether whatever the weaker rule decides is decided by the stronger one anyway."""
    if stronger.hook != weaker.hook or stronger.mode != "enforce" or weaker.mode != "enforce":
        return False
    if stronger.names is not None and not (weaker.names is not None and weaker.names <= stronger.names):
        return False
    if not stronger.labels <= weaker.labels:
        return False
    always = its.when is None and its.unless is None
    alike = (_bare(its.when), _bare(its.unless)) == (_bare(text.when), _bare(text.unless))
    if not always and not alike:
        return False
    if stronger.verdict == weaker.verdict:
        return (its.sets, its.closes, its.approval) == (text.sets, text.closes, text.approval)
    return ORDER.index(stronger.verdict) > ORDER.index(weaker.verdict)


def _bare(text: str | None) -> str | None:
    return None if text is None else " ".join(text.split())


def _unlabelled(draft: Draft) -> Iterator[Problem]:
    """Tools of the deployment that the pack says nothing about."""
    for name in sorted(draft.tools or ()):
        if not draft.pack.tools.get(name, UNKNOWN).labels:
            path = ("tools", name) if name in draft.pack.tools else ("tools",)
            yield _note(draft, path, f"the tool {name!r} has no labels; say under `tools:` what it does")


def _unseen(draft: Draft) -> Iterator[Problem]:
    """Tools that may change something and that no rule looks at."""
    for name in sorted({*(draft.tools or ()), *draft.pack.tools}):
        labels = draft.pack.tools.get(name, UNKNOWN).labels
        if "reads" in labels and not labels & {"egress", "irreversible"}:
            continue
        seen = any(
            rule.looks_at(hook, name, labels)
            for rule in draft.pack.rules
            for hook in ("tool.before", "function.before")
        )
        if not seen:
            path = ("tools", name) if name in draft.pack.tools else ("tools",)
            yield _note(draft, path, f"no rule looks at calls of {name!r}, so every one is allowed; it has no `reads`")


def _note(draft: Draft, path: sources.Path, message: str) -> Problem:
    return checking.problem(draft.source, path, message)
