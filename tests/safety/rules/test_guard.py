"""The guard gives one decision: the strongest verdict, closed on failure, at rest after changes."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.agents.errors import UsageError
from gatewright.safety.rules import events, guard
from gatewright.safety.rules.events import Event, Hook, Past
from gatewright.safety.rules.guard import Guard
from gatewright.safety.rules.packs import Pack
from gatewright.safety.verdicts import ORDER, Decision

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HEAD = "apiVersion: gatewright/v1\nkind: RulePack\nname: {}\nversion: 1\n"


def event(hook: Hook = "tool.before", name: str = "pay", **fields: Any) -> Event:
    given: dict[str, Any] = {"time": NOW, "args": {"amount": 10}} | fields
    return Event(hook=hook, name=name, **given)


def rule(id: str, when: str, then: str = "deny", /, match: Any = None, passes: Any = None, **fields: Any) -> Any:
    """A rule about `pay`, for JSON, which is YAML too."""
    return {
        "id": id,
        "on": {"hook": "tool.before", "name": "pay"},
        "when": when,
        "then": then,
        "reason": f"because of {id}",
        "examples": {"match": [match or {"args": {"amount": 1000}}], "pass": [passes or {"args": {"amount": 0}}]},
    } | fields


def pack(*rules: Any, name: str = "desk", more: str = "") -> Pack:
    return Pack.parse(HEAD.format(name) + more + f"rules: {json.dumps(rules)}\n")


def decide(*rules: Any, **fields: Any) -> Decision:
    return Guard([pack(*rules)]).evaluate(event(**fields))


LARGE = rule("large", "args.amount > 100", "ask", approval={"roles": ["lead"], "expires": "4h"})
HUGE = rule("huge", "args.amount > 500", "deny", reason="{{ args.amount }} is too much for {{ tool.name }}")
CAP = rule("cap", "args.amount > 50", "modify", set={"args.amount": "{{ 50 }}"})
MARK = rule("mark", "args.amount > 5 && !has(args.note)", "modify", set={"args.note": "checked: {{ args.amount }}"})


def test_without_a_matching_rule_it_allows() -> None:
    decision = decide(LARGE, HUGE)

    assert decision.verdict == "allow"
    assert (decision.hits, decision.findings, decision.args, decision.terms) == ((), (), None, None)


def test_the_strongest_verdict_wins() -> None:
    decision = decide(LARGE, HUGE, args={"amount": 501})

    assert decision.verdict == "deny"
    assert [(hit.rule_id, hit.verdict) for hit in decision.hits] == [("huge", "deny"), ("large", "ask")]
    assert decision.reason == "501 is too much for pay"
    assert decision.terms is None


def test_asking_carries_the_terms_of_all_rules_that_ask() -> None:
    approval = {"roles": ["ops"], "excluded": ["name:kim"], "expires": "15m"}
    other = rule("night", "args.amount > 10", "ask", approval=approval)

    decision = decide(LARGE, other, args={"amount": 200})

    assert decision.terms is not None
    assert decision.terms.roles == {"lead", "ops"}
    assert decision.terms.excluded == {"requester", "agent_owner", "editor", "name:kim"}
    assert decision.terms.expires == 900


def test_a_decision_names_the_packs() -> None:
    one, other = pack(LARGE, name="one"), pack(HUGE, name="other")
    decision = Guard([other, one]).evaluate(event(args={"amount": 501}))

    assert decision.pack == f"one@1#{one.digest[:12]} other@1#{other.digest[:12]}"
    assert [hit.rule_id for hit in decision.hits] == ["one/large", "other/huge"]


def test_two_packs_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="two rule packs are named 'desk'"):
        Guard([pack(LARGE), pack(HUGE)])


def test_the_empty_pack_allows_everything() -> None:
    guard = Guard([Pack.empty()])

    assert not guard.wants("tool.before", "pay")
    assert guard.evaluate(event()).verdict == "allow"


def test_unless_is_an_exception_within_the_rule() -> None:
    text = rule("large", "args.amount > 100", unless="agent == 'treasury'")

    assert decide(text, args={"amount": 200}).verdict == "deny"
    assert decide(text, args={"amount": 200}, agent="treasury").verdict == "allow"


POOL = [
    rule("note", "args.amount > 1", "allow"),
    LARGE,
    HUGE,
    rule("end", "args.amount > 900", "terminate"),
    rule(
        "broken",
        "args.limit > args.amount",
        match={"args": {"amount": 1, "limit": 2}},
        passes={"args": {"amount": 1, "limit": 0}},
    ),
    rule("stranger", "targets.exists(t, !t.known && t.value == 950)", "deny", match={"args": {"amount": 950}}),
    rule(
        "again",
        "repeated() > 0 && args.amount > 10",
        "ask",
        match={"args": {"amount": 20}, "history": [{"name": "pay", "args": {"amount": 20}}]},
    ),
    rule("silent", "args.amount > 1", "terminate", mode="shadow"),
]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(range(len(POOL))), unique=True),
    st.sampled_from(range(len(POOL))),
    st.integers(0, 1000) | st.just(42),
)
def test_another_rule_only_restricts_and_order_never_matters(some: list[int], more: int, amount: int) -> None:
    rules = [POOL[at] for at in some]
    seen: Any = {"args": {"amount": amount}, "history": [Past(kind="tool", name="pay", args={"amount": 42}, time=NOW)]}
    decision = decide(*rules, **seen)
    extended = decide(*rules, *([POOL[more]] if more not in some else []), **seen)
    turned = decide(*rules[::-1], **seen)

    assert ORDER.index(extended.verdict) >= ORDER.index(decision.verdict)
    assert (turned.verdict, turned.hits, turned.findings) == (decision.verdict, decision.hits, decision.findings)


def test_a_change_is_made_on_a_copy() -> None:
    args = {"amount": 80, "note": "x"}

    decision = decide(CAP, args=args)

    assert decision.verdict == "modify"
    assert decision.args == {"amount": 50, "note": "x"}
    assert args["amount"] == 80


def test_changes_at_different_places_are_all_made_from_the_same_event() -> None:
    for rules in itertools.permutations([CAP, MARK]):
        assert decide(*rules, args={"amount": 80}).args == {"amount": 50, "note": "checked: 80"}


def test_changes_at_one_place_are_denied_as_a_conflict() -> None:
    other = rule("floor", "args.amount > 60", "modify", set={"args.amount": 60})

    decision = decide(CAP, other, args={"amount": 80})

    assert decision.verdict == "deny"
    assert [(finding.rule_id, finding.kind) for finding in decision.findings] == [("cap", "conflict")]
    assert decision.args is None


def test_what_a_change_makes_is_judged_again() -> None:
    marked = rule("marked", "has(args.note)", "deny", match={"args": {"amount": 1, "note": ""}})

    decision = decide(MARK, marked, args={"amount": 80})

    assert (decision.verdict, decision.args) == ("deny", None)


def test_a_rule_that_matched_before_a_change_still_counts() -> None:
    decision = decide(CAP, LARGE, args={"amount": 200})

    assert decision.verdict == "ask"
    assert decision.args == {"amount": 50}  # what people are asked about is what would be done


def test_changes_that_never_come_to_rest_are_denied() -> None:
    up = rule("up", "args.amount == 1000", "modify", set={"args.amount": 999})
    down = rule("down", "args.amount == 999", "modify", match={"args": {"amount": 999}}, set={"args.amount": 1000})

    decision = decide(up, down, args={"amount": 1000})

    assert decision.verdict == "deny"
    assert [(finding.rule_id, finding.kind) for finding in decision.findings] == [
        ("down", "unstable"),
        ("up", "unstable"),
    ]


def test_a_change_that_cannot_be_made_is_denied() -> None:
    inner = rule("inner", "has(args.to)", "modify", match={"args": {"to": {}}}, set={"args.to.name": "kim"})

    decision = decide(inner, args={"to": "ada"})

    assert decision.verdict == "deny"
    assert decision.findings[0].kind == "error"


@pytest.mark.parametrize("then", ["allow", "modify", "ask", "deny", "terminate"])
def test_a_rule_that_fails_denies_whatever_it_says(then: str) -> None:
    more = {"set": {"args.amount": 1}} if then == "modify" else {}

    decision = decide(rule("large", "args.amount > 100", then, **more), args={"amuont": 3})

    assert decision.verdict == "deny"
    assert [(finding.rule_id, finding.kind) for finding in decision.findings] == [("large", "error")]
    assert "Key not found" in decision.reason


def test_a_failing_exception_denies() -> None:
    text = rule(
        "large",
        "args.amount > 100",
        unless="args.waiver == 'yes'",
        match={"args": {"amount": 200, "waiver": "no"}},
    )

    assert decide(text, args={"amount": 200}).findings[0].kind == "error"


def test_a_rule_that_runs_out_of_budget_denies() -> None:
    text = rule("pairs", "args.items.exists(a, args.items.exists(b, a + b == -1)) || args.amount > 100")
    text["examples"] = {
        "match": [{"args": {"amount": 101, "items": []}}],
        "pass": [{"args": {"amount": 1, "items": []}}],
    }

    decision = decide(text, args={"amount": 1, "items": list(range(500))})

    assert decision.verdict == "deny"
    assert decision.findings[0].rule_id == "pairs"


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), object(), {1, 2}])
def test_values_that_are_not_json_are_denied(amount: Any) -> None:
    decision = decide(LARGE, args={"amount": amount})

    assert decision.verdict == "deny"
    assert decision.findings[0].rule_id == "large"


def nested(levels: int, leaf: Any) -> Any:
    for _ in range(levels):
        leaf = [leaf]
    return leaf


@pytest.mark.parametrize("leaf", [1, "a\0b"])
def test_values_that_are_nested_too_deeply_are_denied(leaf: Any) -> None:
    assert decide(LARGE, args={"amount": 1, "note": nested(events.MAX_DEPTH - 1, leaf)}).verdict == "allow"
    for levels in (events.MAX_DEPTH, 100_000):
        decision = decide(LARGE, args={"amount": 1, "note": nested(levels, leaf)})
        assert (decision.verdict, decision.findings[0].kind) == ("deny", "limit")


@pytest.mark.parametrize("levels", [200, 5_000])
def test_a_result_cannot_escape_the_rules_by_being_nested(levels: int) -> None:
    text = rule("failed", "type(result) == map && has(result.error)", match={"result": {"error": 1}}, passes={})
    text["on"] = {"hook": "tool.after", "name": "pay"}
    result = '{"error": ' + "[" * levels + "]" * levels + "}"

    assert decide(text, hook="tool.after", result=result).verdict == "deny"


def test_an_event_that_is_too_large_is_denied_for_every_rule_that_looks_at_it() -> None:
    guard = Guard([pack(LARGE, HUGE)], limit=1_000)

    decision = guard.evaluate(event(args={"amount": 1, "note": "x" * 1_000}))

    assert decision.verdict == "deny"
    assert [(finding.rule_id, finding.kind) for finding in decision.findings] == [("huge", "limit"), ("large", "limit")]


def test_a_reason_without_a_value_leaves_the_verdict() -> None:
    text = rule("large", "args.amount > 100", "terminate", reason="for {{ args.to }}")
    text["examples"]["match"] = [{"args": {"amount": 101, "to": "kim"}}]

    decision = decide(text, args={"amount": 200})

    assert decision.verdict == "terminate"
    assert decision.hits[0].reason == "for {{ args.to }}"
    assert decision.findings[0].kind == "reason"


def test_a_nul_character_hides_nothing_from_a_rule() -> None:
    text = rule("iban", "args.note.contains('IBAN')", match={"args": {"note": "IBAN"}}, passes={"args": {"note": ""}})

    assert decide(text, args={"note": "lunch\0IBAN"}).verdict == "deny"
    assert decide(text, args={"note": "lunch\udc00IBAN"}).verdict == "deny"


def test_rules_see_earlier_effects_of_the_case() -> None:
    text = rule(
        "unread",
        "!history.exists(h, h.name == 'read' && h.ok && h.result.id == args.id && h.seconds_ago < 600.0)",
        match={"args": {"id": 7}},
        passes={"args": {"id": 7}, "history": [{"name": "read", "result": '{"id": 7}'}]},
    )
    read = Past(kind="tool", name="read", result='{"id": 7}', time=NOW - timedelta(minutes=9))
    stale = Past(kind="tool", name="read", result='{"id": 7}', time=NOW - timedelta(minutes=11))

    assert decide(text, args={"id": 7}, history=[read]).verdict == "allow"
    assert decide(text, args={"id": 7}, history=[stale]).verdict == "deny"


def test_history_is_cut_to_its_newest_entries() -> None:
    text = rule("many", f"size(history) >= {events.HISTORY_LIMIT}", match={"history": [{"name": "a"}] * 200})
    text["when"] += " && history[199].name == 'last'"
    text["examples"]["match"][0]["history"] = [{"name": "a"}] * 199 + [{"name": "last"}]
    past = [Past(kind="tool", name=f"n{at}", time=NOW) for at in range(300)]

    assert decide(text, history=[*past, Past(kind="tool", name="last", time=NOW)]).verdict == "deny"


@pytest.mark.parametrize("result", ["x" * (events.PAST_LIMIT + 1), float("nan"), object(), "[" * 5_000])
def test_an_earlier_result_that_cannot_be_shown_fails_only_the_rules_that_read_it(result: Any) -> None:
    named = rule("named", "history.exists(h, h.name == 'pay')", match={"history": [{"name": "pay"}]})
    text = rule(
        "echo",
        "history.exists(h, h.result == args.note)",
        match={"args": {"note": "a"}, "history": [{"name": "x", "result": "a"}]},
    )
    text["examples"]["pass"] = [{}]
    past = Past(kind="tool", name="read", result=result, time=NOW)

    decision = decide(text, named, args={"note": "b"}, history=[past])

    assert [(finding.rule_id, finding.kind) for finding in decision.findings] == [("echo", "error")]


def test_results_that_are_json_text_are_offered_parsed_and_stay_text() -> None:
    text = rule("card", "has(result.card)", "modify", match={"result": {"card": "1"}}, passes={"result": {}})
    text |= {
        "on": {"hook": "tool.after", "name": "pay"},
        "unless": "result.card == 'hidden'",
        "set": {"result.card": "hidden"},
    }

    decision = decide(text, hook="tool.after", result='{"card": "4111", "name": "Zoë"}')

    assert decision.result == '{"card": "hidden", "name": "Zoë"}'


def test_a_whole_result_can_be_replaced() -> None:
    text = rule(
        "secret", "string(result).contains('secret')", "modify", match={"result": "a secret"}, passes={"result": ""}
    )
    text |= {"on": {"hook": "output"}, "set": {"result": "(withheld)"}}

    decision = decide(text, hook="output", name="desk", result="the secret")

    assert (decision.verdict, decision.result) == ("modify", "(withheld)")


def test_labels_come_from_the_effect_and_from_packs() -> None:
    text = rule("egress", "args.amount > 100", on={"hook": "tool.before", "labels": ["egress"]})
    guard = Guard([pack(text, more="tools: {mail: {labels: [egress]}}\n")])
    large = {"amount": 200}

    assert guard.labels("mail") == {"egress"}
    assert guard.labels("pay") == frozenset()
    assert guard.evaluate(event(name="mail", args=large)).verdict == "deny"
    assert guard.evaluate(event(name="pay", args=large)).verdict == "allow"
    assert guard.evaluate(event(name="pay", args=large, labels=frozenset({"egress", "reads"}))).verdict == "deny"


def test_a_rule_in_shadow_is_reported_and_changes_nothing() -> None:
    decision = decide(
        LARGE | {"mode": "shadow"}, HUGE | {"mode": "shadow"}, CAP | {"mode": "shadow"}, args={"amount": 501}
    )

    assert (decision.verdict, decision.args, decision.terms, decision.reason) == ("allow", None, None, "")
    assert [(hit.rule_id, hit.mode, hit.counts) for hit in decision.hits] == [
        ("cap", "shadow", False),
        ("huge", "shadow", False),
        ("large", "shadow", False),
    ]


def test_what_goes_wrong_with_a_rule_in_shadow_is_reported_and_denies_nothing() -> None:
    decision = decide(LARGE | {"mode": "shadow"}, args={"amount": "much"})

    assert decision.verdict == "allow"
    assert [(finding.rule_id, finding.kind, finding.denies) for finding in decision.findings] == [
        ("large", "error", False)
    ]


def test_a_rule_in_shadow_does_not_hold_up_one_that_counts() -> None:
    other = rule("cap2", "args.amount > 50", "modify", set={"args.amount": 60}, mode="shadow")

    assert decide(CAP, other, args={"amount": 80}).args == {"amount": 50}


def test_tools_of_several_packs_are_described_by_all_of_them() -> None:
    one = pack(LARGE, name="one", more="tools: {pay: {target: [to], fields: [id, name], labels: [trusted]}}\n")
    other = pack(HUGE, name="other", more="tools: {pay: {target: [cc], fields: [id], labels: [untrusted]}}\n")
    guard = Guard([one, other])

    assert guard.labels("pay") == {"trusted", "untrusted"}


WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
STRICT = [
    rule(
        "allowed",
        "args.amount >= 0 && targets.all(t, t.known || t.path == 'amount') && size(payload.links) == 0 && !tainted"
        " && count('pay', 60) == 0 && repeated() == 0 && !seen('pay') ? false : true",
        match={"args": {"amount": -1}},
        passes={"args": {"amount": 5}},
    )
]
STRICT_GUARD = Guard([pack(*STRICT)])
PASTS = st.lists(
    st.builds(
        Past,
        kind=st.sampled_from(["tool", "model", "human", "function", "message", "decision"]),
        name=st.sampled_from(["pay", "read", "\0", ""]),
        args=st.dictionaries(st.text(max_size=4), WILD, max_size=2),
        result=WILD,
        ok=st.booleans(),
        time=st.just(NOW),
    ),
    max_size=4,
)


@settings(deadline=None)
@given(args=st.dictionaries(st.sampled_from(["amount", "to", "note"]), WILD, max_size=3), history=PASTS, result=WILD)
def test_whatever_an_event_holds_it_is_judged_and_only_the_sound_one_allowed(
    args: dict[str, Any], history: list[Past], result: Any
) -> None:
    decision = STRICT_GUARD.evaluate(event(args=args, history=history, result=result))

    assert decision.verdict in ("allow", "deny")
    if decision.verdict == "allow":
        assert decision.findings == ()
        assert set(args) >= {"amount"}
        assert not any(past.name == "pay" and past.kind != "human" for past in history)
        assert not any(past.kind in ("tool", "function") for past in history)


def test_it_wants_only_what_a_rule_looks_at() -> None:
    guard = Guard([pack(LARGE, rule("out", "args.amount > 1", on={"hook": "tool.before", "labels": ["egress"]}))])

    assert guard.wants("tool.before", "pay")
    assert not guard.wants("tool.after", "pay")
    assert not guard.wants("tool.before", "search")
    assert guard.wants("tool.before", "search", frozenset({"egress"}))


def test_a_tool_without_labels_gets_the_default_verdict() -> None:
    guard = Guard(
        [Pack.parse(HEAD.format("desk") + "defaults: {unlabelled: deny}\ntools: {read: {labels: [reads]}}\n")]
    )

    assert guard.evaluate(event(name="read")).verdict == "allow"
    assert guard.evaluate(event(name="pay")).reason == "pay has no labels; say under `tools:` what it does"
    assert guard.evaluate(event(name="pay", labels=frozenset({"reads"}))).verdict == "allow"
    assert guard.evaluate(event("tool.after", "pay")).verdict == "allow"


@pytest.mark.parametrize("hook", list(events.VARIABLES))
def test_every_variable_of_every_hook_has_its_type(hook: Hook) -> None:
    whole = " && ".join(f"type({name}) != type" for name in events.VARIABLES[hook])
    text = rule("all", whole, "allow", on={"hook": hook, "name": "pay"}, examples={"match": [{}]})
    text["unless"] = "name == 'other'"
    text["examples"] = {"match": [{}], "pass": [{"name": "other"}]}

    decision = decide(text, hook=hook, result=3, text="hello", error="none", time=NOW.replace(tzinfo=None))

    assert (decision.verdict, [hit.rule_id for hit in decision.hits]) == ("allow", ["all"])


MANY = tuple(
    rule(f"r{at}", text, match={"args": match}, passes={"args": passes}, **more)
    for at, (text, match, passes, more) in enumerate(
        [
            (
                "args.amount > 5  // a comment ends with its line",
                {"amount": 6},
                {"amount": 1},
                {"unless": "args.amount == 7"},
            ),
            ("args.note == 'x'", {"note": "x"}, {"note": "y"}, {}),
            ("args.amount > 5 || args.note == 'x'", {"amount": 6}, {"amount": 1, "note": "y"}, {}),
            ("has(args.note) && args.note.startsWith('x')", {"note": "xy"}, {}, {}),
            ("int(args.amount) % 2 == 0", {"amount": 2}, {"amount": 3}, {}),
            ("args.rows.all(r, r > 0)", {"rows": [1]}, {"rows": [0]}, {}),
        ]
    )
)
VALUES = st.one_of(st.integers(-9, 9), st.sampled_from(["x", "xy", ""]), st.none(), st.lists(st.integers(-1, 3)))


@settings(deadline=None, max_examples=60)
@given(
    chosen=st.sets(st.sampled_from(range(len(MANY))), min_size=3),
    args=st.dictionaries(st.sampled_from(["amount", "note", "rows"]), VALUES),
)
def test_rules_that_are_asked_together_say_what_they_say_one_by_one(chosen: set[int], args: dict[str, Any]) -> None:
    rules = pack(*(MANY[at] for at in sorted(chosen)))
    warm, alone = Guard([rules]), Guard([rules])
    for _ in range(guard.WARM):
        warm.evaluate(event(args={"amount": 1, "note": "y", "rows": [1]}))

    assert warm.evaluate(event(args=args)) == alone.evaluate(event(args=args))


def test_rules_that_are_only_together_too_much_for_the_engine_are_asked_one_by_one() -> None:
    looping = [
        rule(
            f"loop{at}",
            f"args.rows.all(a, args.rows.all(b, a + b > {at}))",
            match={"args": {"rows": [9]}},
            passes={"args": {"rows": [0]}},
        )
        for at in range(4)
    ]
    judge = Guard([pack(*looping)])
    fine = event(args={"rows": [9] * 80})  # 6,400 steps each, of 10,000

    decisions = {judge.evaluate(fine) for _ in range(guard.WARM + 3)}

    (decision,) = decisions
    assert [hit.rule_id for hit in decision.hits] == ["loop0", "loop1", "loop2", "loop3"]
    assert decision.findings == ()


def closing(id: str, *options: str, when: str = "args.features.risk > 5", **fields: Any) -> Any:
    risky, safe = ({"args": {"features": {"risk": risk}}} for risk in (9, 1))
    said = {"on": {"hook": "decision.before", "name": "triage"}, "close": options, **fields}
    return rule(id, when, "modify", risky, safe, **said)


def at_triage(*rules: Any, risk: int = 9, closed: dict[str, str] | None = None) -> Decision:
    options = {"features": {"risk": risk}, "options": ["pay", "check", "refuse"], "closed": closed or {}}
    return decide(*rules, hook="decision.before", name="triage", args=options)


def test_rules_close_options_by_their_names() -> None:
    decision = at_triage(closing("no-rush", "pay"), closing("careful", "pay", "refuse"))

    assert decision.verdict == "modify"
    assert decision.args is not None
    assert decision.args["closed"] == {"pay": "careful, no-rush", "refuse": "careful"}
    assert {hit.rule_id: hit.reason for hit in decision.hits} == {
        "careful": "because of careful",
        "no-rush": "because of no-rush",
    }


def test_an_option_that_is_closed_already_keeps_its_reason() -> None:
    decision = at_triage(closing("careful", "pay", "refuse"), closed={"pay": "out of hours"})

    assert decision.args is not None
    assert decision.args["closed"] == {"pay": "out of hours", "refuse": "careful"}
    assert at_triage(closing("careful", "pay"), closed={"pay": "out of hours"}).args is None


def test_a_rule_that_does_not_match_or_is_on_trial_closes_nothing() -> None:
    assert at_triage(closing("careful", "pay"), risk=1).verdict == "allow"
    assert at_triage(closing("careful", "pay", mode="shadow")).args is None


def test_closing_what_is_no_option_denies_the_decision() -> None:
    decision = at_triage(closing("careful", "pya"))

    assert decision.verdict == "deny"
    assert "there is no option 'pya' to close; there are ['pay', 'check', 'refuse']" in decision.reason


def test_examples_need_not_list_options_and_may_not_lack_those_that_are_closed() -> None:
    bare, other = {"args": {"features": {"risk": 9}}}, {"args": {"features": {"risk": 9}, "options": ["check"]}}

    assert pack(closing("careful", "pay", examples={"match": [bare], "pass": [{"args": {"features": {"risk": 1}}}]}))
    with pytest.raises(UsageError, match="there is no option 'pay' to close; there are \\['check'\\]"):
        pack(closing("careful", "pay", examples={"match": [other], "pass": [{"args": {"features": {"risk": 1}}}]}))
