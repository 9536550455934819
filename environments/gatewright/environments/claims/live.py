"""The claims desk as an environment of Gymnasium, with the real team at work; needs the extra `tune`.

Importing this module registers `gatewright/ClaimsTriageLive-v1` and `gatewright/ClaimsInvestigateLive-v1`. On the same
seeds they are the environments of `single`: the same claims, masks and rewards.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from gymnasium.envs.registration import register

from gatewright.agents.claims import INVESTIGATE, TRIAGE, team
from gatewright.environments.decisions.live import LiveEnv
from gatewright.environments.decisions.plays import TeamPlay
from gatewright.safety.rules.guard import Guard

from .optimum import Point
from .world import ClaimsWorld, conversation

LIVE_IDS: dict[Point, str] = {
    "triage": "gatewright/ClaimsTriageLive-v1",
    "investigate": "gatewright/ClaimsInvestigateLive-v1",
}


class ClaimsLiveEnv(LiveEnv):
    """The claims team in its world, at one decision point; the world is thrown away when the environment is closed.

    Args:
        rules: those at `decision.before` close options.
    """

    def __init__(self, point: Point = "triage", *, rules: Guard | None = None) -> None:
        self._folder = TemporaryDirectory(prefix="gatewright-", ignore_cleanup_errors=True)
        self._world = ClaimsWorld(Path(self._folder.name))
        play = TeamPlay(team, self._world, conversation, rules=rules)
        super().__init__(TRIAGE if point == "triage" else INVESTIGATE, play)

    def close(self) -> None:
        """End it for good."""
        super().close()
        self._world.close()
        self._folder.cleanup()


for _point, _id in LIVE_IDS.items():
    register(_id, entry_point=f"{__name__}:ClaimsLiveEnv", kwargs={"point": _point})
