"""A real service on the starter project: a clerk whose refunds above 100 wait for a person, above 1000 are refused."""

from collections.abc import AsyncGenerator

import httpx
import pytest

from gatewright.runtime.api import create_app
from gatewright.runtime.service import Service


@pytest.fixture
async def http(service: Service) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
