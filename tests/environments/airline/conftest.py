"""An airline on disk, and the recorded one."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gatewright.agents.worlds import World
from gatewright.environments.airline import AirlineWorld, airline

if TYPE_CHECKING:
    from tests.environments.conftest import Call


@pytest.fixture
def world(tmp_path: Path) -> Generator[AirlineWorld]:
    opened = airline(tmp_path, {})
    yield opened
    opened.close()


@pytest.fixture
def call(world: AirlineWorld, caller: Callable[[World], Call]) -> Call:
    return caller(world)


@pytest.fixture(scope="session")
def recorded() -> Path:
    """tau-bench's recorded airline conversations, with the data set beside them."""
    beside = Path(__file__).parents[4] / "shared" / "data"
    path = Path(os.environ.get("GATEWRIGHT_SHARED_DATA", beside)) / "taubench" / "airline" / "episodes-gpt-4o.json"
    if not path.is_file():
        pytest.skip(f"no recorded airline conversations at {path}; set GATEWRIGHT_SHARED_DATA")
    return path
