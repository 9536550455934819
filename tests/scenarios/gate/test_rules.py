from __future__ import annotations

from pathlib import Path

import pytest

from gatewright.agents.errors import NotFoundError, UsageError
from gatewright.scenarios.gate import Gate
from gatewright.scenarios.gate.rules import read


def test_a_gate_is_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text("metrics: [success, cost]\nmargins: {pass^4: 0.1}\nblock: [refund]\nviolations: strict\n")
    gate = read(path)
    assert gate.tested() == ("success", "cost", "pass^4")
    assert (gate.block, gate.violations, gate.alpha) == (("refund",), "strict", 0.05)


def test_an_empty_file_is_the_default_gate(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text("# nothing else\n")
    assert read(path) == Gate()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metrics: [speed]", "at metrics: .*'speed'"),
        ("margin: {success: 0.1}", "at margin: .*a gate knows metrics, "),
        ("margins: {success: 0}", r"at margins\.success"),
        ("margins: {success: .nan}", r"at margins\.success"),
        ("alpha: 1", "at alpha"),
        ("block_failures: 0", "at block_failures"),
        ("- success", "at the top"),
        ("metrics: [", ".*while parsing"),
    ],
)
def test_what_a_gate_does_not_know_is_named_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=rf"gate\.yaml.*{said}"):
        read(path)


def test_a_gate_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no\.yaml"):
        read(tmp_path / "no.yaml")
