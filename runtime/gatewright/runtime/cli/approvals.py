"""`gatewright approvals`: what waits for a person, and their decision."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, cast

import click

from gatewright.agents.errors import UsageError
from gatewright.runtime.views import ApprovalView, DecisionOutcome, GrantOffer, Verb

from . import clients, standing
from .clients import BY, acting, connect
from .desk import Desk, desk, facts
from .grammar import Group
from .inputs import JSONText, Time

REFUSED = 1


@click.group(cls=Group, default="list")
def approvals() -> None:
    """See what waits for a person, and decide it. Without a command: list."""


standing.add(approvals)


@approvals.command("list")
@click.option("--mine", is_flag=True, help="Only what you may decide now.")
@click.option("--role", help="Only what somebody with this role may decide now.")
@click.option("--all", "every", is_flag=True, help="Also those that are decided.")
@click.option("--run", "run_id", help="Only of this run.")
@click.option("--case", "case_id", help="Only of this case.")
@click.option("--deployment", help="Only of this deployment.")
@click.option("--agent", help="Only of this agent.")
@click.option("--after", help="Go on behind this one, the last of the page before.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@desk
def list_approvals(desk: Desk, /, mine: bool, every: bool, **query: Any) -> None:
    """List approvals, the oldest first."""

    async def ask() -> list[ApprovalView]:
        config = desk.config()
        async with connect(config) as client:
            voter = (await acting(client, config)).voter(None, via=clients.VIA) if mine else None
            return await client.approvals(state=None if every else "open", voter=voter, **query)

    found = desk.run(ask())
    rows = [
        (
            view.id,
            view.state,
            view.kind,
            view.action.get("name") or view.action.get("payload"),
            progress(view),
            due(view) or "-",
            view.reason,
            view.run_id,
        )
        for view in found
    ]
    columns = ("id", "state", "kind", "action", "votes", "due", "reason", "run")
    desk.table(dump(found), columns, rows, empty="nothing waits for a person")


@approvals.command("show")
@click.argument("approval_id")
@desk
def show(desk: Desk, approval_id: str) -> None:
    """Show what would be done, why it waits, and what a decision may look like."""

    async def ask() -> ApprovalView:
        async with connect(desk.config()) as client:
            return await client.approval(approval_id)

    view = desk.run(ask())
    desk.show(view.model_dump(mode="json"), lambda: describe(view))


def decision(verb: Verb, help: str, *options: Any) -> None:
    """Add the command for one verb."""

    async def ask(desk: Desk, approval_id: str, by: str | None, given: dict[str, Any]) -> ApprovalView:
        config = desk.config()
        async with connect(config) as client:
            voter = (await acting(client, config, by)).voter(by, via=clients.VIA)
            return await client.decide(approval_id, verb, voter=voter, **given)

    @desk
    def command(desk: Desk, /, approval_id: str, by: str | None, **given: Any) -> None:
        view = desk.run(ask(desk, approval_id, by, _given(desk, approval_id, given)))
        desk.show(view.model_dump(mode="json"), lambda: said_of(view))

    made: Any = click.option("--by", help=BY)(command)
    for option in (*options, ON_BEHALF_OF, SHOWN):
        made = option(made)
    made = click.argument("approval_id")(made)
    approvals.command(verb, help=help)(made)


def _given(desk: Desk, approval_id: str, given: dict[str, Any]) -> dict[str, Any]:
    """What the options say, as the service takes it; an emergency is confirmed first."""
    reach, until, same = given.pop("reach", None), given.pop("until", None), given.pop("same", ())
    if reach is not None:
        given["grant"] = GrantOffer(reach=reach, arguments=list(same), until=until)
    elif until is not None or same:
        raise UsageError("--until and --same belong to a grant; say how far it reaches with --grant")
    sure = given.pop("sure", False)
    if given.get("break_glass"):
        if not str(given["reason"]).strip():
            raise UsageError("--break-glass needs --reason; it is recorded and reviewed")
        text = f"Decide {approval_id} alone, past its terms? It is recorded as an emergency, and others will review it."
        if not sure and not click.confirm(text, err=True):
            raise click.Abort
    return given


ON_BEHALF_OF = click.option(
    "--for",
    "on_behalf_of",
    default="",
    metavar="NAME",
    help="In the place of somebody who delegated their vote to you.",
)
SHOWN = click.option("--shown", default="", metavar="DIGEST", help="The digest that you saw; another one is refused.")
REASON = click.option("--reason", default="", help="A note.")
EMERGENCY = (
    click.option("--break-glass", is_flag=True, help="Decide alone, in an emergency; needs the role and --reason."),
    click.option("--yes", "sure", is_flag=True, help="With --break-glass: do not ask whether you are sure."),
)

decision(
    "approve",
    "Let the action be performed as it is.",
    REASON,
    click.option(
        "--grant",
        "reach",
        type=click.Choice(["run", "thread", "until"]),
        help="Let like actions pass, too: in this run, on this thread, or anywhere until a time.",
    ),
    click.option("--until", type=Time(), help="With --grant: when it ends, as 4h, 2d or a time."),
    click.option("--same", multiple=True, metavar="ARG", help="With --grant: only with this argument's value."),
    *EMERGENCY,
)
decision(
    "reject",
    "Refuse the action; the agent is told the reason.",
    click.option("--reason", required=True, help="Why; the agent is told."),
    *EMERGENCY,
)
decision(
    "edit",
    "Let the action be performed with other arguments.",
    click.option("--args", "value", type=JSONText(), required=True, help="All arguments: JSON, @FILE or - for stdin."),
    REASON,
)
decision(
    "answer",
    "Answer what an agent asks, or say whether an effect happened.",
    click.option("--value", type=JSONText(), required=True, help="The answer: JSON, @FILE or - for stdin."),
    REASON,
)


@approvals.command("batch")
@click.argument("verb", type=click.Choice(["approve", "reject"]))
@click.argument("approval_ids", nargs=-1, required=True)
@click.option("--reason", default="", help="For all of them; needed to reject.")
@click.option("--by", help=BY)
@desk
def batch(desk: Desk, verb: str, approval_ids: tuple[str, ...], reason: str, by: str | None) -> int:
    """Approve or reject several at once. Each is decided for itself.

    Exit code 1 if any of them could not be decided.
    """
    if verb == "reject" and not reason.strip():
        raise UsageError("rejecting needs --reason; the agents are told")

    async def ask() -> list[DecisionOutcome]:
        config = desk.config()
        async with connect(config) as client:
            voter = (await acting(client, config, by)).voter(by, via=clients.VIA)
            return await client.decide_many(approval_ids, cast("Verb", verb), voter=voter, reason=reason)

    found = desk.run(ask())
    rows = [(each.id, each.state or "not decided", each.error.message if each.error else "-") for each in found]
    desk.table([each.model_dump(mode="json") for each in found], ("id", "state", "error"), rows, empty="")
    return REFUSED if any(each.error for each in found) else 0


def dump(views: list[ApprovalView]) -> list[dict[str, Any]]:
    return [view.model_dump(mode="json") for view in views]


def progress(view: ApprovalView) -> str:
    """How far it is: `1 of 2, next treasury`."""
    asked = f", next {' + '.join(view.roles)}" if view.roles and view.state == "open" else ""
    return f"{view.given} of {view.needed}{asked}"


def due(view: ApprovalView) -> str:
    """When it ends, and how."""
    if view.state != "open":
        return ""
    if view.overdue:
        return "overdue"
    return _minute(view.expires_at) + f" ({view.on_expiry})" if view.expires_at else ""


def _minute(moment: datetime) -> str:
    return moment.isoformat(timespec="minutes")


def said_of(view: ApprovalView) -> str:
    """A vote in a line."""
    if view.state == "open":
        return f"{view.id} has {progress(view)}"
    if view.state == "superseded":
        return f"{view.id} superseded: others must approve the new arguments, see `gatewright approvals list`"
    return f"{view.id} {view.state} by {view.decided_by}"


def describe(view: ApprovalView) -> str:
    """An approval for the person who decides it, with the commands that do."""
    votes = "; ".join(
        f"{vote.verdict} by {vote.by}"
        + (f" for {vote.on_behalf_of}" if vote.on_behalf_of else "")
        + ("" if vote.authenticated else " (name not proven)")
        + (" in an emergency" if vote.break_glass else "")
        + (f": {vote.reason}" if vote.reason else "")
        for vote in view.votes
    )
    said = facts(
        {
            "id": view.id,
            "state": view.state,
            "kind": view.kind,
            "agent": f"{view.agent} of {view.deployment}",
            "run": view.run_id,
            "about": view.about or None,
            "asked": view.created_at.isoformat(),
            "due": due(view) or None,
            "why": view.reason or None,
            "rules": ", ".join(view.rules) or None,
            "approvals": progress(view),
            "called": ", ".join(view.called) or None,
            "excluded": "; ".join(f"{name} {why}" for name, why in view.excluded.items()) or None,
            "votes": votes or None,
            "digest": view.digest,
        }
    )
    action = json.dumps(view.action, indent=2, ensure_ascii=False, default=str)
    text = f"{said}\n\n{action}"
    if view.state != "open":
        return text
    form = f"\n\nwhat an edit or answer looks like:\n{json.dumps(view.form, indent=2)}" if view.form else ""
    options = {"reject": " --reason TEXT", "edit": " --args JSON", "answer": " --value JSON"}
    verbs = [f"gatewright approvals {verb} {view.id}{options.get(verb, '')}" for verb in view.answers]
    return "\n".join((f"{text}{form}\n", *verbs))
