"""Decision records: what the ledger says about each effect, approval, run and key, as the bytes of one leaf.

Public fields stand in the record as they are. Personal or large values (arguments, results) are *sealed*: the record
holds a salted commitment, the value and its salt are kept beside the log and can be erased without touching a proof.
Unsalted hashes would not do: an age or a booking code is found by trying them all.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from gatewright.agents.effects import Kind as EffectKind
from gatewright.agents.errors import IntegrityError, UsageError
from gatewright.safety.canonical import canonical
from gatewright.safety.verdicts import Mode, Verdict

SCHEMA: Literal[1] = (
    1  # goes up when a field is added, so that an old reader refuses instead of dropping what it does not know
)
SALT_SIZE = 16  # bytes

Kind = Literal["effect", "approval", "run", "key", "control", "thread", "explanation"]
"""`effect`: something was done, or refused · `approval`: people answered · `run`: a run began, waited or ended ·
`key`: the ledger changed its signing key, or sealed values were erased · `control`: somebody paused or resumed a
deployment, or waived a rule · `thread`: rules were asked whether a thread may begin or end, or it was closed ·
`explanation`: why a decision came out as it did, as it was computed for somebody."""

Outcome = Literal["ok", "error", "denied", "terminated", "unknown"]
"""`ok`: performed · `error`: performed and failed · `denied`: not performed, the run goes on · `terminated`: not
performed, the run ended · `unknown`: it may or may not have happened; a person is asked."""

_STRICT = ConfigDict(extra="forbid", strict=True)

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, kw_only=True, slots=True)
class EffectPart:
    """Which effect. `key`: its identity across retries · `attempt`: from 1 · `labels`: as the tool carried them ·
    `digest`: of the arguments, what approvals are bound to. Like any unsalted hash it can be found by trying; where
    the arguments are personal, give the commitment of the sealed arguments instead."""

    __pydantic_config__ = _STRICT

    kind: EffectKind
    name: str
    key: str
    digest: str
    call_id: str | None = None
    attempt: Annotated[int, Field(ge=1)] = 1
    labels: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleOutcome:
    """A rule that matched, with the verdict it gave and its reason in words.

    `mode`: `shadow` where it was on trial and changed nothing · `waived`: the waiver that kept it from counting.
    """

    __pydantic_config__ = _STRICT

    id: str
    verdict: Verdict
    reason: str = ""
    mode: Mode = "enforce"
    waived: str | None = None

    @property
    def counts(self) -> bool:
        """Whether its verdict was part of the decision."""
        return self.mode == "enforce" and self.waived is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What the rules said. `pack` names the rule packs with their digests.

    `scores`: what external guards gave, by their names · `shadow`: what the packs on trial would have said, which
    changes nothing; None where there are none.
    """

    __pydantic_config__ = _STRICT

    verdict: Verdict
    pack: str
    rules: tuple[RuleOutcome, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict[str, float])
    shadow: Judgement | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardPart:
    """The judgements on the wish and on the result; None where the effect did not come that far."""

    __pydantic_config__ = _STRICT

    before: Judgement | None = None
    after: Judgement | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalPart:
    """What people answered, and who. `verdict`: `approve`, `reject`, `edit`, `answer` or `expired`, for example."""

    __pydantic_config__ = _STRICT

    id: str
    verdict: str
    by: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class UsagePart:
    """Tokens that a model call took, and what they cost in millionths of a US dollar; None where no price is known.

    `model`: as the provider named it in its answer, else as it was asked for.
    """

    __pydantic_config__ = _STRICT

    input_tokens: Count
    output_tokens: Count
    cost_microusd: Count | None = None
    model: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One leaf of the ledger. Every field is hashed; its place in the log is not a field but the leaf's index.

    `time`: UTC, RFC 3339 with microseconds and `Z`, from `timestamp` · `case_id`: the thread at the root · `step`:
    the path of the graph's step, `agent/node:3` for example · `sealed`: commitments of values that are kept outside,
    by name (`args`, `result`, ...) · `detail`: further public facts of this kind of record, JSON values without NaN.
    """

    __pydantic_config__ = _STRICT

    kind: Kind
    time: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")]
    deployment: str
    agent: str = ""
    run_id: str = ""
    thread_id: str = ""
    case_id: str = ""
    step: str = ""
    effect: EffectPart | None = None
    guard: GuardPart | None = None
    approval: ApprovalPart | None = None
    outcome: Outcome | None = None
    error: str | None = None
    duration_ms: Count | None = None
    usage: UsagePart | None = None
    sealed: Mapping[str, Digest] = field(default_factory=dict[str, str])
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])
    schema: Literal[1] = SCHEMA

    def encode(self) -> bytes:
        """The canonical bytes, which are the leaf. Fields are written out by hand: this is on the path of every effect.

        Raises:
            UsageError: a text or `detail` holds what JSON cannot say; pass it through `canonical.json_value`.
        """
        effect, guard, approval, usage = self.effect, self.guard, self.approval, self.usage
        return canonical(
            {
                "schema": self.schema,
                "kind": self.kind,
                "time": self.time,
                "deployment": self.deployment,
                "agent": self.agent,
                "run_id": self.run_id,
                "thread_id": self.thread_id,
                "case_id": self.case_id,
                "step": self.step,
                "effect": None
                if effect is None
                else {
                    "kind": effect.kind,
                    "name": effect.name,
                    "key": effect.key,
                    "call_id": effect.call_id,
                    "attempt": effect.attempt,
                    "labels": sorted(effect.labels),
                    "digest": effect.digest,
                },
                "guard": None
                if guard is None
                else {"before": plain_judgement(guard.before), "after": plain_judgement(guard.after)},
                "approval": None
                if approval is None
                else {
                    "id": approval.id,
                    "verdict": approval.verdict,
                    "by": approval.by,
                    "reason": approval.reason,
                },
                "outcome": self.outcome,
                "error": self.error,
                "duration_ms": self.duration_ms,
                "usage": None
                if usage is None
                else {
                    "input_tokens": usage.input_tokens,
                    "output_tokens": usage.output_tokens,
                    "cost_microusd": usage.cost_microusd,
                    "model": usage.model,
                },
                "sealed": dict(self.sealed),
                "detail": dict(self.detail),
            }
        )


def _plain_rule(rule: RuleOutcome) -> dict[str, Any]:
    plain: dict[str, Any] = {"id": rule.id, "verdict": rule.verdict, "reason": rule.reason}
    if rule.mode != "enforce":
        plain["mode"] = rule.mode
    if rule.waived is not None:
        plain["waived"] = rule.waived
    return plain


def plain_judgement(judgement: Judgement | None) -> dict[str, Any] | None:
    """A judgement as JSON values, as it stands in a record; what does not apply is left out."""
    if judgement is None:
        return None
    plain: dict[str, Any] = {
        "verdict": judgement.verdict,
        "rules": [_plain_rule(rule) for rule in judgement.rules],
        "pack": judgement.pack,
    }
    if judgement.scores:
        plain["scores"] = dict(judgement.scores)
    if judgement.shadow is not None:
        plain["shadow"] = plain_judgement(judgement.shadow)
    return plain


_RECORD = TypeAdapter(Record)
_JUDGEMENT = TypeAdapter(Judgement)


def judgement_of(plain: Mapping[str, Any]) -> Judgement:
    """What `plain_judgement` gave, read back.

    Raises:
        IntegrityError: it is no judgement.
    """
    try:
        return _JUDGEMENT.validate_python(plain, strict=False)
    except ValidationError as error:
        raise IntegrityError(f"not a judgement: {error}") from error


def decode(data: bytes) -> Record:
    """Read a leaf.

    Raises:
        IntegrityError: these are not the canonical bytes of a record of this schema version.
    """
    try:
        record = _RECORD.validate_json(data)
        same = record.encode() == data
    except (ValidationError, UsageError) as error:
        raise IntegrityError(f"not a decision record of schema {SCHEMA}: {error}") from error
    if not same:
        raise IntegrityError("a decision record is not in canonical form (RFC 8785), or leaves out a field")
    return record


def timestamp(at: datetime) -> str:
    """The time as records carry it: UTC with microseconds.

    >>> timestamp(datetime(2026, 8, 19, 12, 30, tzinfo=UTC))
    '2026-08-19T12:30:00.000000Z'

    Raises:
        UsageError: `at` has no time zone, so that nobody could say when it was.
    """
    if at.tzinfo is None:
        raise UsageError(f"{at!r} has no time zone; use datetime.now(UTC)")
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Sealed(NamedTuple):
    """A value's commitment, for the record, and the salt, to be kept with the value (16 bytes)."""

    salt: bytes
    commitment: str


def seal(value: bytes) -> Sealed:
    """Commit to a value with a new random salt, as SD-JWT (RFC 9901) does: SHA-256 over salt and value.

    Erase the value together with its salt: who has the salt can try values out.
    """
    salt = os.urandom(SALT_SIZE)
    return Sealed(salt, sha256(salt + value).hexdigest())


def check_seal(commitment: str, salt: bytes, value: bytes) -> None:
    """Check that `value` is what was committed to.

    Raises:
        IntegrityError: it is not, or the salt has not 16 bytes (then bytes could be moved between salt and value).
    """
    if len(salt) != SALT_SIZE or not hmac.compare_digest(sha256(salt + value).hexdigest(), commitment):
        raise IntegrityError(f"a sealed value does not match its commitment {commitment!r}: it was changed or swapped")
