"""A real service on the starter project, and its console as a browser without JavaScript sees it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
import pytest

from gatewright.runtime.api import create_app
from gatewright.runtime.service import Service
from gatewright.runtime.views import RunView


@pytest.fixture
async def browser(service: Service) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(service))
    headers = {"accept": "text/html"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        yield client


@pytest.fixture
async def waiting(service: Service) -> RunView:
    """A run whose refund waits for a person. The order's name is what a customer could have typed."""
    run = await service.start_run("clerk", {"order": "<script>alert(1)</script>", "amount": 400})
    return await service.wait(run.id)
