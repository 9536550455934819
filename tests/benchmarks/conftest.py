"""The benchmarks are programs of the checkout and are not installed: let them be imported from its root."""

import importlib.util
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

# tests/benchmarks/test_agentdojo_is_installed.py says so.
collect_ignore = [] if importlib.util.find_spec("agentdojo") else ["agentdojo"]
