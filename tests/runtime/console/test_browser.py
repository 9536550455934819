"""The console in a real browser: live updates, typing that is not lost, forms without JavaScript, nothing blocked."""

import json
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser
from tests.runtime.console.browsing import FAINT, PATIENCE, Watched, served, sign_in

from gatewright.runtime.cli.starting import STARTER
from gatewright.runtime.people import digest


@pytest.fixture
def url(tmp_path: Path) -> Generator[str]:
    with served(STARTER / "gatewright.toml", tmp_path / "data") as url:
        yield url


def begin(url: str, amount: float = 400) -> str:
    """A run that waits for a person."""
    body = {"deployment": "clerk", "input": {"order": "B-02", "amount": amount}}
    return str(httpx.post(f"{url}/v1/runs/wait", json=body, timeout=PATIENCE).json()["id"])


def test_a_new_approval_appears_by_itself_and_typing_is_kept(chromium: Browser, url: str) -> None:
    begin(url)
    with chromium.new_page() as page:
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


def test_approving_in_the_browser_lets_the_run_end_and_the_page_follows(chromium: Browser, url: str) -> None:
    run_id = begin(url)
    with chromium.new_page() as page:
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(f"{url}/runs/{run_id}")
        page.get_by_label("Your name").fill("Ada")
        page.get_by_role("button", name="Approve", exact=True).click()

        page.locator(".status.succeeded").wait_for()

        assert page.url == f"{url}/runs/{run_id}"
        assert "by Ada" in page.locator(".timeline").inner_text()


def test_the_form_works_without_javascript(chromium: Browser, url: str) -> None:
    run_id = begin(url)
    with chromium.new_context(java_script_enabled=False) as context:
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
    chromium: Browser, url: str, scheme: Literal["light", "dark"]
) -> None:
    begin(url)
    with chromium.new_context(viewport={"width": 360, "height": 800}, color_scheme=scheme) as context:
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
    with served(tmp_path / "gatewright.toml", tmp_path / "data") as url:
        yield url


def begin_as(url: str, name: str) -> str:
    body = {"deployment": "clerk", "input": {"order": "B-02", "amount": 400}}
    headers = {"authorization": f"Bearer {name}"}
    run = httpx.post(f"{url}/v1/runs/wait", json=body, headers=headers, timeout=PATIENCE).json()
    return str(run["waiting_for"][0])


def test_two_people_sign_in_and_decide_with_the_keyboard_alone(chromium: Browser, guarded: str) -> None:
    approval = begin_as(guarded, "robin")
    for name, progress in (("ada", "0 of 2"), ("bob", "1 of 2")):
        with chromium.new_context() as context:
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


def test_several_are_rejected_together_without_javascript(chromium: Browser, guarded: str) -> None:
    approvals = [begin_as(guarded, "robin") for _ in range(2)]
    with chromium.new_context(java_script_enabled=False) as context:
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


def test_an_emergency_takes_a_second_page_a_reason_and_a_tick(chromium: Browser, guarded: str) -> None:
    approval = begin_as(guarded, "robin")
    with chromium.new_context(viewport={"width": 360, "height": 800}) as context:
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
def test_words_stand_out_from_their_ground(chromium: Browser, guarded: str, scheme: Literal["light", "dark"]) -> None:
    """WCAG 2.2 AA, 1.4.3: a contrast of at least 4.5 for every text on the pages of the queue."""
    approval = begin_as(guarded, "robin")
    with chromium.new_context(color_scheme=scheme) as context:
        page = context.new_page()
        sign_in(page, guarded, "bob")
        for path in (f"/approvals/{approval}", f"/approvals/{approval}/emergency", "/delegations", "/grants"):
            page.goto(guarded + path)
            assert page.evaluate(FAINT) == []
