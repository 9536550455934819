"""What a record says for ever: the words of rules and people, without the personal data in them.

A leaf of the ledger can never be erased, so no text that somebody wrote freely goes into one as it is. It is masked
with the detectors of `gatewright.safety.privacy.redaction`; what it said in full becomes a sealed value, which can be
erased.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from gatewright.safety.canonical import canonical

from .records import ApprovalPart, GuardPart, Judgement, Record, RuleOutcome, seal

SAID = "said"  # the field under which the full texts are sealed
REASON = "approval.reason"  # the place of what a person gave as a reason
FREE = "reason"  # the field of `detail` that may hold free text; its others are names, ids, digests and times


class Said(NamedTuple):
    """The full texts as canonical JSON, `{place in the record: text}`, and the salt that they are sealed with."""

    value: bytes
    salt: bytes


class Published(NamedTuple):
    """A record that may become a leaf. `said`: to be kept beside it; None where nothing had to be masked."""

    record: Record
    said: Said | None


def public(text: str) -> str:
    """The text without personal data and secrets.

    >>> public("refund to kim@example.org")
    'refund to [email]'
    """
    from gatewright.safety.privacy import redaction  # patterns that runs without a word from rules or people never need

    return redaction.masked(text)


def publish(record: Record) -> Published:
    """The record with its reasons masked, and what they said in full; the very record where that is the same."""
    guard, approval, detail = record.guard, record.approval, record.detail
    if (
        (guard is None or _silent(guard))
        and (approval is None or not approval.reason)
        and not detail.get(FREE)  # on the path of every effect: most have nothing to say
    ):
        return Published(record, None)
    said: dict[str, str] = {}
    masked = dataclasses.replace(
        record,
        guard=None if guard is None else _guard(guard, said),
        approval=None if approval is None else _approval(approval, said),
        detail=_detail(detail, said),
    )
    if not said:
        return Published(record, None)
    value = canonical(said)
    sealed = seal(value)
    return Published(
        dataclasses.replace(masked, sealed={**record.sealed, SAID: sealed.commitment}), Said(value, sealed.salt)
    )


def _silent(guard: GuardPart) -> bool:
    before, after = guard.before, guard.after
    return (before is None or not (before.rules or before.shadow)) and (
        after is None or not (after.rules or after.shadow)
    )


def _masked(text: str, place: str, said: dict[str, str]) -> str:
    shown = public(text)
    if shown != text:
        said[place] = text
    return shown


def _guard(guard: GuardPart, said: dict[str, str]) -> GuardPart:
    return dataclasses.replace(
        guard,
        before=_judgement(guard.before, "guard.before", said),
        after=_judgement(guard.after, "guard.after", said),
    )


def _judgement(judgement: Judgement | None, place: str, said: dict[str, str]) -> Judgement | None:
    if judgement is None:
        return None
    rules = tuple(_outcome(outcome, f"{place}.rules.{at}.reason", said) for at, outcome in enumerate(judgement.rules))
    return dataclasses.replace(judgement, rules=rules, shadow=_judgement(judgement.shadow, f"{place}.shadow", said))


def _outcome(outcome: RuleOutcome, place: str, said: dict[str, str]) -> RuleOutcome:
    return dataclasses.replace(outcome, reason=_masked(outcome.reason, place, said))


def _approval(approval: ApprovalPart, said: dict[str, str]) -> ApprovalPart:
    return dataclasses.replace(approval, reason=_masked(approval.reason, REASON, said))


def _detail(detail: Mapping[str, object], said: dict[str, str]) -> Mapping[str, object]:
    text = detail.get(FREE)
    return {**detail, FREE: _masked(text, f"detail.{FREE}", said)} if isinstance(text, str) else detail
