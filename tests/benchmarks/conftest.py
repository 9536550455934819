"""The benchmarks are programs of the checkout and are not installed: let them be imported from its root."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
