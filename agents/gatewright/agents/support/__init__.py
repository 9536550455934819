"""The reference team: an airline's customer service, a front desk and a specialist for changes and refunds."""

from pathlib import Path

from gatewright.agents.teams import Agent, Team

from . import changes, desk
from .escalation import ESCALATE

team = Team(
    name="support",
    entry="desk",
    agents=(
        Agent(name="desk", build=desk.build, description="Talks with the customer and looks things up."),
        Agent(
            name="changes",
            build=changes.build,
            description="Books, changes and cancels reservations and sends certificates, as the desk asks.",
        ),
    ),
    world="gatewright.environments.airline:airline",
    rules=Path(__file__).parent / "rules.yaml",
    model="recorded",
    points=(ESCALATE,),
)

__all__ = ["team"]
