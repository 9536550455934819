"""Services on graphs of `graphs/`, with the world that their tools act on: a file that is written to."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import sqlalchemy as sa

from gatewright.runtime.cli.starting import STARTER
from gatewright.runtime.config import Config, load
from gatewright.runtime.people import digest
from gatewright.runtime.service import Service
from gatewright.runtime.store import database
from gatewright.runtime.views import ApprovalView, RunView, Verb

ON_BOTH = ("test_desk", "test_dues", "test_engine", "test_messages", "test_threads")
GRAPHS = Path(__file__).parent / "graphs"
HEAD = "apiVersion: gatewright/v1\nkind: RulePack\nname: test\nversion: 1\n"


class House:
    """A data directory, the rules in force there, and what its agents did to the world.

    `database` is the URL of a PostgreSQL database, empty for SQLite.
    """

    def __init__(self, folder: Path, database: str = "") -> None:
        self.folder = folder
        self.database = database
        self.log = folder / "world.jsonl"
        self._rules = folder / "rules.yaml"
        self._shadow = folder / "shadow.yaml"
        self._deployment: dict[str, Any] = {}
        self._settings: dict[str, Any] = {}

    def rules(self, *rules: Mapping[str, Any], shadow: bool = False, **more: Any) -> None:
        """Put these rules in force when the service is opened next; examples are added where there are none.

        Args:
            shadow: they are on trial, beside those in force.
            more: further keys of the rule pack, `tools` for example.
        """
        written = [_with_examples(dict(rule)) for rule in rules]
        keys = "".join(f"{key}: {json.dumps(value)}\n" for key, value in more.items())
        place = self._shadow if shadow else self._rules
        place.write_text(f"{HEAD}{keys}rules: {json.dumps(written)}\n", "utf-8")

    def deployment(self, **settings: Any) -> None:
        """Set keys of the deployment's configuration for when the service is opened next."""
        self._deployment |= settings

    def settings(self, **sections: Any) -> None:
        """Set sections of the configuration for when the service is opened next."""
        self._settings |= sections

    def config(self, graph: str, **worker: Any) -> Config:
        """One deployment `x` of `file:attribute` in `graphs/`, or of a team `module:attribute`."""
        file, _, attribute = graph.partition(":")
        kind = "team" if file == "teams" else "graph"
        found: dict[str, Any] = {kind: f"{GRAPHS / file}.py:{attribute}", **self._deployment}
        for key, path in (("rules", self._rules), ("shadow", self._shadow)):
            if path.exists():
                found[key] = path
        return Config.model_validate(
            {
                "data_dir": self.folder / "data",
                "database": self.database,
                "deployments": {"x": found},
                "worker": {"retry_delay": 0.0, **worker},
                **self._settings,
            }
        )

    @asynccontextmanager
    async def open(self, graph: str, **worker: Any) -> AsyncGenerator[Service]:
        """The service, with settings of its worker."""
        async with await Service.open(self.config(graph, **worker)) as service:
            yield service

    def query(self, text: str) -> list[Any]:
        """What the database answers; a change is kept."""
        engine = database.of(self.database, self.folder / "data").connect()
        with engine.begin() as connection:
            found = connection.execute(sa.text(text))
            rows = [tuple(row) for row in found] if found.returns_rows else []
        engine.dispose()
        return rows

    @property
    def done(self) -> list[Any]:
        """What happened to the world, in order: `[name, argument]`."""
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]

    @property
    def counts(self) -> Counter[str]:
        """How often each thing happened."""
        return Counter(":".join(str(part) for part in entry) for entry in self.done)

    def forget(self) -> None:
        """Begin anew: an empty world, an empty data directory, no rules."""
        self.log.unlink(missing_ok=True)
        self._rules.unlink(missing_ok=True)
        self._shadow.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    async def finish(self, service: Service, given: Any, **more: Any) -> RunView:
        """Start a run and wait until it has ended or waits for a person."""
        run = await service.start_run("x", given, **more)
        return await service.wait(run.id, timeout=30)

    async def decide(self, service: Service, run: RunView, verb: Verb, value: Any = None) -> RunView:
        """Decide everything that a run waits for, alike, and wait until it has ended or waits again."""
        for approval in await self.waiting(service, run):
            await service.decide(approval.id, verb, by="kim", reason="kim says so", value=value)
        return await service.wait(run.id, timeout=30)

    async def decide_all(self, service: Service, run: RunView, verb: Verb, value: Any = None) -> RunView:
        """Decide alike until the run has ended."""
        while run.status == "waiting":
            run = await self.decide(service, run, verb, value)
        return run

    async def waiting(self, service: Service, run: RunView) -> list[ApprovalView]:
        """What a run waits for from people."""
        assert run.status == "waiting", (run.status, run.error, run.output)
        return await service.approvals(run_id=run.id)

    async def effects(self, service: Service, run: RunView | None = None) -> list[dict[str, Any]]:
        """The decision records of effects, each with its opened values."""
        found = await service.records(kind="effect", run_id=None if run is None else run.id, limit=1000)
        return [{**view.record, **view.opened} for view in found]


def _with_examples(rule: dict[str, Any]) -> dict[str, Any]:
    rule.setdefault("reason", f"because of {rule['id']}")
    if "examples" not in rule:
        if "when" in rule:
            raise ValueError(f"rule {rule['id']!r} has a condition, so it needs examples of its own")
        rule["when"] = "run.id != 'none'"
        rule["examples"] = {"match": [{"run_id": "run-1"}], "pass": [{"run_id": "none"}]}
    return rule


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Hold the tests of some modules on PostgreSQL too, apart from those that say themselves what they are held on."""
    chosen = "house" in metafunc.fixturenames and metafunc.definition.path.stem in ON_BOTH
    if chosen and not any(mark.args[0] == "house" for mark in metafunc.definition.iter_markers("parametrize")):
        metafunc.parametrize("house", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def house(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """On SQLite, or on what the parameter says."""
    on = getattr(request, "param", "sqlite")
    house = House(tmp_path, request.getfixturevalue("database_url") if on == "postgresql" else "")
    monkeypatch.setenv("WORLD_LOG", str(house.log))
    return house


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The starter project, on a data directory of its own."""
    return load(STARTER / "gatewright.toml", environ={}, overrides={"data_dir": str(tmp_path / "data")})


@pytest.fixture
async def service(config: Config) -> AsyncGenerator[Service]:
    """A real service on the starter project."""
    async with await Service.open(config) as service:
        yield service


class Staffed(Protocol):
    """Makes the starter project's configuration with terms for its large refunds, and with people: each by name, with
    roles, and a token that is their name."""

    def __call__(self, terms: Mapping[str, Any] | None = None, **people: Sequence[str]) -> Config: ...


@pytest.fixture
def staffed(tmp_path: Path) -> Staffed:
    def make(terms: Mapping[str, Any] | None = None, **people: Sequence[str]) -> Config:
        written = f"then: ask\n    approval: {json.dumps(terms)}\n" if terms else "then: ask\n"
        rules = tmp_path / "rules.yaml"
        rules.write_text((STARTER / "rules.yaml").read_text("utf-8").replace("then: ask\n", written), "utf-8")
        overrides: dict[str, Any] = {
            "data_dir": str(tmp_path / "data"),
            "deployments": {"clerk": {"rules": str(rules)}},
            "people": {name: {"roles": list(roles), "token_sha256": digest(name)} for name, roles in people.items()},
            "server": {"token": "robot"} if people else {},
        }
        return load(STARTER / "gatewright.toml", environ={}, overrides=overrides)

    return make
