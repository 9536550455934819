"""Why a policy chose what it chose: Shapley values of logged decisions, contrasts, the smallest change that flips."""

from .attributions import Attribution, Bar, Contrast
from .changes import Change, Lever, Step, directions, levers, smallest_change
from .enumeration import enumerate_coalitions
from .evidence import Reproduction, explain, record, reproduce
from .games import Game, Group, Logits, Reference
from .plots import to_shap
from .sampling import sample
from .surrogates import Surrogate, surrogate

__all__ = [
    "Attribution",
    "Bar",
    "Change",
    "Contrast",
    "Game",
    "Group",
    "Lever",
    "Logits",
    "Reference",
    "Reproduction",
    "Step",
    "Surrogate",
    "directions",
    "enumerate_coalitions",
    "explain",
    "levers",
    "record",
    "reproduce",
    "sample",
    "smallest_change",
    "surrogate",
    "to_shap",
]
