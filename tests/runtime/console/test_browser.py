"""The console in a real browser: live updates, typing that is not lost, forms without JavaScript, nothing blocked."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from gatewright.runtime.cli.starting import STARTER

PATIENCE = 120.0  # seconds; a machine under load starts a browser and a service slowly
CHROMIUM = shutil.which("chromium")
PROGRAM = Path(sys.executable).with_name("gatewright")


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium on the PATH; install it, the console must be tried in a browser")
        pytest.skip("no chromium on the PATH; install it to try the console in a browser")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def url(tmp_path: Path) -> Generator[str]:
    command = [str(PROGRAM), "serve", "--json", "--port", "0", "--config", str(STARTER / "gatewright.toml")]
    process = subprocess.Popen([*command, "--data-dir", str(tmp_path / "data")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())["url"]
    process.terminate()
    process.communicate(timeout=60)


class Watched:
    """A page, with what the browser complained of and where it went."""

    def __init__(self, page: Page, url: str) -> None:
        page.set_default_timeout(PATIENCE * 1000)
        self.page = page
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda sent: None if sent.url.startswith(url) else self.elsewhere.append(sent.url))


def begin(url: str, amount: float = 400) -> str:
    """A run that waits for a person."""
    body = {"deployment": "clerk", "input": {"order": "B-02", "amount": amount}}
    return str(httpx.post(f"{url}/v1/runs/wait", json=body, timeout=PATIENCE).json()["id"])


def test_a_new_approval_appears_by_itself_and_typing_is_kept(browser: Browser, url: str) -> None:
    begin(url)
    with browser.new_page() as page:
        watched = Watched(page, url)
        page.goto(url)
        card = page.locator("article.gate")
        card.get_by_label("Reason").fill("half a sentence")
        card.get_by_text("Change the arguments").click()
        begin(url, 500)

        page.locator("article.gate").nth(1).wait_for()

        assert card.nth(0).get_by_label("Reason").input_value() == "half a sentence"
        assert card.nth(0).locator("details").get_attribute("open") is not None
        assert (watched.complaints, watched.elsewhere) == ([], [])


def test_approving_in_the_browser_lets_the_run_end_and_the_page_follows(browser: Browser, url: str) -> None:
    run_id = begin(url)
    with browser.new_page() as page:
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(f"{url}/runs/{run_id}")
        page.get_by_label("Your name").fill("Ada")
        page.get_by_role("button", name="Approve", exact=True).click()

        page.locator(".status.succeeded").wait_for()

        assert page.url == f"{url}/runs/{run_id}"
        assert "by Ada" in page.locator(".timeline").inner_text()


def test_the_form_works_without_javascript(browser: Browser, url: str) -> None:
    run_id = begin(url)
    with browser.new_context(java_script_enabled=False) as context:
        context.set_default_timeout(PATIENCE * 1000)
        page = context.new_page()
        page.goto(url)
        page.get_by_label("Your name").fill("Ada")
        page.get_by_role("button", name="Reject").click()
        alert = page.get_by_role("alert").inner_text()
        page.get_by_label("Reason").fill("not today")
        page.get_by_role("button", name="Reject").click()
        page.get_by_text("Nothing waits for a person.").wait_for()

    assert "reason is needed" in alert
    ended = httpx.get(f"{url}/v1/runs/{run_id}/wait", timeout=PATIENCE).json()
    assert ended["status"] in ("failed", "succeeded")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_in_both_colour_schemes(
    browser: Browser, url: str, scheme: Literal["light", "dark"]
) -> None:
    begin(url)
    with browser.new_context(viewport={"width": 360, "height": 800}, color_scheme=scheme) as context:
        page = context.new_page()
        page.goto(url)
        width = page.evaluate("document.documentElement.scrollWidth")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert width <= 360
    assert ground == ("rgb(13, 17, 23)" if scheme == "dark" else "rgb(255, 255, 255)")
