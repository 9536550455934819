from __future__ import annotations

from xml.etree import ElementTree

import pytest
from tests.scenarios.gate.tables import side, suite

from gatewright.scenarios.gate import Table, Verdict, judge
from gatewright.scenarios.gate.reports import Document, of_comparison, of_run, of_verdict
from gatewright.scenarios.gate.reports.junit import xml

ORDER = ("properties", "testcase", "system-out", "system-err")  # of a testsuite, in Ant's schema
NEEDED = {"name", "timestamp", "hostname", "tests", "failures", "errors", "time", "id", "package"}


def checked(document: Document) -> ElementTree.Element:
    """The report, if it is as Ant's schema has it and its counts are right."""
    root = ElementTree.fromstring(xml(document).encode())
    assert root.tag == "testsuites" and not root.attrib
    for suite_ in root:
        assert suite_.tag == "testsuite" and set(suite_.attrib) >= NEEDED
        places = [ORDER.index(child.tag) for child in suite_]
        assert places == sorted(places) and {0, 2, 3} <= set(places)
        cases = suite_.findall("testcase")
        assert int(suite_.attrib["tests"]) == len(cases)
        for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert int(suite_.attrib[attribute]) == len(suite_.findall(f"testcase/{kind}"))
        for case in cases:
            assert set(case.attrib) == {"name", "classname", "time"} and len(case) <= 1
            for told in case:
                assert told.attrib.get("message") and (told.tag == "skipped") == ("type" not in told.attrib)
    return root


def red(document: Document) -> bool:
    """Whether a build server would call it red."""
    return any(int(each.attrib["failures"]) or int(each.attrib["errors"]) for each in checked(document))


@pytest.mark.parametrize(
    ("base", "candidate", "outcome"),
    [
        (suite(50, "1101"), suite(50, "1101"), "pass"),
        (suite(50, "1101"), suite(50, "0001"), "fail"),
        (suite(5, "1"), suite(5, "1"), "inconclusive"),
        (suite(52, "1101"), suite(50, "1101"), "inconclusive"),
        (
            side({f"{n}": "1101" for n in range(50)}),
            side({f"{n}": "1001" if n == 3 else "1101" for n in range(50)}),
            "pass",
        ),
    ],
)
def test_the_file_is_red_exactly_where_the_gate_did_not_pass(base: Table, candidate: Table, outcome: str) -> None:
    judged = judge(base, candidate)
    assert judged.outcome == outcome
    assert red(of_verdict(judged)) == (outcome != "pass")


def test_a_case_that_broke_by_chance_is_told_but_does_not_turn_the_file_red() -> None:
    names = [str(number) for number in range(50)]
    judged = judge(side(dict.fromkeys(names, "1101")), side({**dict.fromkeys(names, "1101"), "7": "1000"}))
    skipped = checked(of_verdict(judged)).findall(".//testcase[@name='7']/skipped")
    assert [each.attrib["message"] for each in skipped] == ["3/4 -> 1/4, which alone does not fail the gate"]


def test_a_case_that_must_not_fail_is_a_failure_even_where_the_baseline_has_none_of_it() -> None:
    verdict = judge(side({"old": "1"}), side({"old": "1", "new": "0"}, severity="block"))
    told = {case.attrib["name"]: [each.tag for each in case] for case in checked(of_verdict(verdict)).iter("testcase")}
    assert (verdict.outcome, told["new"]) == ("fail", ["failure"])


def test_a_run_alone_is_red_where_a_case_fails() -> None:
    assert not red(of_run(suite(3, "11")))
    assert red(of_run(side({"a": "11", "b": "00"})))


def test_a_comparison_is_red_where_a_case_broke() -> None:
    judged = judge(side({"a": "1", "b": "1"}), side({"a": "1", "b": "0"}))
    assert red(of_comparison(judged.comparison))


def test_hostile_texts_stay_text(attacked: Verdict) -> None:
    root = checked(of_verdict(attacked))
    cases = root[1].findall("testcase")
    assert len(cases) == 25 and "</td><script>" in cases[0].attrib["name"]
    assert not [each for each in root.iter() if each.tag == "script"]
    assert not set("\x00\x1b\u202e\ufffe") & set("".join(root.itertext()) + cases[0].attrib["name"])
