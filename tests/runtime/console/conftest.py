"""A real service on the starter project, and its console as a browser without JavaScript sees it."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING

import httpx
import pytest

from gatewright.runtime.api import create_app
from gatewright.runtime.service import Service
from gatewright.runtime.views import RunView

if TYPE_CHECKING:
    from playwright.sync_api import Browser


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


@pytest.fixture(scope="module")
def chromium() -> Generator[Browser]:
    """A real browser, for modules whose tests are not asynchronous."""
    from playwright.sync_api import sync_playwright  # not for the tests that need no browser

    program = shutil.which("chromium")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium on the PATH; install it, the console must be tried in a browser")
        pytest.skip("no chromium on the PATH; install it to try the console in a browser")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()
