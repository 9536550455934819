"""What a result is of: a digest of all that decides how a deployment behaves, as far as it can be seen from here."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from gatewright.runtime import deployments
from gatewright.runtime.config import Deployment
from gatewright.runtime.deployments import LoadedDeployment
from gatewright.runtime.policies.serving import LearnedPolicy
from gatewright.safety import canonical
from gatewright.scenarios.episodes.files import versions


def digest(settings: Deployment, loaded: LoadedDeployment) -> str:
    """SHA-256 of a deployment: its settings, its rules, its policies, the files of its team's code, and the versions of
    the libraries that it runs on. What a hosted model does is not among them."""
    plain = settings.model_dump(mode="json", exclude={"rules", "shadow", "policies"})
    policies: dict[str, str] = {}
    for point, policy in sorted(loaded.policies.items()):
        explore = settings.policies[point].explore
        policies[point] = policy.artefact.version if isinstance(policy, LearnedPolicy) else f"explore={explore:g}"
    value: Mapping[str, Any] = {
        "settings": plain,
        "packs": [pack.digest for pack in loaded.packs],
        "policies": policies,
        "code": dict(_code(settings)),
        "versions": versions(),
    }
    return canonical.digest(canonical.json_value(value))


def _code(settings: Deployment) -> Iterator[tuple[str, str]]:
    """Digests of the Python files beside those that define the agents."""
    for folder in sorted({file.parent for file in _files(settings)}):
        for file in sorted(folder.glob("*.py")):
            yield f"{folder.name}/{file.name}", sha256(file.read_bytes()).hexdigest()


def _files(settings: Deployment) -> Iterator[Path]:
    place = (settings.team or settings.graph).rpartition(":")[0]
    if place.endswith(".py"):
        yield Path(place).resolve()
    names = {place}
    if settings.team:
        names |= {str(getattr(agent.build, "__module__", "")) for agent in deployments.team_of(settings.team).agents}
    for name in names:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file:
            yield Path(file).resolve()
