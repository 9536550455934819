"""`gatewright bus`: the topics, how far groups are behind, and what they could not handle."""

from __future__ import annotations

import click

from gatewright.agents.errors import ConflictError
from gatewright.runtime.bus.views import DeadLetterView, LagView, LetterState, TopicView
from gatewright.runtime.operations import Operations

from .clients import acting, connect
from .desk import Desk, desk
from .grammar import Group

PAGE = 1000


@click.group(cls=Group, default="lag")
def bus() -> None:
    """See how messages flow, and give dead letters to their groups again. Without a command: lag."""


@bus.command("topics")
@click.option("--create", "name", help="Create this topic first, with the partitions that are configured for it.")
@desk
def topics(desk: Desk, name: str | None) -> None:
    """List the topics that somebody has used."""

    async def ask() -> list[TopicView]:
        config = desk.config()
        async with connect(config) as client:
            if name is not None:
                (await acting(client, config)).operate("creating a topic")
                await client.create_topic(name)
            return await client.topics()

    found = desk.run(ask())
    rows = [(view.name, view.partitions, view.published, view.stored) for view in found]
    columns = ("topic", "partitions", "published", "stored")
    desk.table([view.model_dump(mode="json") for view in found], columns, rows, empty="there are no topics yet")


@bus.command("lag")
@desk
def lag(desk: Desk) -> None:
    """Say for each group how many messages wait for it, are parked, or dead."""

    async def ask() -> list[LagView]:
        async with connect(desk.config()) as client:
            return await client.lag()

    found = desk.run(ask())
    rows = [(view.topic, view.group, view.waiting, view.parked, view.dead, view.members) for view in found]
    columns = ("topic", "group", "waiting", "parked", "dead", "members")
    desk.table([view.model_dump(mode="json") for view in found], columns, rows, empty="no group has subscribed yet")


@bus.command("dead-letters")
@click.argument("letter_id", required=False)
@click.option("--topic", help="Only those of this topic.")
@click.option("--group", help="Only those of this group.")
@click.option(
    "--state",
    type=click.Choice(["dead", "redriving", "redriven", "any"]),
    default="dead",
    show_default=True,
    help="Only those that are dead, on their way back, or back.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@desk
def dead_letters(
    desk: Desk, letter_id: str | None, topic: str | None, group: str | None, state: str, limit: int
) -> None:
    """List what groups could not handle, the newest first; with LETTER_ID, show all of one."""
    wanted: LetterState | None = None if state == "any" else state  # type: ignore[assignment]  # Click has checked it

    async def ask() -> list[DeadLetterView]:
        async with connect(desk.config()) as client:
            if letter_id is not None:
                return [await client.dead_letter(letter_id)]
            return await client.dead_letters(topic=topic, group=group, state=wanted, limit=limit)

    found = desk.run(ask())
    shown = [view.model_dump(mode="json") for view in found]
    if letter_id is not None:
        (value,) = shown
        desk.show(value, lambda: "\n".join(f"{name}: {item}" for name, item in value.items() if item is not None))
        return
    rows = [
        (view.id, view.topic, view.group, view.key, view.reason, view.attempts, view.state, view.detail)
        for view in found
    ]
    columns = ("id", "topic", "group", "key", "reason", "attempts", "state", "detail")
    desk.table(shown, columns, rows, empty="there are no such dead letters")


@bus.command("redrive")
@click.argument("letter_ids", nargs=-1)
@click.option("--topic", help="All that are dead of this topic.")
@click.option("--group", help="With --topic: only those of this group.")
@desk
def redrive(desk: Desk, letter_ids: tuple[str, ...], topic: str | None, group: str | None) -> None:
    """Give dead letters to their groups again, with no attempts counted."""
    if bool(letter_ids) == (topic is not None):
        raise click.UsageError("name dead letters, or give --topic for all of a topic")
    if group is not None and topic is None:
        raise click.UsageError("--group goes with --topic")

    async def ask() -> list[str]:
        redriven: list[str] = []
        config = desk.config()
        async with connect(config) as client:
            (await acting(client, config)).operate("redriving a dead letter")
            if topic is None:
                for letter_id in letter_ids:
                    await client.dead_letter(letter_id)  # a wrong one among them: then none is redriven
            for letter_id in letter_ids or await _dead(client, topic, group):
                try:
                    await client.redrive(letter_id)
                except ConflictError as error:
                    if topic is None:
                        raise
                    desk.say(str(error))
                else:
                    redriven.append(letter_id)
        return redriven

    ids = desk.run(ask())
    desk.show({"redriven": ids}, lambda: f"{len(ids)} given to their groups again")


async def _dead(client: Operations, topic: str | None, group: str | None) -> list[str]:
    found: list[str] = []
    while page := await client.dead_letters(topic=topic, group=group, limit=PAGE, offset=len(found)):
        found += [view.id for view in page]
    return found[::-1]  # the oldest first


@bus.command("forget")
@click.argument("topic")
@click.argument("group")
@desk
def forget(desk: Desk, topic: str, group: str) -> None:
    """Let nothing wait for GROUP of TOPIC any more, since it will not come back. Its dead letters stay."""

    async def ask() -> None:
        config = desk.config()
        async with connect(config) as client:
            (await acting(client, config)).operate("forgetting a group")
            await client.forget_group(topic, group)

    desk.run(ask())
    desk.show({"topic": topic, "group": group}, lambda: f"nothing waits for {group} of {topic} any more")
