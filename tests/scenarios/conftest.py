"""Where recorded episodes of other harnesses are, and the small airline's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.needs import shared_data
from tests.scenarios.offices import Office

from gatewright.environments.airline.world import CONVERSATIONS


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with data of others."""
    return shared_data()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A copy of the small airline's recorded conversations, with its data beside them."""
    folder = tmp_path / "airline"
    shutil.copytree(CONVERSATIONS.parent, folder)
    return folder / CONVERSATIONS.name


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    """A team that does all that can be recorded."""
    office = Office(tmp_path)
    monkeypatch.setenv("WORLD_LOG", str(office.log))
    return office
