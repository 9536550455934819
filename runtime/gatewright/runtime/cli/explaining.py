"""`gatewright policy explain`: why rules said what they said."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gatewright.agents.errors import NotFoundError, UnavailableError, UsageError

from .desk import Desk, desk
from .grammar import Command
from .packs import PACK, configured

if TYPE_CHECKING:
    from gatewright.runtime.policy.recorded import Happening
    from gatewright.safety.ledger.records import RuleOutcome
    from gatewright.safety.review.explanation import Explanation, Part
    from gatewright.safety.rules.events import Event


class _Explained(NamedTuple):
    """An event with its explanation. `happening` is what is on record of it, None for an event of a file."""

    event: Event
    explanation: Explanation
    happening: Happening | None


@click.command(cls=Command)
@click.argument("what", metavar="INDEX|EVENT.json")
@click.option("--pack", type=PACK, help="Explain by this rule pack instead of the one that was in force.")
@click.option("--deployment", help="Whose rules an event of a file is judged by; needed where there are several.")
@desk
def explain(desk: Desk, what: str, pack: Path | None, deployment: str | None) -> None:
    """Say why rules decide as they do, of the record at INDEX or of an event in a file.

    An event is written as an example of a rule, with its `hook` and `name`. Shown are all rules that look at it, those
    that match first, with the clauses that were decisive (`*`) and those beside them; where the values come from; and
    the scores of external guards. `--json` has all clauses.
    """
    found = _of_record(desk, int(what), pack) if what.isdecimal() else [_of_file(desk, Path(what), pack, deployment)]
    desk.show([_plain(each) for each in found], lambda: "\n\n".join(_words(each) for each in found))


def _of_record(desk: Desk, index: int, pack: Path | None) -> list[_Explained]:
    from gatewright.runtime.policy import backtest, library, recorded
    from gatewright.safety.review import drafts, explanation
    from gatewright.safety.rules.packs import Pack

    with backtest.ledger(desk.store()) as engine, engine.connect() as connection:
        case_id = recorded.case_of(connection, index)
        case = recorded.read(connection, case_id)
        happenings = [each for each in case.happenings if each.position == index]
        if not happenings:
            raise NotFoundError(f"record {index} is not about anything that rules judge, or its values were erased")
        found: list[_Explained] = []
        for happening in happenings:
            if pack is not None:
                draft = drafts.read(pack)
            elif happening.judgement is not None and happening.judgement.pack != Pack.empty().title:
                draft = library.find(connection, happening.judgement.pack)
            else:
                continue
            found.append(_Explained(happening.event, explanation.explain(draft, happening.event), happening))
    if not found:
        raise NotFoundError(f"no rules were asked about record {index}; give a pack with --pack")
    return found


def _of_file(desk: Desk, file: Path, pack: Path | None, deployment: str | None) -> _Explained:
    from gatewright.runtime import deployments
    from gatewright.safety.review import drafts, explanation
    from gatewright.safety.rules import examples
    from gatewright.safety.rules.documents import EventText

    try:
        given = EventText.model_validate_json(file.read_text("utf-8"))
        event = examples.shown(given, given.hook, name=given.name or "", labels=frozenset(given.labels))
    except OSError as error:
        raise UnavailableError(
            f"cannot read {str(file)!r}: {error.strerror}; give the index of a record, or a file"
        ) from error
    except ValueError as error:
        raise UsageError(f"{str(file)!r} is no event: {error}") from error
    rules = pack or deployments.governed(configured(desk, deployment)).rules
    if rules is None:
        raise UsageError("the deployment has no rule pack; give one with --pack")
    return _Explained(event, explanation.explain(drafts.read(rules), event), None)


def _plain(each: _Explained) -> dict[str, Any]:
    event, found, happening = each
    judgement = None if happening is None else happening.judgement
    return {
        "record": None if happening is None else happening.position,
        "hook": event.hook,
        "name": event.name,
        "agent": event.agent,
        "labels": list(found.labels),
        "pack": found.decision.pack,
        "verdict": found.decision.verdict,
        "reason": found.decision.reason,
        "recorded": None if judgement is None else judgement.verdict,
        "limits": [{"id": rule.id, "verdict": rule.verdict, "reason": rule.reason} for rule in _limits(each)],
        "scores": dict(event.scores),
        "facts": dict(found.facts),
        "rules": [
            {
                "id": opinion.rule,
                "verdict": opinion.verdict,
                "mode": opinion.mode,
                "matched": opinion.matched,
                "when": [dataclasses.asdict(part) for part in opinion.when],
                "unless": [dataclasses.asdict(part) for part in opinion.unless],
            }
            for opinion in found.rules
        ],
    }


def _words(each: _Explained) -> str:
    event, found, happening = each
    place = "" if happening is None else f"record {happening.position}: "
    recorded = ""
    if happening is not None and happening.judgement is not None:
        recorded = f" (on record: {happening.judgement.verdict})"
    labels = ", ".join(found.labels) or "none"
    lines = [f"{place}{event.hook} {event.name} -> {found.decision.verdict}{recorded} by {found.decision.pack}"]
    lines.append(f"labels: {labels}")
    lines += [f"score of {guard}: {score:g}" for guard, score in sorted(event.scores.items())]
    for fact, value in found.facts.items():
        lines += (
            [f"{fact}: {json.dumps(value, ensure_ascii=False)}"] if isinstance(value, bool) else _sources(fact, value)
        )
    lines += [f"{rule.id}: {rule.verdict} ({rule.reason})" for rule in _limits(each)]
    for opinion in sorted(found.rules, key=lambda opinion: opinion.matched is False):
        said = {True: "matches", False: "does not match", None: "has no value, so it denies"}[opinion.matched]
        trial = ", on trial" if opinion.mode == "shadow" else ""
        lines.append(f"rule {opinion.rule!r} ({opinion.verdict}{trial}) {said}")
        for field, parts in (("when", opinion.when), ("unless", opinion.unless)):
            lines += [_line(field, part) for part in _telling(parts)]
    if not found.rules:
        lines.append("no rule looks at this")
    return "\n".join(lines)


def _telling(parts: Sequence[Part]) -> list[Part]:
    """The decisive parts, and those beside them; not what the others are made of."""
    return [
        part
        for at, part in enumerate(parts)
        if part.decisive
        or next((above.decisive for above in reversed(parts[:at]) if above.depth == part.depth - 1), True)
    ]


def _line(field: str, part: Part) -> str:
    value = "no value" if part.value is None else str(part.value).lower()
    why = f"  ({part.error})" if part.error and part.decisive else ""
    mark = "*" if part.decisive else " "
    return f"  {mark} {field if not part.depth else '':6} {value:8} {'  ' * part.depth}{part.text}{why}"


def _sources(fact: str, values: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"{fact}: {each['path']} = {each['value']!r} from {each['source'] or 'nowhere known'}" for each in values]


def _limits(each: _Explained) -> list[RuleOutcome]:
    judgement = None if each.happening is None else each.happening.judgement
    return [] if judgement is None else [rule for rule in judgement.rules if ":" in rule.id]
