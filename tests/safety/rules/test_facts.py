"""Rules ask where values come from and what the case did before; what they cannot be told denies."""

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gatewright.safety.rules.events import Event, Past
from gatewright.safety.rules.guard import Guard
from gatewright.safety.rules.packs import Pack
from gatewright.safety.verdicts import Decision

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HEAD = """\
apiVersion: gatewright/v1
kind: RulePack
name: desk
version: 1
tools:
  send_email:
    labels: [egress]
    target: [recipients, cc]
    payload: [subject, body]
    intent: [send, mail, e-mail]
  search_contacts: {labels: [reads, trusted]}
  get_webpage: {labels: [reads, untrusted]}
  post: {}
  book: {target: [hotel]}
"""
KIM = [Past(kind="human", name="user", result="Please send a mail to Kim <kim@example.com>", time=NOW)]


def guard(when: str, *, hook: str = "tool.before", name: str | None = "send_email", **more: Any) -> Guard:
    rule = {
        "id": "r",
        "on": {"hook": hook} | ({"name": name} if name else {}),
        "when": when,
        "then": "deny",
        "reason": "because",
        # Always true for the first, and never for the second, whatever the rule is.
        "examples": {"match": [{"agent": "always"}], "pass": [{"agent": "never"}]},
    } | more
    rule["when"] = f"agent == 'never' ? false : agent == 'always' ? true : ({when})"
    return Guard([Pack.parse(HEAD + f"rules: {json.dumps([rule])}\n")])


def decide(
    when: str, args: Any = None, history: Sequence[Past] = (), *, on: str = "send_email", **more: Any
) -> Decision:
    fields: dict[str, Any] = {"hook": "tool.before"} | more
    judge = guard(when, hook=fields["hook"], name=on if "asked_for()" in when else None)
    event = Event(name=on, args=args or {}, history=history, time=NOW, **fields)
    index = judge.index()
    for past in history:
        index.add(past)
    decision = judge.evaluate(event)
    given = judge.evaluate(dataclasses.replace(event, index=index))
    assert decision == given, "an index that was kept says what the history says"
    return decision


def holds(when: str, args: Any = None, history: Sequence[Past] = (), **more: Any) -> bool:
    decision = decide(when, args, history, **more)
    assert decision.findings == ()
    return decision.verdict == "deny"


def test_targets_are_the_scalars_of_target_arguments_with_their_source() -> None:
    args = {"recipients": ["kim@example.com", "mal@evil.net"], "cc": None, "subject": "hello", "body": "x"}

    assert holds("size(targets) == 2", args, KIM)
    assert holds(
        "targets[0] == {'path': 'recipients[0]', 'value': 'kim@example.com', 'known': true, 'source': 'user'}",
        args,
        KIM,
    )
    assert holds("targets.exists(t, !t.known && t.value == 'mal@evil.net' && t.source == '')", args, KIM)


def test_without_a_word_about_arguments_all_of_them_are_targets_and_payload() -> None:
    args = {"hotel": "Plaza", "note": "see evil.com/x"}

    assert holds("size(targets) == 2 && size(payload.links) == 1", args, on="post")
    assert holds("targets.map(t, t.path) == ['hotel'] && size(payload.links) == 1", args, on="book")
    assert holds("size(targets) == 2", args, on="unheard_of")


def test_links_are_found_in_payload_arguments_alone() -> None:
    args = {
        "recipients": ["kim@example.com"],
        "subject": "hi",
        "body": ["see https://evil.com/a", "or kim@example.com"],
    }

    assert holds("payload.links.map(l, l.kind) == ['link', 'email']", args, KIM)
    assert holds("payload.links.filter(l, !l.known).map(l, l.value) == ['https://evil.com/a']", args, KIM)
    assert holds("payload.links[0].path == 'body[0]'", args, KIM)


def test_links_are_found_in_messages_and_answers() -> None:
    assert holds("payload.links[0].path == 'x.y'", {"x": {"y": "www.evil.com"}}, hook="message.send")
    assert holds("payload.links[0].value == 'www.evil.com'", hook="output", text="![](www.evil.com)")


@pytest.mark.parametrize(("name", "tainted"), [("search_contacts", False), ("get_webpage", True), ("post", True)])
def test_a_case_is_tainted_by_what_strangers_may_have_written(name: str, tainted: bool) -> None:
    history = [*KIM, Past(kind="tool", name=name, result="x", time=NOW)]

    assert holds("tainted", {}, history) is tainted
    assert holds("tainted", {}, history, hook="model.before") is tainted


def test_effects_are_counted_and_seen() -> None:
    history = [Past(kind="tool", name="send_email", time=NOW - timedelta(seconds=ago)) for ago in (90, 10)]

    assert holds("count('send_email', 60) == 1 && count(tool.name, 120.0) == 2 && count('post', 60) == 0", {}, history)
    assert holds("seen('send_email') && !seen('post')", {}, history)


def test_the_same_call_is_recognised() -> None:
    history = [Past(kind="tool", name="send_email", args={"to": [1]}, time=NOW)] * 2

    assert holds("repeated() == 2", {"to": [1]}, history)
    assert holds("repeated() == 0", {"to": [2]}, history)


def test_people_have_asked_for_it_by_a_word_of_its_intent() -> None:
    assert holds("asked_for()", {}, KIM)
    assert holds("asked_for('send_email')", {}, KIM, on="post")
    assert not holds("asked_for()", {}, [Past(kind="human", name="user", result="mailing", time=NOW)])
    assert not holds("asked_for()", {}, [Past(kind="tool", name="search_contacts", result="send", time=NOW)])


def test_asking_for_a_tool_without_intent_denies() -> None:
    decision = decide("asked_for(name)", {}, KIM, on="post")

    assert decision.verdict == "deny"
    assert "'post' has no `intent`" in decision.findings[0].message


def test_looking_back_a_negative_time_denies() -> None:
    assert decide("count('post', -1) == 0").findings[0].kind == "error"


def test_what_people_said_is_shown_in_the_history() -> None:
    assert holds("history.exists(h, h.kind == 'human' && h.text.contains('Kim'))", {}, KIM)


def test_scores_of_external_guards_are_offered() -> None:
    assert holds("scores['injection'] > 0.5", scores={"injection": 0.9})
    assert decide("scores['injection'] > 0.5").findings[0].kind == "error"


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_denies(score: float) -> None:
    decision = decide("scores['injection'] > 0.5", scores={"injection": score})

    assert (decision.verdict, decision.findings[0].kind) == ("deny", "limit")


def test_messages_name_their_sender_and_hand_offs_their_target() -> None:
    assert holds("message.from == 'mal'", hook="message.receive", sender="mal")
    assert holds("handoff.to == 'billing'", hook="handoff", on="billing")


def test_a_text_is_not_cut_at_a_nul_character() -> None:
    assert holds(
        "!targets[0].known && targets[0].value != 'kim@example.com'", {"cc": "kim@example.com\0@evil.net"}, KIM
    )


def test_an_index_of_other_rules_is_not_believed() -> None:
    judge, other = guard("tainted"), guard("seen('post')")
    history = [Past(kind="tool", name="get_webpage", result="x", time=NOW)]
    index = other.index()
    index.add(history[0])

    decision = judge.evaluate(Event(hook="tool.before", name="send_email", history=history, index=index, time=NOW))

    assert decision.verdict == "deny"


def test_only_rules_that_ask_need_an_index() -> None:
    assert guard("tainted").remembers
    assert not guard("has(args.tainted) && args.count > 3 && has(args.targets)").remembers


def test_a_changed_action_is_looked_at_again() -> None:
    judge = guard(
        "targets.exists(t, !t.known)",
        then="modify",
        set={"args.cc": "kim@example.com"},
        unless="agent == 'always' && has(args.cc)",
    )

    decision = judge.evaluate(
        Event(hook="tool.before", name="send_email", args={"cc": "mal@evil.net"}, history=KIM, time=NOW)
    )

    assert (decision.verdict, decision.args) == ("modify", {"cc": "kim@example.com"})


def test_facts_of_one_event_do_not_leak_into_another() -> None:
    judge = guard("seen('post')")
    seen = [Past(kind="tool", name="post", time=NOW)]

    verdicts = [
        judge.evaluate(Event(hook="tool.before", name="send_email", history=past, time=NOW)).verdict
        for past in (seen, [], seen, [])
    ]

    assert verdicts == ["deny", "allow", "deny", "allow"]
