"""The way of an auditor through the console, in a real browser, to what can be checked without Gatewright."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Generator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page
from tests.runtime.console.browsing import FAINT, PATIENCE, Watched, served, sign_in

from gatewright.agents.claims.rules import TRIAGE
from gatewright.runtime.people import digest
from gatewright.runtime.policies import artefact
from gatewright.runtime.policies.encoding import Encoding
from gatewright.runtime.policies.networks import Mlp

POLL = 0.05  # seconds
CLAIMS = 12  # of the seed 7; the last one is paid 12,000 euros, which a person is asked about


class Desk(NamedTuple):
    """A claims desk with a learned policy at triage. `case`: of the claim that Ada let be paid."""

    url: str
    folder: Path
    case: str


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Generator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    _policy(folder / "triage.policy")
    people = {"robin": ["operator"], "ada": ["adjuster"], "audrey": ["auditor"]}
    lines = [f'[people.{name}]\nroles = {roles}\ntoken_sha256 = "{digest(name)}"' for name, roles in people.items()]
    deployment = '[deployments.claims]\nteam = "claims"\n[deployments.claims.policies]\ntriage = "triage.policy"\n'
    (folder / "gatewright.toml").write_text(
        deployment + "[ledger]\ncheckpoint_seconds = 0.2\n" + "\n".join(lines), "utf-8"
    )
    with served(folder / "gatewright.toml", folder / "data") as url:
        yield Desk(url, folder, _worked(url))


def _worked(url: str) -> str:
    """Lets the desk work on claims, robin reporting them and Ada approving the last one; gives the last one's case."""
    with httpx.Client(base_url=f"{url}/v1", timeout=PATIENCE) as client:
        runs: list[dict[str, Any]] = []
        for number in range(1, CLAIMS + 1):
            said = {"messages": [{"role": "user", "content": f"I report the claim C-7-{number}."}]}
            body = {"deployment": "claims", "input": said, "timeout": 1}
            runs.append(client.post("/runs/wait", json=body, headers={"authorization": "Bearer robin"}).json())
        run = runs[-1]
        client.headers["authorization"] = "Bearer ada"
        while not (asked := client.get("/approvals", params={"case_id": run["case_id"]}).json()):
            time.sleep(POLL)
        vote = client.post(f"/approvals/{asked[0]['id']}/approve", json={"reason": "I called the garage"})
        vote.raise_for_status()
        assert client.get(f"/runs/{run['id']}/wait").json()["status"] == "succeeded"
        _covered(client)
        return str(run["case_id"])


def _policy(path: Path) -> None:
    """A small network with fixed weights."""
    encoding, generator = Encoding.of(TRIAGE.features), np.random.default_rng(0)
    sizes = (len(encoding.columns), 8, len(TRIAGE.options))
    weights = [np.asarray(generator.normal(size=shape), np.float32) for shape in zip(sizes, sizes[1:], strict=False)]
    network = Mlp(tuple(weights), tuple(np.zeros(size, np.float32) for size in sizes[1:]))
    artefact.compose(
        network,
        point=TRIAGE.name,
        options=TRIAGE.options,
        encoding=encoding,
        origin=artefact.Origin(algorithm="ppo"),
    ).save(path)


def _covered(client: httpx.Client) -> None:
    """Waits until a checkpoint covers all that was done."""
    while True:
        head = client.get("/ledger").json()
        if head["checkpoint"] and int(head["checkpoint"].split("\n")[1]) == head["size"]:
            return
        time.sleep(POLL)


def find(page: Page, url: str, **asked: str) -> None:
    """Fill in the form that finds decisions, and open the newest hit."""
    page.goto(f"{url}/decisions")
    for name, value in asked.items():
        field = page.locator(f"form [name={name}]").first
        if field.evaluate("element => element.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    page.get_by_role("button", name="Find").click()
    page.locator("table.decisions tbody a").first.click()


def test_an_auditor_goes_from_a_payout_to_its_reasons_replays_it_and_verifies_it_elsewhere(
    chromium: Browser, desk: Desk, tmp_path: Path
) -> None:
    with chromium.new_context(accept_downloads=True) as context:
        page = context.new_page()
        watched = Watched(page, desk.url)
        sign_in(page, desk.url, "audrey")

        find(page, desk.url, effect="tool", approver="ada")
        assert page.get_by_role("heading", level=1).inner_text() == "pay_claim"
        said = page.locator("main").inner_text()
        assert "approve by ada (adjuster)" in said and "I called the garage" in said
        assert "payouts above 5,000 euros are looked at by a person" in page.locator("details[open]").inner_text()
        assert '"amount": 12000.0' in page.locator("details[open]").inner_text()

        find(page, desk.url, point="triage", feature="amount>=12000", case_id=desk.case)
        why = page.locator("#why-title")
        chosen, _, other = why.inner_text().removeprefix("Why ").partition(" rather than ")
        assert page.get_by_role("heading", level=1).inner_text() == f"triage: {chosen}"
        assert "approve by ada" in page.locator("main").inner_text()
        closed = page.locator("option", has_text="(closed)").first.get_attribute("value")
        assert closed is not None and closed != other
        page.locator("[name=against]").select_option(closed)
        page.get_by_role("button", name="Show").click()
        page.get_by_text(f"{closed} was closed:").wait_for()
        assert why.inner_text() == f"Why {chosen} rather than {closed}"
        assert page.locator(".waterfall rect").count() == len(TRIAGE.features.model_fields)
        assert page.locator(".waterfall .error-bar").count() > 0
        page.get_by_text("The same as a table").click()
        assert page.get_by_role("row", name="amount").last.is_visible()
        assert "Verified just now" in page.locator("main").inner_text()

        page.get_by_role("button", name="Replay the case").click()
        page.get_by_text("It comes out the same").wait_for()
        page.get_by_text("Back to the decision").click()
        with page.expect_download() as download:
            page.get_by_role("link", name="Evidence pack").click()
        pack = tmp_path / download.value.suggested_filename
        download.value.save_as(pack)
        assert (watched.complaints, watched.elsewhere) == ([], [])

    with zipfile.ZipFile(pack) as archive:
        archive.extract("verify.py", tmp_path)
        assert [name for name in archive.namelist() if name.startswith("policies/")]
    command = [sys.executable, "-I", "-S", "verify.py", pack.name, "--key", f"@{desk.folder / 'data' / 'ledger.pub'}"]
    alone = [sys.executable, "-I", "-S", "-c", "import gatewright"]
    assert subprocess.run(alone, cwd=tmp_path, env={}, capture_output=True).returncode != 0
    checked = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True)
    assert (checked.returncode, "everything in this pack holds" in checked.stdout) == (0, True), checked.stdout


def test_the_payouts_pack_holds_what_ada_was_shown(desk: Desk, tmp_path: Path) -> None:
    with httpx.Client(base_url=desk.url, headers={"authorization": "Bearer audrey"}, timeout=PATIENCE) as audrey:
        (paid,) = audrey.get("/v1/search", params={"effect": "tool", "approver": "ada"}).json()["records"]
        (tmp_path / "p.zip").write_bytes(audrey.get(f"/decisions/{paid['index']}/pack?opened=1").content)
    with zipfile.ZipFile(tmp_path / "p.zip") as archive:
        opened = [json.loads(line) for line in archive.read("opened.jsonl").splitlines()]
    (shown,) = [bytes.fromhex(each["value"]) for each in opened if each["field"] == "shown"]
    assert b"12000" in shown


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_of_decisions_fit_a_phone_and_their_words_stand_out(
    chromium: Browser, desk: Desk, scheme: Literal["light", "dark"]
) -> None:
    """WCAG 2.2 AA, 1.4.3, as for the other pages."""
    with chromium.new_context(viewport={"width": 360, "height": 800}, color_scheme=scheme) as context:
        page = context.new_page()
        sign_in(page, desk.url, "audrey")
        page.goto(f"{desk.url}/decisions?point=triage")
        pages = [page.url, desk.url + str(page.locator("table.decisions a").first.get_attribute("href"))]
        for url in (*pages, f"{pages[1]}/replay"):
            page.goto(url)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            assert page.evaluate(FAINT) == []
