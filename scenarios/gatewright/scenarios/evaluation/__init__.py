"""Off-policy evaluation: what a policy would have earned, from decisions that another one made and recorded."""

from .estimators import ESTIMATORS, Estimate, Estimator, Prediction, estimate, predict
from .logs import Logged, of_decisions, of_log
from .support import MINIMUM_ESS, Support
from .verdict import Evaluation, evaluate

__all__ = [
    "ESTIMATORS",
    "MINIMUM_ESS",
    "Estimate",
    "Estimator",
    "Evaluation",
    "Logged",
    "Prediction",
    "Support",
    "estimate",
    "evaluate",
    "of_decisions",
    "of_log",
    "predict",
]
