"""Whether a candidate may take the baseline's place: paired statistics, rules, a verdict and its reports."""

from .comparison import Comparison, Settings, compare
from .power import Plan, plan
from .recorded import read
from .rules import Gate
from .trials import Table, Trial, table, write
from .verdict import Finding, Verdict, judge

__all__ = [
    "Comparison",
    "Finding",
    "Gate",
    "Plan",
    "Settings",
    "Table",
    "Trial",
    "Verdict",
    "compare",
    "judge",
    "plan",
    "read",
    "table",
    "write",
]
