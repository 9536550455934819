"""What cases have earned, as the simulated worlds that they were in can tell."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from langgraph.checkpoint.memory import InMemorySaver

from gatewright.environments.decisions.plays import PricedWorld
from gatewright.runtime import deployments
from gatewright.runtime.config import Config
from gatewright.runtime.deployments import LoadedDeployment
from gatewright.runtime.episodes import Episode

Earned = Callable[[Episode], float | None]
"""The reward of a case in its world's own unit; None where nobody can tell."""


def unknown(episode: Episode) -> None:
    """Nothing is known of it."""
    del episode


@contextmanager
def opened(config: Config) -> Generator[Earned]:
    """Asks the worlds of a configuration, with the state that its services have left.

    Raises:
        UsageError: a deployment cannot be loaded.
    """
    saver = InMemorySaver()
    loaded: dict[str, LoadedDeployment] = {}

    def earned(episode: Episode) -> float | None:
        deployment = loaded.get(episode.root.deployment)
        world = None if deployment is None else deployment.world
        if not isinstance(world, PricedWorld):
            return None
        return sum(world.components(episode.id, episode.root.settings).values())

    try:
        for name, settings in config.deployments.items():
            loaded[name] = deployments.load(name, settings, data_dir=config.data_dir, saver=saver)
        yield earned
    finally:
        for deployment in loaded.values():
            if deployment.world is not None:
                deployment.world.close()
