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
from gatewright.runtime.people import digest

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
        assert card.nth(0).locator("details").last.get_attribute("open") is not None
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


@pytest.fixture
def guarded(tmp_path: Path) -> Generator[str]:
    """A service that asks for two people of the treasury, with three people whose tokens are their names."""
    rules = (STARTER / "rules.yaml").read_text("utf-8")
    terms = "then: ask\n    approval: {quorum: 2, roles: [treasury], expires: 4h}\n"
    (tmp_path / "rules.yaml").write_text(rules.replace("then: ask\n", terms), "utf-8")
    shutil.copy(STARTER / "agent.py", tmp_path)
    people = {"ada": ["treasury"], "bob": ["treasury", "break_glass"], "robin": ["operator"]}
    lines = [
        f'[people.{name}]\nroles = {json.dumps(roles)}\ntoken_sha256 = "{digest(name)}"'
        for name, roles in people.items()
    ]
    config = (STARTER / "gatewright.toml").read_text("utf-8")
    (tmp_path / "gatewright.toml").write_text("\n".join([config, *lines]), "utf-8")
    command = [str(PROGRAM), "serve", "--json", "--port", "0", "--config", str(tmp_path / "gatewright.toml")]
    process = subprocess.Popen([*command, "--data-dir", str(tmp_path / "data")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())["url"]
    process.terminate()
    process.communicate(timeout=60)


def sign_in(page: Page, url: str, name: str) -> None:
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(url)
    page.get_by_label("Your token").fill(name)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("At a glance").wait_for()


def begin_as(url: str, name: str) -> str:
    body = {"deployment": "clerk", "input": {"order": "B-02", "amount": 400}}
    headers = {"authorization": f"Bearer {name}"}
    run = httpx.post(f"{url}/v1/runs/wait", json=body, headers=headers, timeout=PATIENCE).json()
    return str(run["waiting_for"][0])


def test_two_people_sign_in_and_decide_with_the_keyboard_alone(browser: Browser, guarded: str) -> None:
    approval = begin_as(guarded, "robin")
    for name, progress in (("ada", "0 of 2"), ("bob", "1 of 2")):
        with browser.new_context() as context:
            page = context.new_page()
            watched = Watched(page, guarded)
            sign_in(page, guarded, name)
            page.goto(f"{guarded}/approvals")
            assert progress in page.locator("article.gate").inner_text()
            page.get_by_label("Reason", exact=False).last.focus()
            for _ in range(30):
                page.keyboard.press("Tab")
                if page.evaluate("document.activeElement.textContent") == "Approve":
                    break
            page.keyboard.press("Enter")
            page.get_by_text("Nothing waits for a person.").wait_for()
            assert (watched.complaints, watched.elsewhere) == ([], [])

    shown = httpx.get(f"{guarded}/v1/approvals/{approval}", headers={"authorization": "Bearer robin"}).json()
    assert [vote["by"] for vote in shown["votes"]] == ["ada", "bob"]
    assert shown["state"] in ("approved", "consumed")


def test_several_are_rejected_together_without_javascript(browser: Browser, guarded: str) -> None:
    approvals = [begin_as(guarded, "robin") for _ in range(2)]
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        sign_in(page, guarded, "ada")
        page.goto(f"{guarded}/approvals")
        for approval in approvals:
            page.locator(f"#pick-{approval}").check()
        page.get_by_text("Decide several together").click()
        page.locator("#reason-batch").fill("not due")
        page.get_by_role("button", name="Reject selected").click()
        page.get_by_text("Nothing waits for a person.").wait_for()

    headers = {"authorization": "Bearer robin"}
    views = [httpx.get(f"{guarded}/v1/approvals/{approval}", headers=headers).json() for approval in approvals]
    assert [(view["state"], view["decision_reason"]) for view in views] == [("rejected", "not due")] * 2


def test_an_emergency_takes_a_second_page_a_reason_and_a_tick(browser: Browser, guarded: str) -> None:
    approval = begin_as(guarded, "robin")
    with browser.new_context(viewport={"width": 360, "height": 800}) as context:
        page = context.new_page()
        sign_in(page, guarded, "bob")
        page.goto(f"{guarded}/approvals/{approval}")
        page.get_by_text("Break the glass").click()
        page.get_by_label("Reason").fill("fire")
        page.get_by_role("button", name="Approve alone").click()  # the browser wants the tick first
        still_there = page.url
        page.get_by_label("This is an emergency").check()
        width = page.evaluate("document.documentElement.scrollWidth")
        page.get_by_role("button", name="Approve alone").click()
        page.get_by_text("in an emergency").wait_for()

    assert still_there.endswith("/emergency")
    assert width <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(browser: Browser, guarded: str, scheme: Literal["light", "dark"]) -> None:
    """WCAG 2.2 AA, 1.4.3: a contrast of at least 4.5 for every text on the pages of the queue."""
    approval = begin_as(guarded, "robin")
    with browser.new_context(color_scheme=scheme) as context:
        page = context.new_page()
        sign_in(page, guarded, "bob")
        for path in (f"/approvals/{approval}", f"/approvals/{approval}/emergency", "/delegations", "/grants"):
            page.goto(guarded + path)
            assert page.evaluate(FAINT) == []


FAINT = """() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const found = parts(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own) continue;
    const [one, two] = [light(parts(getComputedStyle(element).color)), light(ground(element))];
    const contrast = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    const said = element.textContent.trim().slice(0, 40);
    if (contrast < 4.5) faint.push(`${element.tagName} ${said} ${contrast.toFixed(1)}`);
  }
  return faint;
}"""
