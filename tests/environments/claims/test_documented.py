"""What docs/claims.md says of the model is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gatewright.agents.claims.points import INVESTIGATE_OPTIONS, TRIAGE_OPTIONS
from gatewright.environments.claims.grid import INVESTIGATE_GRID, TRIAGE_GRID
from gatewright.environments.claims.optimum import Policies, rules, solver, uniform
from gatewright.environments.claims.within import best_within

PAGE = (Path(__file__).parents[3] / "docs" / "claims.md").read_text("utf-8")
ROW = re.compile(r"^\| (uniform|rules|best|best within limits) \| (uniform|rules|best) \| (.+) \|$", re.MULTILINE)


def policies(triage: str, investigate: str) -> Policies:
    exact = solver()
    if triage == investigate == "best":
        return exact.best()
    if triage == "best within limits":
        return best_within().policies
    named = {"uniform": uniform(), "rules": rules()}
    investigation = exact.best("investigate") if investigate == "best" else named[investigate]
    lanes = exact.best("triage", named["rules"]) if triage == "best" else named[triage]
    return Policies(lanes.triage, investigation.investigate)


def test_the_table_of_values_is_the_model_s() -> None:
    rows: list[tuple[str, str, str]] = ROW.findall(PAGE)
    assert len(rows) == 6
    for triage, investigate, numbers in rows:
        value, minutes, denied, paid, share = (float(each.strip(" %")) for each in numbers.split("|"))
        some = policies(triage, investigate)
        worth = solver().worth(some)
        assert worth.value == pytest.approx(value, abs=6e-5)
        assert worth.minutes == pytest.approx(minutes, abs=0.06)
        assert 100 * worth.wrongly_denied == pytest.approx(denied, abs=0.06)
        assert 100 * worth.wrongly_paid == pytest.approx(paid, abs=0.06)
        assert solver().share(some) == pytest.approx(share, abs=6e-4)


def test_the_rules_shares_and_the_cells_are_the_model_s() -> None:
    shares = re.search(r"reach ([\d.]+) at triage and ([\d.]+) at investigate", PAGE)
    assert shares is not None
    assert solver().share(rules(), "triage") == pytest.approx(float(shares[1]), abs=6e-4)
    assert solver().share(rules(), "investigate") == pytest.approx(float(shares[2]), abs=6e-4)
    assert f"| {TRIAGE_GRID.size:,} | {INVESTIGATE_GRID.size:,} |" in PAGE


def test_every_option_is_told() -> None:
    assert all(f"`{option}`" in PAGE for option in (*TRIAGE_OPTIONS, *INVESTIGATE_OPTIONS))


def test_the_code_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "claims.md", "exec", dont_inherit=True), {})
    assert len(capsys.readouterr().out.split()) == 3
