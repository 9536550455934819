"""The estimators give somebody else's published figures on somebody else's data."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import pytest
from tests import needs

FOLDER = Path(__file__).parents[2] / "examples" / "open-bandit"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("open_bandit")


@pytest.fixture
def sample(example: Any) -> Path:
    """The sample of the Open Bandit Dataset, kept in the user's cache; CI has to have it, a desk may be offline."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gatewright"
    try:
        path: Path = example.fetch(cache)
    except (RuntimeError, OSError) as error:
        needs.missing(f"no sample of the Open Bandit Dataset: {error}")
    return path


@pytest.mark.slow  # 7 s of processor time, nearly all of it for a million draws of the policy
def test_the_published_figures_of_the_open_bandit_sample_come_out(
    example: Any, sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert example.main(sample.parent) == 0
    told = capsys.readouterr().out
    assert "0.311082 ± 0.311170" in told
    assert "0.311795 ± 0.334736" in told


def test_another_file_of_that_name_is_refused(example: Any, tmp_path: Path) -> None:
    (tmp_path / example.SDIST).write_bytes(b"something else")
    with pytest.raises(RuntimeError, match="has the SHA-256"):
        example.fetch(tmp_path)
