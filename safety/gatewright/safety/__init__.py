"""What may be done: rules, approvals, ledger proofs. Pure: opens no database and no socket.

Names are imported on first use: a service without rules never loads the rule language.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .approvals import Action, Request, Vote
    from .approvals.terms import ApprovalTerms
    from .rules.events import Event, Hook, Past
    from .rules.guard import Guard
    from .rules.packs import Pack
    from .rules.sources import PackError
    from .rules.waivers import Scope, Waiver
    from .verdicts import Decision, RuleHit, Verdict

__all__ = [
    "Action",
    "ApprovalTerms",
    "Decision",
    "Event",
    "Guard",
    "Hook",
    "Pack",
    "PackError",
    "Past",
    "Request",
    "RuleHit",
    "Scope",
    "Verdict",
    "Vote",
    "Waiver",
]

_HOMES = {
    "approvals": ("Action", "Request", "Vote"),
    "rules.events": ("Event", "Hook", "Past"),
    "rules.guard": ("Guard",),
    "rules.packs": ("Pack",),
    "rules.sources": ("PackError",),
    "approvals.terms": ("ApprovalTerms",),
    "verdicts": ("Decision", "RuleHit", "Verdict"),
    "rules.waivers": ("Scope", "Waiver"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
