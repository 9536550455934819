from __future__ import annotations

import pytest

from gatewright.agents.errors import UsageError
from gatewright.safety.rules import expressions
from gatewright.scenarios.suites import checks, fields


def unknown(text: str) -> list[tuple[str, str]]:
    expressions.compile(text, checks.VARIABLES)  # what is looked at is a condition
    return [(found.variable, found.field) for found in fields.unknown(text)]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('effects.filter(e, e.kin == "tool").size() <= 12', ["kin"]),
        ('effects.exists(e, e.kind == "tool" && has(e.arg))', ["arg"]),
        ('effects.filter(e, e.kind == "tool").all(x, x["nam"] == "pay")', ["nam"]),
        ("effects[0].kin == effects[size(effects) - 1].nme", ["kin", "nme"]),
        ("effects.all(e, decisions.exists(e, e.kind == e.policy) || e.policy == 1)", ["kind", "policy"]),
        ('effects.exists(e, true ? e.kin == "a" : e.name == "b")', ["kin"]),
        ('effects.map(e, e.kind == "tool", e.nam).size() == 1', ["nam"]),
        ('approvals.all(a, a.roles.exists(r, r == "x" && a.rol == r))', ["rol"]),
        ("state.items.all(i, effects.exists(e, e.args.item == i.kin && e.kin == i))", ["kin"]),
    ],
)
def test_a_field_that_no_element_has_is_found(text: str, wrong: list[str]) -> None:
    assert [field for _, field in unknown(text)] == wrong


@pytest.mark.parametrize(
    "text",
    [
        'effects.filter(e, e.kind == "tool" && e.args.amount > 5.0 && e.result.deep[0].kin == 1).size() == 1',
        "decisions.all(d, d.features.kin > 1 && d.closed.size() == 0)",
        'effects.map(e, e.args).exists(e, e.kin == "x")',
        "state.effects.exists(e, e.kin == 1) && state.decisions[0].kin == 1",
        "effects.all(e, state.list.exists(e, e.kin == 1))",
        'effects.exists(e, "e.kin" == e.name) && replies[0].contains("effects[0].kin") // e.kin',
        "effects.size() == 1 && effects == [] && {'e': 1}.e == 1",
    ],
)
def test_what_is_no_field_of_an_element_is_left_alone(text: str) -> None:
    assert unknown(text) == []


def test_a_misspelt_field_is_refused_with_its_place_and_the_nearest_one() -> None:
    with pytest.raises(
        UsageError, match=r"none of 'effects' has a field 'kin'; did you mean 'kind'\? \(line 2, column 3"
    ):
        checks.compiled('effects.all(e,\ne.kin == "tool")')
