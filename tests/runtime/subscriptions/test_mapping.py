"""Names of threads: different values stay different, and every one can be a thread's id."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gatewright.agents.envelopes import Message
from gatewright.agents.subscriptions import Subscription
from gatewright.runtime.subscriptions.mapping import Mapper


def thread_of(message: Message, thread: str = "") -> str:
    return Mapper("d", Subscription(topic="t", thread=thread)).map(message, message.data).thread_id


def message(key: str | None = None, **data: object) -> Message:
    return Message(id="m1", source="s", type="t", data=data, key=key)


def test_the_key_names_the_thread_and_else_the_message_does() -> None:
    assert thread_of(message("ada")) == "d:t:ada"
    assert thread_of(message()) == "d:t:m1"


def test_an_expression_names_a_case_that_several_topics_may_feed() -> None:
    assert thread_of(message(claim="c/7"), thread="data.claim") == "d:c%2F7"
    assert thread_of(message(), thread="message.source + message.type") == "d:st"


@given(st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
def test_keys_that_differ_have_threads_that_differ(one: str, other: str) -> None:
    threads = [thread_of(message(key)) for key in (one, other)]

    assert all("/" not in thread and thread.isprintable() for thread in threads)
    assert (threads[0] == threads[1]) == (one == other)
