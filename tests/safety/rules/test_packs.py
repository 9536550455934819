"""Rule packs are checked, and tried on their own examples, before they are used."""

from pathlib import Path
from typing import Any

import pytest

from gatewright.agents.errors import UnavailableError
from gatewright.safety.rules.packs import Pack
from gatewright.safety.rules.sources import PackError

HEAD = """\
apiVersion: gatewright/v1
kind: RulePack
name: desk
version: 3
"""
REFUND = """\
rules:
  - id: large-refund
    on: {hook: tool.before, name: refund}
    when: args.amount > 500
    then: ask
    approval: {roles: [lead], expires: 4h}
    reason: "a refund of {{ args.amount }} needs a lead"
    examples:
      match: [{args: {amount: 501}}]
      pass: [{args: {amount: 500}}]
"""
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"amount": {"type": "number"}, "booking": {"type": "string"}}}


def problems(text: str, **options: Any) -> list[str]:
    with pytest.raises(PackError) as caught:
        Pack.parse(text, file="desk.yaml", **options)
    return str(caught.value).splitlines()


def rule(**fields: str) -> str:
    """The refund rule with fields put in the place of its own; an empty text leaves one out."""
    own = {
        "id": "large-refund",
        "on": "{hook: tool.before, name: refund}",
        "when": "args.amount > 500",
        "then": "ask",
        "reason": "too much",
        "examples": "{match: [{args: {amount: 501}}], pass: [{args: {amount: 500}}]}",
    }
    lines = [f"{name}: {value}" for name, value in (own | fields).items() if value]
    return HEAD + "rules:\n  - " + "\n    ".join(lines) + "\n"


def test_a_sound_pack_is_read() -> None:
    pack = Pack.parse(HEAD + "tools: {refund: {labels: [irreversible]}}\n" + REFUND, tools={"refund": SCHEMA})

    assert [(r.id, r.hook, r.verdict) for r in pack.rules] == [("large-refund", "tool.before", "ask")]
    assert pack.rules[0].terms is not None
    assert pack.rules[0].terms.expires == 4 * 3600
    assert pack.labels == {"refund": frozenset({"irreversible"})}
    assert pack.title == f"desk@3#{pack.digest[:12]}"


def test_the_digest_is_of_the_content_and_not_of_its_layout() -> None:
    plain = Pack.parse(HEAD + REFUND)
    commented = Pack.parse("# reviewed in May\n" + HEAD.replace("version: 3", "version:    3") + REFUND)
    changed = Pack.parse(HEAD + REFUND.replace("> 500", ">= 501"))

    assert plain.digest == commented.digest
    assert plain.digest != changed.digest


def test_the_empty_pack_has_no_rules() -> None:
    assert Pack.empty().rules == ()


def test_a_file_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="missing.yaml"):
        Pack.load(tmp_path / "missing.yaml")


def test_problems_name_file_line_and_rule(tmp_path: Path) -> None:
    path = tmp_path / "desk.yaml"
    path.write_text(HEAD + REFUND.replace("args.amount > 500", "agrs.amount > 500"), "utf-8")

    with pytest.raises(PackError) as caught:
        Pack.load(path)

    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.rule) == (str(path), 8, "large-refund")
    assert "unknown name 'agrs.amount'" in problem.message
    assert str(caught.value).startswith(f"{path}:8: rule 'large-refund': when: ")


def test_the_line_inside_a_block_of_text_is_found() -> None:
    text = rule(when="|\n      args.amount > 500\n      && agent == 3")

    assert problems(text)[0].startswith("desk.yaml:10: rule 'large-refund'")


def test_all_problems_of_a_file_are_reported_at_once() -> None:
    text = HEAD + REFUND + rule(id="second", when="args.amount", then="modify")[len(HEAD + "rules:\n") :]
    text += rule(id="large-refund", reason='"{{ nobody }}"')[len(HEAD + "rules:\n") :]

    found = problems(text)

    assert [line.split(":")[2] for line in found] == [" rule 'second'", " rule 'second'", *[" rule 'large-refund'"] * 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (rule(wen="x", when=""), "unknown field 'wen'; did you mean 'when'?"),
        (rule(on="{hook: tool.before, nmae: refund}"), "unknown field 'nmae'; did you mean 'name'?"),
        (rule(on="{hook: tool.befor}"), "'tool.befor' is not known; did you mean 'tool.before'?"),
        (rule(then="forbid"), "'forbid' is not known"),
        (rule(approval="{expires: soon}"), "'soon' is not a duration; write for example 90s, 15m, 4h or 2d"),
        (rule(reason=""), "the field 'reason' is missing"),
        (rule(id="has space"), "rules.0.id"),
        (HEAD.replace("name: desk", "nam: desk"), "unknown field 'nam'; did you mean 'name'?"),
        (HEAD + "toolz: {}\n", "unknown field 'toolz'; did you mean 'tools'?"),
        (HEAD + "tools: {refund: {label: []}}\n", "unknown field 'label'; did you mean 'labels'?"),
        (HEAD.replace("v1", "v9"), "'gatewright/v9' is not known; did you mean 'gatewright/v1'?"),
        ("- a\n", "Input should be a valid dictionary"),
        ("", "Input should be a valid dictionary"),
    ],
)
def test_a_field_that_is_not_understood_is_refused(text: str, message: str) -> None:
    assert message in "\n".join(problems(text))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("name: a\nname: b\n", 2, "'name' is given twice"),
        ("a: &x [1]\nb: *x\n", 1, "aliases"),
        ("a: [1\nb: 2\n", 2, "not YAML"),
        ("a: !!python/name:os.system\n", 1, "is not read"),
        ("- " * 5_000 + "a\n", 1, "not YAML"),
        ("{a: " * 5_000, 1, "not YAML"),
        ("a: \0\n", 1, "special characters are not allowed"),
    ],
)
def test_yaml_that_is_not_plain_is_refused(text: str, line: int, message: str) -> None:
    first = problems(text)[0]

    assert first.startswith(f"desk.yaml:{line}:")
    assert message in first


def test_a_number_that_json_cannot_hold_is_refused() -> None:
    assert "canonical JSON" in problems(rule(examples="{match: [{args: {amount: 1e999}}], pass: [{}]}"))[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (rule(when="args.amount >"), "Syntax error"),
        (rule(when="tool.nmae == 'a'"), "did you mean 'tool.name'?"),
        (rule(when="result == 1"), "unknown name 'result'"),
        (rule(when="model.name == 'a'"), "unknown name 'model.name'"),
        (rule(when="args.urgent"), "compare it with something"),
        (rule(when="size(args)"), "gives int, a rule needs bool"),
        (rule(unless="args.amount + 1"), "unless: "),
        (rule(then="modify", set='{args.amount: "{{ args.amuont( }}"}'), "args.amount: Syntax error"),
    ],
)
def test_an_expression_that_cannot_work_is_refused(text: str, message: str) -> None:
    assert message in "\n".join(problems(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (rule(on="{hook: tool.before, name: a, names: [b]}"), "has both 'name' and 'names'"),
        (rule(on="{hook: tool.before, labels: [irreversibel]}"), "can never match: no tool of this pack has the label"),
        (rule(then="modify"), "belong together"),
        (rule(set="{args.amount: 3}"), "belong together"),
        (rule(then="modify", set="{amount: 3}"), "write `args.<name>`"),
        (rule(then="modify", set="{result: 3}"), "cannot be set at 'tool.before'"),
        (rule(then="modify", set="{args: {}}"), "write `args.<name>`"),
        (rule(on="{hook: decision}", then="modify", set="{result: a}"), "nothing can be changed at 'decision'"),
        (rule(on="{hook: decision.before}", then="modify", set="{args.closed: 3}"), "close options instead"),
        (rule(on="{hook: decision.before}", then="modify"), "a `close:` that is not empty"),
        (
            rule(on="{hook: decision.before}", then="deny", close="[pay]"),
            "a `close:` that is not empty",
        ),
        (rule(on="{hook: decision.before}", then="modify", close="[pay, pay]"), "'pay' is closed twice; remove one"),
        (rule(on="{hook: decision.before}", then="ask"), "nobody can be asked at 'decision.before'"),
        (rule(then="deny", close="[pay]"), "options are closed at 'decision.before', not at 'tool.before'"),
        (rule(on="{hook: tool.after}", then="ask"), "nobody can be asked at 'tool.after'; deny, or ask at"),
        (rule(then="deny", approval="{roles: [lead]}"), "only `then: ask` has an approval"),
        (
            rule(approval="{expires: 1h, on_expiry: approve}").replace(
                "rules:", "tools: {refund: {labels: [irreversible]}}\nrules:"
            ),
            "silence may not approve 'refund', which is irreversible",
        ),
        (
            rule(on="{hook: tool.before, labels: [irreversible]}", approval="{expires: 1h, on_expiry: approve}"),
            "silence may not approve what it is about, which is irreversible",
        ),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(text: str, message: str) -> None:
    assert message in "\n".join(problems(text))


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ("{pass: [{args: {amount: 1}}]}", "no example that it matches"),
        ("{match: [{args: {amount: 501}}]}", "no example that it lets pass"),
        ("{match: [{args: {amount: 1}}], pass: [{args: {amount: 2}}]}", "does not match this example"),
        ("{match: [{args: {amount: 501}}], pass: [{args: {amount: 502}}]}", "matches this example, it must not"),
        ("{match: [{args: {amuont: 501}}], pass: [{args: {amount: 1}}]}", 'Key not found in map : "amount"'),
        ("{match: [{name: rebook, args: {amount: 501}}], pass: [{args: {amount: 1}}]}", "does not look at 'rebook'"),
        ("{match: [{args: {amount: 501}, time: noon}], pass: [{args: {amount: 1}}]}", "cannot be read"),
    ],
)
def test_a_rule_that_its_examples_contradict_is_refused(examples: str, message: str) -> None:
    assert message in "\n".join(problems(rule(examples=examples)))


def test_a_rule_without_conditions_needs_no_example_that_passes() -> None:
    pack = Pack.parse(rule(when="", examples="{match: [{}]}"))

    assert pack.rules[0].when is None


def test_a_reason_that_cannot_be_filled_in_fails_the_example() -> None:
    assert "fails on this example" in problems(rule(reason='"of {{ args.currency }}"'))[0]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("args.amount", '"{{ args.amount + 1 }}"', "its changes do not come to rest in 4 passes"),
        ("args.amount.value", "1", "'value' cannot be set in a value of type int"),
        ("args.note", '"{{ args.to }}"', "Key not found"),
    ],
)
def test_a_change_that_cannot_be_made_fails_the_example(place: str, value: str, message: str) -> None:
    assert message in problems(rule(then="modify", set=f"{{{place}: {value}}}"))[0]


def test_a_rule_about_labels_is_tried_on_a_tool_that_has_them() -> None:
    text = rule(on="{hook: tool.before, labels: [money]}", when="tool.name == 'refund' && args.amount > 500")
    text = text.replace("rules:", "tools: {search: {labels: [reads]}, refund: {labels: [money]}}\nrules:")

    assert Pack.parse(text).rules[0].labels == frozenset({"money"})


def test_a_label_that_looks_like_a_misspelt_one_is_refused() -> None:
    found = problems(HEAD + "tools: {refund: {labels: [idempotant]}}\n")

    assert found == ["desk.yaml:5: unknown label 'idempotant'; did you mean 'idempotent'?"]


def test_a_rule_about_a_tool_that_does_not_exist_is_refused() -> None:
    text = HEAD + "tools: {search_flight: {labels: [reads]}}\n" + REFUND
    found = problems(text, tools={"refunds": None, "search_flights": None})

    assert "there is no tool 'search_flight'; did you mean 'search_flights'?" in found[0]
    assert "can never match: there is no tool 'refund'; did you mean 'refunds'?" in found[1]


@pytest.mark.parametrize(
    "text",
    [
        rule(when="args.amuont > 500"),
        rule(when="has(args.amuont)"),
        rule(when="args['amuont'] > 500"),
        rule(reason="'{{ args.amuont }}'"),
        rule(then="modify", set="{args.amuont: 3}"),
    ],
)
def test_an_argument_that_the_tool_does_not_have_is_refused(text: str) -> None:
    assert "has no argument 'amuont'" in problems(text, tools={"refund": SCHEMA})[0]


def test_arguments_are_not_checked_for_a_tool_that_takes_any() -> None:
    schema = SCHEMA | {"additionalProperties": True}
    examples = "{match: [{args: {fee: 501}}], pass: [{args: {fee: 5}}]}"

    assert Pack.parse(rule(when="args.fee > 500", examples=examples), tools={"refund": schema}).rules


def test_the_words_of_yaml_1_1_are_texts() -> None:
    text = rule(examples="{match: [{args: {amount: 501, reply: no}}], pass: [{args: {amount: 1}}]}")

    assert Pack.parse(text.replace("args.amount > 500", "args.amount > 500 && args.reply == 'no'")).rules


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"when": "1 > 2"}, "'1 > 2' is false whatever happens; say what it depends on"),
        ({"when": "'true'"}, "'true' is true whatever happens; leave it out"),
        ({"unless": "args.amount > 5 || true"}, "is true whatever happens"),
    ],
)
def test_a_condition_that_depends_on_nothing_is_refused(fields: dict[str, str], message: str) -> None:
    assert message in "\n".join(problems(rule(**fields)))


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"when": "args.amount > 'x'"}, "(line 1, column 13"),
        ({"unless": "args.amount == 'x'"}, "(line 1, column 13"),
        ({"reason": "'{{ args.amount + \"x\" }}'"}, "(line 1, column 13"),
    ],
)
def test_what_the_schema_of_the_tool_contradicts_is_refused(fields: dict[str, str], where: str) -> None:
    (found,) = problems(rule(**fields), tools={"refund": SCHEMA})

    assert "found no matching overload" in found
    assert where in found
    assert "the tool's schema says what it takes" in found


def test_several_tools_are_held_against_what_their_schemas_agree_on() -> None:
    text = rule(on="{hook: tool.before, names: [refund, pay]}", when="args.amount > 'x'")
    other = {"type": "object", "properties": {"amount": {"type": "string"}}}

    assert "matching overload" in problems(text, tools={"refund": SCHEMA, "pay": SCHEMA})[0]
    assert "rule fails on this example" in problems(text, tools={"refund": SCHEMA, "pay": other})[0]


def test_tools_say_which_arguments_are_targets_and_payload() -> None:
    text = HEAD + (
        "tools:\n"
        "  refund: {target: [booking], payload: [], fields: [id], intent: [refund, money back]}\n"
        "  search: {labels: [trusted]}\n"
    )
    tools = Pack.parse(text, tools={"refund": SCHEMA, "search": None}).tools

    assert tools["refund"].targets({"booking": 1, "amount": 2}) == {"booking": 1}
    assert tools["refund"].payloads({"booking": 1, "amount": 2}) == {}
    assert tools["refund"].fields == frozenset({"id"})
    assert (tools["search"].target, tools["search"].payload, tools["search"].fields) == (None, None, None)


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        ("{target: [bookign]}", "the tool 'refund' has no argument 'bookign'; did you mean 'booking'?"),
        ("{payload: [amuont]}", "the tool 'refund' has no argument 'amuont'; did you mean 'amount'?"),
        ("{intent: ['?']}", "'?' is no word that people could say"),
        ("{targets: [booking]}", "unknown field 'targets'; did you mean 'target'?"),
    ],
)
def test_what_is_wrong_about_a_tool_is_refused(tool: str, message: str) -> None:
    assert message in problems(HEAD + f"tools: {{refund: {tool}}}\n", tools={"refund": SCHEMA})[0]


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"when": "'!asked_for()'"}, "refund"),
        ({"when": "asked_for('pay')"}, "pay"),
        ({"reason": "'{{ asked_for() }}'"}, "refund"),
        ({"when": "'!asked_for()'", "on": "{hook: tool.before, labels: [money]}"}, "give"),
        ({"when": "'!asked_for()'", "on": "{hook: tool.before}"}, "give"),
    ],
)
def test_asking_what_people_asked_for_needs_the_words_by_which_they_do(fields: dict[str, str], missing: str) -> None:
    text = rule(**fields).replace(
        "rules:", "tools: {take: {labels: [money], intent: [take]}, give: {labels: [money]}}\nrules:"
    )

    assert f"`asked_for` needs the `intent` of '{missing}'" in problems(text)[0]


def test_labels_that_no_tool_has_together_are_refused() -> None:
    text = rule(on="{hook: tool.before, labels: [money, mail]}")
    text = text.replace("rules:", "tools: {a: {labels: [money]}, b: {labels: [mail]}}\nrules:")

    assert "no tool of this pack has all of ['mail', 'money']" in problems(text)[0]


@pytest.mark.parametrize(
    ("hook", "then", "extra"),
    [
        ("message.receive", "ask", ""),
        ("handoff", "ask", ""),
        ("handoff", "modify", "{args.x: 1}"),
        ("thread.start", "ask", ""),
        ("thread.start", "modify", "{args.x: 1}"),
        ("thread.end", "modify", "{result: 1}"),
    ],
)
def test_what_a_hook_cannot_do_is_refused(hook: str, then: str, extra: str) -> None:
    examples = "{match: [{}]}"
    found = problems(rule(on=f"{{hook: {hook}}}", when="", then=then, set=extra, examples=examples))

    assert any(f"at '{hook}'" in line for line in found)


@pytest.mark.parametrize("hook", ["message.receive", "handoff", "thread.start", "thread.end"])
def test_every_hook_can_refuse(hook: str) -> None:
    assert Pack.parse(rule(on=f"{{hook: {hook}}}", when="", then="deny", examples="{match: [{}]}")).rules


def test_examples_hold_what_people_said_and_from_whom_a_message_came() -> None:
    said = "{history: [{kind: human, result: pay kim@example.com}], args: {to: kim@example.com}}"
    text = rule(
        when="targets.exists(t, !t.known)", examples=f"{{match: [{{args: {{to: mal@evil.net}}}}], pass: [{said}]}}"
    )
    sent = rule(
        on="{hook: message.receive}",
        when="message.from == 'mal' && scores.injection > 0.5",
        then="deny",
        examples="{match: [{sender: mal, scores: {injection: 0.9}}], pass: [{sender: kim}]}",
    )

    assert Pack.parse(text).rules
    assert Pack.parse(sent).rules


def test_an_earlier_effect_without_a_name_is_refused() -> None:
    found = problems(rule(examples="{match: [{history: [{ok: false}]}], pass: [{}]}"))

    assert "has a name; add `name:`" in found[0]


@pytest.mark.parametrize(
    ("pack", "of_rule", "mode"),
    [("enforce", "enforce", "enforce"), ("shadow", "enforce", "shadow"), ("enforce", "shadow", "shadow")],
)
def test_a_rule_is_in_shadow_if_it_or_its_pack_says_so(pack: str, of_rule: str, mode: str) -> None:
    text = rule(mode=of_rule).replace("rules:", f"mode: {pack}\ndefaults: {{unlabelled: deny}}\nrules:")
    made = Pack.parse(text).rules

    assert made[0].mode == mode
    assert {default.mode for default in made[1:]} == {pack}


def test_an_unknown_mode_is_refused() -> None:
    assert "'observe' is not known" in problems(rule(mode="observe"))[0]
