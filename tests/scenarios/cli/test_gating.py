from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from tests.scenarios.gate.tables import suite

from gatewright.runtime.cli import main
from gatewright.scenarios.gate import read, write


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, ["scenario", *map(str, args)], catch_exceptions=False)


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    """Result files of an agent and of a worse one."""
    paths = tmp_path / "base.jsonl", tmp_path / "worse.jsonl"
    for path, trials in zip(paths, ("1101", "0100"), strict=True):
        write(path, suite(50, trials, path.stem))
    return paths


@pytest.fixture
def retail(shared: Path) -> tuple[Path, Path]:
    """The recorded episodes of a model and of the same, fine-tuned."""
    base, tuned = (shared / f"tau2/retail/episodes-{name}_retail.json" for name in ("base", "sft"))
    return base, tuned


def test_a_recorded_pair_names_what_was_fixed_and_broken(retail: tuple[Path, Path]) -> None:
    done = run("gate", *retail, "--json")
    said = json.loads(done.stdout)
    assert (said["fixed"], said["broken"]) == (["55", "62", "79", "101"], ["18", "27", "33"])
    assert (said["outcome"], said["exit_code"], done.exit_code) == ("inconclusive", 3, 3)
    assert said["mcnemar"] == 1.0


def test_what_can_be_seen_is_said_before_the_numbers(retail: tuple[Path, Path]) -> None:
    text = run("gate", *retail).stdout
    assert text.index("Known before the run") < text.index("METRIC") < text.index("fixed: 4") < text.index("broken: 3")
    assert text.rstrip().endswith("INCONCLUSIVE")


def test_a_worse_candidate_fails_and_the_same_one_passes(sides: tuple[Path, Path]) -> None:
    base, worse = sides
    assert run("gate", base, worse).exit_code == 1
    assert run("gate", base, base).exit_code == 0


def test_a_comparison_is_no_verdict(sides: tuple[Path, Path]) -> None:
    done = run("compare", *sides, "--json")
    said = json.loads(done.stdout)
    assert (done.exit_code, said["outcome"], len(said["broken"])) == (0, None, 50)


@pytest.mark.parametrize("command", ["gate", "compare"])
def test_results_of_two_suites_are_told(sides: tuple[Path, Path], command: str) -> None:
    assert "two suites" not in run(command, *sides).stderr
    for path, digest in zip(sides, ("aa", "bb"), strict=True):
        table = read(path)
        write(path, table.model_copy(update={"about": {"suite": digest * 32}}))
    assert "two suites (aaaaaaaaaaaa and bbbbbbbbbbbb)" in run(command, *sides).stderr
    assert "two suites" not in run(command, sides[0], sides[0]).stderr


def test_a_margin_can_be_asked_for_by_itself_or_beside_rules(sides: tuple[Path, Path], tmp_path: Path) -> None:
    base, _ = sides
    rules = tmp_path / "gate.yaml"
    rules.write_text("margins: {reward: 0.1}\n")
    assert run("gate", base, base, "--margin", "0.2").exit_code == 0
    done = run("gate", base, base, "--rules", rules, "--margin", "success=0.01", "--json")
    assert done.exit_code == 3
    assert {finding["rule"] for finding in json.loads(done.stdout)["findings"]} == {"success", "reward"}


@pytest.mark.parametrize("margin", ["wide", "success=", "speed=0.1", "-0.1", "nan"])
def test_what_is_no_margin_is_a_mistake(sides: tuple[Path, Path], margin: str) -> None:
    assert run("gate", *sides, f"--margin={margin}").exit_code == 2


def test_every_report_can_be_made_at_once_or_later_of_the_json(sides: tuple[Path, Path], tmp_path: Path) -> None:
    names = ["now.json", "now.html", "now.xml", "now.md"]
    done = run("gate", *sides, *(word for name in names for word in ("--report", tmp_path / name)))
    assert done.exit_code == 1
    later = [tmp_path / f"later{Path(name).suffix}" for name in names]
    assert run("report", tmp_path / "now.json", *(word for path in later for word in ("-o", path))).exit_code == 0
    for name, path in zip(names, later, strict=True):
        if path.suffix != ".xml":  # it has the time
            assert path.read_text() == (tmp_path / name).read_text()
    assert ElementTree.parse(later[2]).getroot().tag == "testsuites"


def test_a_report_whose_verdict_was_changed_is_not_believed(sides: tuple[Path, Path], tmp_path: Path) -> None:
    stored = tmp_path / "gate.json"
    run("gate", *sides, "--report", stored)
    stored.write_text(stored.read_text().replace('"outcome": "fail"', '"outcome": "pass"'))
    done = run("report", stored, "-o", tmp_path / "gate.html")
    assert done.exit_code == 5 and "judge the result files again" in done.output
    assert not (tmp_path / "gate.html").exists()


def test_a_single_run_has_a_report_and_says_what_a_comparison_will_see(
    sides: tuple[Path, Path], tmp_path: Path
) -> None:
    assert run("report", sides[0], "-o", tmp_path / "base.md").exit_code == 0
    assert "50 cases of 4 trials show a change for the worse by" in (tmp_path / "base.md").read_text()


def test_a_report_of_another_kind_is_a_mistake(sides: tuple[Path, Path], tmp_path: Path) -> None:
    done = run("report", sides[0], "-o", tmp_path / "base.pdf")
    assert done.exit_code == 2 and ".html, .xml, .md, .json" in done.output


def test_a_result_that_is_not_there_is_a_mistake(sides: tuple[Path, Path], tmp_path: Path) -> None:
    done = run("gate", sides[0], tmp_path / "none.jsonl")
    assert done.exit_code == 2 and "none.jsonl" in done.output


@pytest.mark.parametrize("command", [["compare"], ["gate"], ["report", "-o", "x.html"], ["import", "-o", "x.jsonl"]])
def test_a_file_that_is_nested_too_deeply_is_refused(command: list[str], tmp_path: Path) -> None:
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000)
    done = run(*command, *[deep] * (2 if command[0] in ("compare", "gate") else 1))
    assert done.exit_code == 2
    assert "deep.json" in done.stderr and "is not JSON" in done.stderr


def test_a_gate_that_is_nested_too_deeply_is_refused(sides: tuple[Path, Path], tmp_path: Path) -> None:
    deep = tmp_path / "gate.yaml"
    deep.write_text("[" * 5_000)
    done = run("gate", *sides, "--rules", deep)
    assert done.exit_code == 2
    assert "cannot read a gate from" in done.stderr
