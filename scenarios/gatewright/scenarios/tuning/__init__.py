"""Tuning: learn policies in simulators, and propose one that is shown to be better than simpler ones.

Nothing here imports torch, stable-baselines3 or Optuna until an algorithm or a search needs it.
"""

from .algorithms import ALGORITHMS, Algorithm, named
from .comparisons import Limits, Standing
from .logs import Rows
from .tuner import Candidate, Order, Tuned, proposal, tune

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "Candidate",
    "Limits",
    "Order",
    "Rows",
    "Standing",
    "Tuned",
    "named",
    "proposal",
    "tune",
]
