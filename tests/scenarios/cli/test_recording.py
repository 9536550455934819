"""`gatewright scenario record`, `export` and `import` as commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gatewright.agents.claims import TRIAGE, TriageFeatures
from gatewright.runtime.cli import main
from gatewright.runtime.cli.episodes import Holding
from gatewright.runtime.config import Config, load
from gatewright.runtime.policies.artefact import Origin, compose
from gatewright.runtime.policies.encoding import Encoding
from gatewright.runtime.policies.networks import majority
from gatewright.runtime.service import Service

CLAIMS = 6


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code of a command, and what it says in JSON."""
    code = main([*words, "--json"], standalone_mode=False)
    return code or 0, json.loads(capsys.readouterr().out)


@pytest.fixture
async def claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a service has decided some claims."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gatewright.toml").write_text('[deployments.claims]\nteam = "claims"\n', "utf-8")
    batch = tmp_path / "batch.json"
    batch.write_text(json.dumps({"seed": 3, "first": 0, "claims": CLAIMS}), "utf-8")
    config: Config = load(tmp_path / "gatewright.toml", cwd=tmp_path)
    async with await Service.open(config) as service:
        holding = Holding(service, "claims", approve=lambda approval: True, tell=lambda approval: None)
        await holding.start(await service.conversations("claims", batch))
        await holding.follow()
    return tmp_path


def test_cases_are_recorded_with_what_they_earned_and_exported(
    claims: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, recorded = call(capsys, "scenario", "record", "-o", "c.jsonl.gz", "--score")
    assert (code, recorded["episodes"], recorded["rewards"]) == (0, CLAIMS, CLAIMS)

    code, exported = call(capsys, "scenario", "export", "c.jsonl.gz", "--point", "triage", "-o", "d.jsonl")
    rows = [json.loads(line) for line in (claims / "d.jsonl").read_text("utf-8").splitlines()]
    assert (code, exported["decisions"], len(rows)) == (0, CLAIMS, CLAIMS)
    assert all(isinstance(row["reward"], float) for row in rows)

    code, replayed = call(capsys, "scenario", "replay", "c.jsonl.gz", "--mode", "strict")
    assert (code, replayed["episodes"]) == (0, {"equal": CLAIMS, "total": CLAIMS})


def test_a_case_that_is_not_there_is_named(claims: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["scenario", "record", "nobody", "-o", str(claims / "c.jsonl")], standalone_mode=False)

    assert code == 2
    assert "the ledger has no case 'nobody'" in capsys.readouterr().err
    assert not (claims / "c.jsonl").exists()


def test_nothing_to_export_is_told(claims: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "scenario", "record", "-o", "c.jsonl")

    assert call(capsys, "scenario", "export", "c.jsonl", "--point", "none", "-o", "d.jsonl")[0] == 3


def test_recordings_of_others_become_episodes(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, taken = call(capsys, "scenario", "import", str(small), "-o", str(tmp_path / "i.jsonl.gz"))

    assert code == 0
    assert taken["episodes"] == taken["rewards"] > 0


def test_a_policy_is_tried_where_the_episodes_come_from_and_nowhere_else(
    claims: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(capsys, "scenario", "record", "-o", "c.jsonl.gz")
    with (claims / "gatewright.toml").open("a", encoding="utf-8") as file:
        file.write('[deployments.other]\nteam = "support"\n')  # it has no such decision point
    encoding, options = Encoding.of(TriageFeatures), TRIAGE.options
    counts = [float(option == "special_unit") for option in options]
    compose(
        majority(len(encoding.columns), counts),
        point=TRIAGE.name,
        options=options,
        encoding=encoding,
        origin=Origin(algorithm="majority"),
    ).save(claims / "unit.policy")

    mode = ("--mode", "counterfactual", "--policy", "triage=unit.policy", "--simulate", "--approvals", "approve")
    code, found = call(capsys, "scenario", "replay", "c.jsonl.gz", *mode)

    assert (code, found["episodes"]) == (0, CLAIMS)
    assert found["left"] > 0
    chosen = {branch["off_record"][0]["result"]["option"] for branch in found["branches"] if branch["off_record"]}
    assert "special_unit" in chosen
