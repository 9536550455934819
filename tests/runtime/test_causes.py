"""What runs know of the message that started them, and pass on."""

from __future__ import annotations

from gatewright.agents.envelopes import Message
from gatewright.runtime.causes import Cause, Place, passed_on

PLACE = Place("run-1", "case-1", "node@1/message:x/1")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def test_a_chain_that_no_message_began_is_that_of_the_case() -> None:
    cause = passed_on(None, PLACE, "m1")

    assert (cause.id, cause.correlation_id, cause.causation_id) == ("m1", "case-1", "run-1")


def test_a_chain_keeps_its_correlation_and_its_trace() -> None:
    first = Cause.of("t", Message(id="m0", source="s", type="t", data={}, correlation_id="c", traceparent=PARENT))
    then = passed_on(first, PLACE, "m1")

    assert (then.correlation_id, then.causation_id) == ("c", "m0")
    assert [part.split("-")[1] for part in (first.traceparent, then.traceparent)] == [PARENT.split("-")[1]] * 2
    assert len({PARENT, first.traceparent, then.traceparent}) == 3
    assert then.traceparent.endswith("-00")


def test_a_message_that_belongs_to_no_chain_begins_one() -> None:
    cause = Cause.of("t", Message(id="m0", source="s", type="t", data={}, traceparent="nonsense"))

    assert cause.correlation_id == "m0"
    assert len(cause.traceparent) == len(PARENT)


def test_the_same_effect_passes_on_the_same() -> None:
    assert passed_on(None, PLACE, "m1") == passed_on(None, PLACE, "m1")
    assert passed_on(None, PLACE, "m1").traceparent != passed_on(None, PLACE._replace(key="other"), "m1").traceparent


def test_what_is_stored_is_read_back() -> None:
    cause = passed_on(None, PLACE, "m1")

    assert Cause.load(cause.dump()) == cause
    assert Cause.load(None) is None
    assert "topic" not in cause.plain()
