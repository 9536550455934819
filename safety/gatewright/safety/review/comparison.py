"""What changes between two versions of a rule pack: in the text, and in the verdicts on the examples of both.

Whether one pack is stricter than another cannot be decided for all events; on the examples it can be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from gatewright.safety.verdicts import ORDER, Decision, Verdict

from .drafts import Draft, Sample

Kind = Literal["added", "removed", "changed"]
Direction = Literal["stricter", "looser"]

_LISTED = {"rules": "rule", "budgets": "budget", "breakers": "breaker"}  # lists of what has an `id`
_NAMED = {"tools": "tool", "definitions": "definition"}
_PLAIN = ("name", "version", "mode", "description", "defaults")
_REFUSES: frozenset[Verdict] = frozenset({"ask", "deny", "terminate"})
_PASSES: frozenset[Verdict] = frozenset({"allow", "modify"})


class FieldChange(NamedTuple):
    """A field of something that is in both, as it is written; None where it is not."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Something that one of the packs has, or both differently. `part` is rule, tool, definition, budget, breaker or
    pack; of a `definition` and of the pack, the fields are the things themselves."""

    part: str
    name: str
    kind: Kind
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Shift:
    """An example on which the two packs do not agree. `of` says whose example it is, `sample` which; `reason` is what
    the new pack says."""

    of: Literal["old", "new"]
    sample: Sample
    old: Verdict
    new: Verdict
    reason: str

    @property
    def direction(self) -> Direction:
        """Where the new pack goes."""
        return "stricter" if ORDER.index(self.new) > ORDER.index(self.old) else "looser"

    @property
    def opens(self) -> bool:
        """Whether the new pack lets through what the old one must stop: an example that one of its rules, in force,
        must ask about, deny or end."""
        must = self.sample.expected == "match" and self.sample.rule.mode == "enforce"
        return self.of == "old" and must and self.sample.rule.verdict in _REFUSES and self.new in _PASSES


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """From one pack to another. `examples`: on how many both were asked."""

    old: str
    new: str
    entries: tuple[Entry, ...]
    shifts: tuple[Shift, ...]
    examples: int

    @property
    def opened(self) -> tuple[Shift, ...]:
        """What must be stopped and is not any more: no such pack may take the place of the old one."""
        return tuple(shift for shift in self.shifts if shift.opens)


def compare(old: Draft, new: Draft) -> Comparison:
    """What becomes different when `new` takes the place of `old`."""
    own = list(old.samples(beside=new.pack.rules))
    known = [sample.event for sample in own]
    others = [sample for sample in new.samples(beside=old.pack.rules) if sample.event not in known]
    shifts: list[Shift] = []
    for at, sample in enumerate([*own, *others]):
        of: Literal["old", "new"] = "old" if at < len(own) else "new"
        before, after = old.guard.evaluate(sample.event), new.guard.evaluate(sample.event)
        if before.verdict != after.verdict:
            shifts.append(Shift(of=of, sample=sample, old=before.verdict, new=after.verdict, reason=_why(after)))
    return Comparison(
        old=old.pack.title,
        new=new.pack.title,
        entries=tuple(_entries(old.source.data, new.source.data)),
        shifts=tuple(shifts),
        examples=len(own) + len(others),
    )


def _why(decision: Decision) -> str:
    return decision.reason or "no rule matches"


def _entries(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Entry]:
    plain = tuple(_fields({key: old.get(key) for key in _PLAIN}, {key: new.get(key) for key in _PLAIN}))
    if plain:
        yield Entry(part="pack", name=str(new["name"]), kind="changed", fields=plain)
    for key, part in _LISTED.items():
        yield from _between(part, _by_id(old.get(key)), _by_id(new.get(key)))
    for key, part in _NAMED.items():
        yield from _between(part, old.get(key) or {}, new.get(key) or {})


def _by_id(entries: list[dict[str, Any]] | None) -> dict[str, Any]:
    return {str(entry["id"]): entry for entry in entries or ()}


def _between(part: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Entry]:
    for name in old:
        if name not in new:
            yield Entry(part=part, name=name, kind="removed")
    for name, value in new.items():
        if name not in old:
            yield Entry(part=part, name=name, kind="added")
        elif old[name] != value:
            fields = _fields(_mapping(part, old[name]), _mapping(part, value))
            yield Entry(part=part, name=name, kind="changed", fields=tuple(fields))


def _mapping(part: str, value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {part: value}


def _fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[FieldChange]:
    for field in dict.fromkeys((*old, *new)):
        if old.get(field) != new.get(field):
            yield FieldChange(field, old.get(field), new.get(field))
