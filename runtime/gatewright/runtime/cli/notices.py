"""`gatewright notices`: what people are told, and what did not reach them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import click

from gatewright.agents.errors import ConflictError, NotFoundError
from gatewright.runtime.notices.views import NoticeView, State
from gatewright.runtime.operations import Operations

from .clients import acting, connect
from .desk import Desk, desk
from .grammar import Group

FAILED = 1
PAGE = 1000


@click.group(cls=Group, default="list")
def notices() -> None:
    """See what people are told, and send anew what did not reach them. Without a command: list."""


@notices.command("list")
@click.option(
    "--state",
    type=click.Choice(["waiting", "sent", "dead", "any"]),
    default="any",
    show_default=True,
    help="Only those that wait, have been taken, or were given up.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@desk
def list_notices(desk: Desk, state: str, limit: int) -> None:
    """List messages, the newest first."""
    wanted: State | None = None if state == "any" else state  # type: ignore[assignment]  # Click has checked it

    async def ask() -> list[NoticeView]:
        async with connect(desk.config()) as client:
            return await client.notices(state=wanted, limit=limit)

    found = desk.run(ask())
    rows = [
        (view.id, view.receiver, view.event, view.subject_id, view.state, view.attempts, view.error) for view in found
    ]
    columns = ("id", "receiver", "event", "about", "state", "attempts", "error")
    desk.table([view.model_dump(mode="json") for view in found], columns, rows, empty="nobody was told anything")


@notices.command("retry")
@click.argument("notice_ids", nargs=-1)
@click.option("--dead", "every", is_flag=True, help="All that were given up.")
@desk
def retry(desk: Desk, notice_ids: tuple[str, ...], every: bool) -> None:
    """Send messages that were given up anew, under their ids."""
    if bool(notice_ids) == every:
        raise click.UsageError("name messages, or give --dead for all that were given up")

    async def ask() -> list[str]:
        retried: list[str] = []
        config = desk.config()
        async with connect(config) as client:
            (await acting(client, config)).operate("sending a message anew")
            for notice_id in notice_ids or await _dead(client):
                try:
                    await client.retry_notice(notice_id)
                except ConflictError as error:
                    if not every:
                        raise
                    desk.say(str(error))
                else:
                    retried.append(notice_id)
        return retried

    ids = desk.run(ask())
    desk.show({"retried": ids}, lambda: f"{len(ids)} to be sent anew")


async def _dead(client: Operations) -> list[str]:
    found: list[str] = []
    while page := await client.notices(state="dead", limit=PAGE, offset=len(found)):
        found += [view.id for view in page]
    return found


@notices.command("test")
@click.argument("name")
@desk
def test(desk: Desk, name: str) -> int:
    """Send a test message to the receiver NAME of the configuration, now and from here: exit code 0, or 1."""
    from gatewright.runtime import identifiers
    from gatewright.runtime.notices.channels import channel
    from gatewright.runtime.notices.delivery import DeliveryError
    from gatewright.runtime.notices.facts import Facts
    from gatewright.runtime.notices.outbox import Notice
    from gatewright.runtime.notices.receivers import TEST

    config = desk.config()
    receivers = {receiver.name: receiver for receiver in config.notices}
    if name not in receivers:
        raise NotFoundError(f"there is no receiver {name!r}; configured are {sorted(receivers)}")
    notice = Notice(
        number=0,
        id=identifiers.new("notice"),
        event=TEST,
        subject_id=name,
        facts=Facts(reason="somebody tries whether this receiver is reached"),
        attempts=0,
        created=datetime.now(UTC),
    )

    async def send() -> str | None:
        way = channel(receivers[name], config.mail, public_url=config.server.public_url)
        try:
            await way.deliver(notice)
        except DeliveryError as error:
            return error.reason
        finally:
            await way.close()
        return None

    error = asyncio.run(send())
    value = {"receiver": name, "id": notice.id, "ok": error is None, "error": error}
    desk.show(value, lambda: f"{name} took {notice.id}" if error is None else f"{name} did not take it: {error}")
    return 0 if error is None else FAILED
