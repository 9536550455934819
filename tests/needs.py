"""What a test needs of its machine. In CI all of it is there: what is missing skips at a desk, and fails in CI."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest

IN_CI = os.environ.get("CI") == "true"
SHARED_DATA = Path(os.environ.get("GATEWRIGHT_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


def missing(reason: str) -> NoReturn:
    """Skip the test at a desk and fail it in CI, for this reason."""
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


def module(name: str, extra: str) -> Any:
    """A module that an extra of Gatewright brings."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        missing(f"{name} is not installed: pip install 'gatewright[{extra}]'")


def shared_data(*parts: str) -> Path:
    """A file or folder of recorded data, which the repository does not hold: where it is not, the test is skipped."""
    path = SHARED_DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no recorded data at {path}; set GATEWRIGHT_SHARED_DATA to the folder that has {'/'.join(parts)}")
    return path
