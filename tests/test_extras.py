"""What needs an extra, and what does not: the core install has to do everything else."""

from __future__ import annotations

import json
import subprocess
import sys

_EVERYTHING = """
import importlib, json, pkgutil, sys

OF_EXTRAS = {
    "audit": ("matplotlib", "shap"),
    "kafka": ("kafka",),
    "openai": ("langchain_openai",),
    "postgres": ("langgraph.checkpoint.postgres", "psycopg", "psycopg_pool"),
    "prices": ("genai_prices",),
    "tune": ("gymnasium", "optuna", "sb3_contrib", "stable_baselines3", "torch"),
}

class Absent:
    def find_spec(self, name, path=None, target=None):
        for extra, packages in OF_EXTRAS.items():
            if any(name == package or name.startswith(package + ".") for package in packages):
                raise ModuleNotFoundError(f"of {extra}", name=name)

sys.meta_path.insert(0, Absent())
import gatewright
from gatewright.agents.errors import MissingExtraError

needs = {}
for module in pkgutil.walk_packages(gatewright.__path__, "gatewright.", onerror=lambda name: None):
    if "migrations" in module.name:
        continue
    try:
        importlib.import_module(module.name)
    except (MissingExtraError, ModuleNotFoundError) as error:
        found = [extra for extra in OF_EXTRAS if f"of {extra}" in str(error)]
        needs.setdefault(found[0] if found else str(error), []).append(module.name)
print(json.dumps(needs))
"""


def test_only_what_is_listed_here_needs_an_extra() -> None:
    done = subprocess.run([sys.executable, "-c", _EVERYTHING], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {
        "kafka": ["gatewright.runtime.bridge", "gatewright.runtime.kafka"],
        "postgres": ["gatewright.runtime.checkpoints.postgresql"],
        "tune": [
            "gatewright.environments.claims.live",
            "gatewright.environments.claims.single",
            "gatewright.environments.claims.vector",
            "gatewright.environments.decisions.checker",
            "gatewright.environments.decisions.live",
            "gatewright.environments.decisions.logged",
            "gatewright.environments.decisions.spaces",
            "gatewright.scenarios.tuning.deep",
        ],
    }
