"""A release that episodes are replayed on: deployments loaded in this process, with no service and no database."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from langgraph.checkpoint.memory import InMemorySaver

from gatewright.agents.errors import UsageError
from gatewright.runtime import deployments, interception
from gatewright.runtime.bus.composing import Composer
from gatewright.runtime.bus.topics import Topic
from gatewright.runtime.config import Config
from gatewright.runtime.deployments import LoadedDeployment
from gatewright.scenarios.importers.episodes import DEPLOYMENT as IMPORTED

from .player import Surroundings


class Release(NamedTuple):
    """The deployments of a configuration. Their graphs keep their states in `saver`."""

    deployments: Mapping[str, LoadedDeployment]
    saver: InMemorySaver
    composer: Composer

    def deployment(self, name: str) -> LoadedDeployment:
        """The deployment of this name.

        Raises:
            UsageError: there is none.
        """
        found = self.deployments.get(name)
        if found is None and name == IMPORTED:
            raise UsageError(
                "the episode was imported from another program and holds no team that could be run; "
                "--mode tools-live replays the file that it was imported from"
            )
        if found is None:
            raise UsageError(
                f"the episode is of deployment {name!r}, which is not configured here; there are "
                f"{sorted(self.deployments)}; name the right configuration with --config"
            )
        return found

    def around(self, deployment: LoadedDeployment) -> Surroundings:
        """What a player knows of it."""
        return Surroundings(deployment.colleagues, self.shape)

    def shape(self, topic: str, payload: Any, type_: str | None) -> tuple[str, Any]:
        """The type and the JSON form in which a topic takes a payload."""
        return self.composer.schemas(topic).dump(type_, payload)


@contextlib.contextmanager
def loaded(config: Config) -> Generator[Release]:
    """The release that a configuration names. Worlds are opened on empty state of their own, and closed at the end.

    Raises:
        UsageError: a deployment cannot be loaded.
    """
    interception.install()
    saver = InMemorySaver()
    found: dict[str, LoadedDeployment] = {}
    with tempfile.TemporaryDirectory(prefix="gatewright-") as folder:
        try:
            for name, settings in config.deployments.items():
                found[name] = deployments.load(name, settings, data_dir=Path(folder), saver=saver)
            default = Topic()
            yield Release(found, saver, Composer("", lambda topic: config.topics.get(topic, default)))
        finally:
            for deployment in found.values():
                if deployment.world is not None:
                    deployment.world.close()
