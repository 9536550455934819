"""The reference team `claims`: an insurer's claims desk. Intake follows a claim, and payout settles it."""

from pathlib import Path

from gatewright.agents.teams import Agent, Team

from . import intake, payout
from .points import InvestigateFeatures, TriageFeatures, closed_at_investigation, closed_at_triage
from .rules import INVESTIGATE, TRIAGE

team = Team(
    name="claims",
    entry="intake",
    agents=(
        Agent(name="intake", build=intake.build, description="Has claims checked, and decides what is done with them."),
        Agent(name="payout", build=payout.build, description="Pays and refuses claims, as intake orders."),
    ),
    world="gatewright.environments.claims.world:claims",
    rules=Path(__file__).parent / "rules.yaml",
    points=(TRIAGE, INVESTIGATE),
)

__all__ = [
    "INVESTIGATE",
    "TRIAGE",
    "InvestigateFeatures",
    "TriageFeatures",
    "closed_at_investigation",
    "closed_at_triage",
    "team",
]
