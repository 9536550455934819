from __future__ import annotations

import importlib.util
import os

import pytest


def test_agentdojo_is_installed() -> None:
    """Its tests are not collected without it, see conftest.py: nobody shall believe that they ran."""
    missing = "AgentDojo is not installed, so tests/benchmarks/agentdojo is left out; install the group dev"
    installed = importlib.util.find_spec("agentdojo") is not None
    if not installed and not os.environ.get("CI"):
        pytest.skip(missing)
    assert installed, missing
