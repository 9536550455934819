"""A real service on the starter project: a clerk whose refunds above 100 wait for a person, above 1000 are refused."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from gatewright.runtime.api import create_app
from gatewright.runtime.cli.starting import STARTER
from gatewright.runtime.config import Config, load
from gatewright.runtime.service import Service


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(STARTER / "gatewright.toml", environ={}, overrides={"data_dir": str(tmp_path / "data")})


@pytest.fixture
async def service(config: Config) -> AsyncGenerator[Service]:
    async with await Service.open(config) as service:
        yield service


@pytest.fixture
async def http(service: Service) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
