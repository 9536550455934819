from __future__ import annotations

from pathlib import Path

import pytest
from tests.scenarios.suites.offices import Office


@pytest.fixture
def desk(tmp_path: Path) -> Office:
    return Office(tmp_path)
