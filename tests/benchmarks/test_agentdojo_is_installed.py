from __future__ import annotations

import importlib.util

from tests import needs


def test_agentdojo_is_installed() -> None:
    """Its tests are not collected without it, see conftest.py: nobody shall believe that they ran."""
    if importlib.util.find_spec("agentdojo") is None:
        needs.missing("AgentDojo is not installed, so tests/benchmarks/agentdojo is left out; install the group dev")
