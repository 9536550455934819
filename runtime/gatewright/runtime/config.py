"""What a service is configured with: `gatewright.toml`, overridden by `GATEWRIGHT_…` in the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of the configuration; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Deployment(Section):
    """A name that traffic reaches, and what serves it.

    `team` names an installed team (entry point group `gatewright.teams`) or one as `module:attribute`; `graph` names
    a plain LangGraph graph as `path/to/file.py:attribute` or `module:attribute` (as in `langgraph.json`). One of the
    two is needed. `rules` replaces the team's own rule pack.
    """

    team: str = ""
    graph: str = ""
    model: str = ""
    rules: Path | None = None
    world: dict[str, Any] = Field(default_factory=dict)


class Server(Section):
    """The HTTP service. Without a `token` it listens on loopback addresses only."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8420
    token: str = ""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 4 * 1024 * 1024


class Worker(Section):
    """How runs are executed. Times in seconds."""

    concurrency: Annotated[int, Field(ge=1, le=10_000)] = 32
    lease: Annotated[float, Field(ge=1)] = 10.0
    drain: Annotated[float, Field(ge=0)] = 20.0
    run_timeout: Annotated[float, Field(gt=0)] = 3600.0
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    retry_delay: Annotated[float, Field(ge=0)] = 1.0
    max_effects: Annotated[int, Field(ge=1)] = 10_000
    recursion_limit: Annotated[int, Field(ge=1)] = 10_000


class Ledger(Section):
    """The log of decision records. A checkpoint is signed after `checkpoint_records` or `checkpoint_seconds`."""

    origin: str = "gatewright.local/decisions"
    checkpoint_records: Annotated[int, Field(ge=1)] = 1024
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 5.0


class Config(Section):
    """The whole configuration. Relative paths are relative to the folder of `gatewright.toml`."""

    data_dir: Path = Path(".gatewright")
    deployments: dict[str, Deployment] = Field(default_factory=lambda: {"support": Deployment(team="support")})
    server: Server = Server()
    worker: Worker = Worker()
    ledger: Ledger = Ledger()
