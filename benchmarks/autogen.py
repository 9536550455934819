"""The reference of the bus: agents of autogen-core, whose runtime keeps messages in memory."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from autogen_core import (
    DefaultTopicId,
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    TypeSubscription,
    message_handler,
)


@dataclass
class Note:
    """What is published."""

    number: int
    text: str


class Counter(RoutedAgent):
    """Counts what it is given."""

    seen = 0

    @message_handler
    async def on_note(self, message: Note, ctx: MessageContext) -> None:
        assert message.text
        Counter.seen += 1


async def throughput(count: int, publishers: int, text: str) -> float:
    """Messages per second that one agent gets from tasks that publish one after the other each."""
    Counter.seen = 0
    runtime = SingleThreadedAgentRuntime()
    await Counter.register(runtime, "counter", lambda: Counter("counts"))
    await runtime.add_subscription(TypeSubscription("notes", "counter"))
    runtime.start()
    numbers, topic = iter(range(count)), DefaultTopicId("notes")

    async def publish() -> None:
        for number in numbers:
            await runtime.publish_message(Note(number, text), topic)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(publishers):
            group.create_task(publish())
    await runtime.stop_when_idle()
    took = time.perf_counter() - began
    assert Counter.seen == count, Counter.seen
    await runtime.close()
    return count / took
