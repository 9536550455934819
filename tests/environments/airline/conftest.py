"""An airline on disk, and the recorded one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.needs import shared_data

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
    return shared_data("taubench", "airline", "episodes-gpt-4o.json")
