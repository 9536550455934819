from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
from tests.scenarios.suites.offices import Office

from gatewright.agents.errors import NotFoundError, UsageError
from gatewright.safety.rules import sources
from gatewright.scenarios import suites
from gatewright.scenarios.suites import checks, documents

DOCS = Path(__file__).parents[3] / "docs" / "suites.md"


def wrong(desk: Office, text: str) -> str:
    """What is said of a suite, without the folder."""
    with pytest.raises(UsageError) as found:
        suites.read(desk.suite(text))
    return str(found.value).replace(f"{desk.folder}/", "")


def test_a_misspelt_field_is_named_with_its_line_and_the_nearest_one(desk: Office) -> None:
    said = wrong(desk, "cases:\n- {id: one, inputs: [1], severty: block}\n")
    assert said == "suite.yaml:5: cases.0.severty: unknown field; did you mean 'severity'?"


def test_a_value_that_does_not_fit_is_shown_with_what_does(desk: Office) -> None:
    said = wrong(desk, "trials: 0\ncases:\n- {id: one, input: 1, approvals: perhaps}\n")
    assert "suite.yaml:4: trials: Input should be greater than or equal to 1 (it is 0)" in said
    assert "suite.yaml:6: cases.0.approvals.default: Input should be 'approve', 'reject' or 'recorded'" in said


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("{id: one}", "has none of conversations, generate, input, inputs; it needs exactly one of them"),
        ("{generate: {count: 1}, conversations: built-in}", "it needs exactly one of them"),
        ("{input: 1}", "a case that is written here needs an `id`"),
        ("{conversations: built-in, settings: {}}", "'settings' does not go with 'conversations'; take it out"),
        ("{generate: {count: 1}, only: one}", "'only' does not go with 'generate'; give `first` and `count`"),
    ],
)
def test_a_case_is_of_one_kind(desk: Office, case: str, said: str) -> None:
    told = wrong(desk, f"cases:\n- {case}\n")
    assert told.startswith("suite.yaml:5: cases.0: ") and said in told


def test_an_input_of_null_is_one(desk: Office) -> None:
    (cases,) = suites.read(desk.suite("cases:\n- {id: one, input: null}\n")).suite.cases
    assert "input" in cases.model_fields_set and cases.input is None


def test_a_check_that_is_no_condition_is_found_when_the_suite_is_read(desk: Office) -> None:
    said = wrong(
        desk, "checks:\n  paid: rewards > 1.0\ncases:\n- id: one\n  input: 1\n  checks:\n    many: 'statuses'\n"
    )
    first, second = said.splitlines()
    assert first.startswith("suite.yaml:5: checks.paid: ") and "rewards" in first
    assert second.startswith("suite.yaml:10: cases.0.checks.many: ") and "needs bool" in second


def test_a_file_that_is_no_suite_is_refused(desk: Office, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no suite at"):
        suites.read(tmp_path / "none.yaml")
    assert "suite.yaml:5: not YAML" in wrong(desk, "cases: [\n")


def test_the_digest_is_of_all_that_decides_what_a_trial_is(desk: Office) -> None:
    file = desk.folder / "episodes.json"
    file.write_text("[]")
    text = "cases:\n- {conversations: episodes.json}\n"
    before = suites.read(desk.suite(text)).digest()
    assert suites.read(desk.suite("trials: 9\ndescription: more of it\n" + text)).digest() == before
    assert suites.read(desk.suite("seed: 9\n" + text)).digest() != before
    file.write_text("[ ]")
    assert suites.read(desk.suite(text)).digest() != before


def test_the_documented_suites_are_ones_and_fit_the_schema(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        path = tmp_path / "suite.yaml"
        path.write_text(block)
        assert suites.read(path).suite.cases
        jsonschema.validate(sources.parse(block, "suite.yaml").data, suites.schema())


def test_the_documentation_names_every_field_and_every_variable() -> None:
    text = DOCS.read_text("utf-8")
    names = [*documents.Suite.model_fields, *documents.Cases.model_fields, *checks.VARIABLES]
    assert [name for name in names if f"`{name}`" not in text] == []
