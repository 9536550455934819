"""A folder with a configuration and suites, and trials of them in this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gatewright.runtime.config import Config
from gatewright.scenarios import suites
from gatewright.scenarios.gate.trials import Trial
from gatewright.scenarios.suites.bench import Bench
from gatewright.scenarios.suites.crew import Task
from gatewright.scenarios.suites.running import Prepared

RULES = """apiVersion: gatewright/v1
kind: RulePack
name: clerk
version: 1
tools:
  refund: {labels: [irreversible]}
rules:
- id: large
  on: {hook: tool.before, name: refund}
  when: args.amount > 100.0
  then: ask
  approval: {roles: [chief], quorum: 2}
  reason: much
  examples:
    match: [{args: {amount: 101.0}}]
    pass: [{args: {amount: 1.0}}]
- id: never
  on: {hook: tool.before, name: refund}
  when: args.amount == 666.0
  then: deny
  reason: not this one
  examples:
    match: [{args: {amount: 666.0}}]
    pass: [{args: {amount: 1.0}}]
"""


class Office:
    """The deployments `clerk` (a plain graph), `claims` and `support` (teams with simulated worlds)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rules(RULES)

    def rules(self, text: str) -> None:
        """Those of the clerk."""
        (self.folder / "rules.yaml").write_text(text, "utf-8")

    @property
    def config(self) -> Config:
        """Its data is in the folder `data`."""
        clerk = {"graph": f"{Path(__file__).parent / 'clerk.py'}:graph", "rules": self.folder / "rules.yaml"}
        deployments = {"clerk": clerk, "claims": {"team": "claims"}, "support": {"team": "support"}}
        return Config.model_validate({"data_dir": self.folder / "data", "deployments": deployments})

    def suite(self, text: str, *, deployment: str = "clerk") -> Path:
        """The file of a suite that says this."""
        path = self.folder / "suite.yaml"
        path.write_text(f"suite: test\nversion: 1\ndeployment: {deployment}\n{text}", "utf-8")
        return path

    def prepared(self, text: str, *, deployment: str = "clerk") -> Prepared:
        """A suite that says this, ready to run."""
        return suites.prepare(suites.read(self.suite(text, deployment=deployment)), self.config, name="test")

    async def tried(self, text: str, *, deployment: str = "clerk", tasks: Sequence[int] | None = None) -> list[Trial]:
        """The rows of a suite's trials, run in this process; `tasks` are the places of those to run, in that order."""
        prepared = self.prepared(text, deployment=deployment)
        chosen = prepared.tasks if tasks is None else [prepared.tasks[place] for place in tasks]
        return await held(self.config, prepared, chosen)


async def held(config: Config, prepared: Prepared, tasks: Sequence[Task]) -> list[Trial]:
    """The rows of these trials, on one bench."""
    async with Bench(config, prepared.read.suite) as bench:
        return [await bench.trial(*task) for task in tasks]
