"""`gatewright audit search`: find decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, get_args

import click

from gatewright.agents.effects import Kind as EffectKind
from gatewright.agents.errors import UsageError
from gatewright.runtime import summaries
from gatewright.runtime.search import Found, Search, condition
from gatewright.runtime.views import RecordView
from gatewright.safety.ledger.records import Kind, Outcome
from gatewright.safety.rules.fields import near
from gatewright.safety.verdicts import Verdict

from .clients import connect
from .desk import Desk, desk
from .grammar import LARGEST, Command

RECENT = 100  # decisions that a search which found nothing is held against

C = TypeVar("C", bound=Callable[..., Any])

_CRITERIA = (
    click.option("--effect", type=click.Choice(get_args(EffectKind)), help="Only this kind of effect."),
    click.option("--point", help="Decisions of this decision point."),
    click.option("--agent", help="What this agent did."),
    click.option("--deployment", help="What was done in this deployment."),
    click.option("--policy", help="Decisions by this policy: its name, or the beginning of name or version."),
    click.option("--option", help="Decisions for this option."),
    click.option("--verdict", type=click.Choice(get_args(Verdict)), help="The strictest verdict of the rules."),
    click.option("--outcome", type=click.Choice(get_args(Outcome)), help="What became of it."),
    click.option("--approver", help="What this person decided."),
    click.option("--thread", "thread_id", help="Records of this thread."),
    click.option("--case", "case_id", help="Records of this case."),
    click.option("--run", "run_id", help="Records of this run."),
    click.option("--kind", type=click.Choice(get_args(Kind)), help="Only this kind."),
    click.option("--since", help="From this time on, with a time zone: 2026-08-19T12:00Z."),
    click.option("--until", help="Before this time."),
    click.option("--feature", multiple=True, help="A feature or argument, such as 'amount>5000'; all have to hold."),
)


def criteria(command: C) -> C:
    """Gives a command the options that say what is looked for; `wanted` reads them."""
    for option in reversed(_CRITERIA):
        command = option(command)
    return command


def wanted(given: Mapping[str, Any]) -> Search:
    """The search that a command line asks for."""
    times = {"since": _time(given["since"]), "until": _time(given["until"])}
    return Search.model_validate({**given, **times})


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no time; write it as 2026-08-19T12:00Z") from error
    if found.tzinfo is None:
        raise UsageError(f"{text!r} has no time zone; write it as 2026-08-19T12:00Z")
    return found


@click.command("search", cls=Command)
@criteria
@click.option("--before", type=click.IntRange(0, LARGEST), help="The next page: what the last one said.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@desk
def search(desk: Desk, /, before: int | None, limit: int, **given: Any) -> None:
    """Find decisions, newest first."""

    async def ask() -> tuple[Found, list[RecordView]]:
        async with connect(desk.config()) as client:
            found = await client.search(wanted(given), before=before, limit=limit)
            if found.records or found.before is not None:
                return found, []
            return found, (await client.search(Search(effect="decision"), limit=RECENT)).records

    found, recent = desk.run(ask())
    columns = ("index", "time", "kind", "name", "choice", "verdict", "approver", "outcome", "case")
    rows = [_row(view) for view in found.records]
    value = found.model_dump(mode="json")
    desk.table(value, columns, rows, empty="nothing found")
    for hint in _unheard(given, recent):
        desk.say(hint)
    if found.before is not None:
        desk.say(f"there may be more: add --before {found.before}")


def _unheard(given: Mapping[str, Any], recent: Sequence[RecordView]) -> Iterator[str]:
    """What was asked for by a name that none of the `recent` decisions has: it may be misspelt."""
    if not recent:
        return
    of, point = f"none of the newest {len(recent)} decisions is of", given["point"]
    for name in ("deployment", "agent"):
        heard = {view.record[name] for view in recent if view.record[name]}
        if given[name] is not None and given[name] not in heard:
            yield f"{of} {name} {given[name]!r}; {near(given[name], sorted(heard))}"
    heard = {view.record["effect"]["name"] for view in recent}
    if point is not None and point not in heard:
        yield f"{of} a point {point!r}; {near(point, sorted(heard))}"
        return
    opened = [
        args
        for view in recent
        if isinstance(args := view.opened.get("args"), Mapping) and point in (None, view.record["effect"]["name"])
    ]
    options = {option for args in opened for option in args.get("options", ())}
    if given["option"] is not None and options and given["option"] not in options:
        yield f"{of} a point with an option {given['option']!r}; {near(given['option'], sorted(options))}"
    features = {name for args in opened if isinstance(args.get("features"), Mapping) for name in args["features"]}
    for name in (condition(text).name.partition(".")[0] for text in given["feature"]):
        if point is not None and features and name not in features:
            yield f"none of the newest {len(recent)} decisions has a feature {name!r}; {near(name, sorted(features))}"


def _row(view: RecordView) -> tuple[Any, ...]:
    summary = summaries.of(view)
    choice = summary.result.get("option", "") if isinstance(summary.result, Mapping) else ""
    return (
        str(view.index),
        view.time.isoformat(),
        summary.kind,
        summary.name,
        choice if summary.kind == "decision" else "",
        summary.verdict,
        summary.approver,
        summary.outcome,
        view.case_id,
    )
