"""The pages of decisions: how one is found, what is said of it, and what other components offer to them."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncGenerator, Mapping
from io import BytesIO
from typing import Any

import httpx
import pytest
from tests.runtime.conftest import House, Staffed

from gatewright.agents.errors import NotFoundError
from gatewright.runtime.api import create_app
from gatewright.runtime.console import offers
from gatewright.runtime.evidence import proofs
from gatewright.runtime.operations import Host
from gatewright.runtime.search import Search
from gatewright.runtime.service import Service
from gatewright.runtime.views import RecordView, RunView

EVIL = "<script>alert(1)</script>"


@pytest.fixture
async def paid(service: Service, waiting: RunView) -> RecordView:
    """The refund of `waiting`, which Ada approved, and which a checkpoint covers."""
    await service.decide(waiting.waiting_for[0], "approve", by="Ada", reason="I know her")
    await service.wait(waiting.id)
    (view,) = (await service.search(Search(approver="Ada", effect="tool"))).records
    await service._conclude()  # pyright: ignore[reportPrivateUsage]
    return view


async def text(browser: httpx.AsyncClient, path: str, status: int = 200) -> str:
    response = await browser.get(path)
    assert response.status_code == status, response.text
    return response.text


async def test_a_decision_is_found_by_who_approved_it_and_paged(
    browser: httpx.AsyncClient, paid: RecordView, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await text(browser, "/decisions?effect=any&approver=Ada")
    nobody = await text(browser, "/decisions?effect=any&approver=Bob")
    monkeypatch.setattr("gatewright.runtime.console.decisions.PAGE", 1)
    first = await text(browser, "/decisions?effect=tool")

    assert f'href="/decisions/{paid.index}"' in found
    assert "/decisions/" not in nobody and "None." in nobody
    assert f"?effect=tool&amp;before={paid.index}" in first


@pytest.mark.parametrize("asked", ["verdict=maybe", "since=soon", "feature=amount", "effect=magic"])
async def test_a_search_that_makes_no_sense_is_told_so(browser: httpx.AsyncClient, asked: str) -> None:
    assert 'role="alert"' in await text(browser, f"/decisions?{asked}", 422)


async def test_a_range_of_a_feature_keeps_what_lies_within(browser: httpx.AsyncClient, paid: RecordView) -> None:
    within = "/decisions?effect=tool&approver=Ada&feature=amount%3E%3D400&feature=amount%3C401&since=2020-01-01T00:00"

    assert f'href="/decisions/{paid.index}"' in await text(browser, within)
    assert f'href="/decisions/{paid.index}"' not in await text(browser, within.replace("401", "400"))


async def test_a_page_says_who_approved_what_they_saw_and_which_rule_asked(
    browser: httpx.AsyncClient, paid: RecordView
) -> None:
    page = await text(browser, f"/decisions/{paid.index}")

    assert "approve by <strong>Ada</strong>" in page and "I know her" in page
    assert "What Ada was shown" in page and "more than a clerk may give back" in page
    assert page.count("&#34;amount&#34;: 400") == 2  # what was done, and what she saw
    assert "<strong>ask</strong> by <code>" in page
    assert EVIL not in page and "&lt;script&gt;" in page


async def test_a_proof_is_verified_when_it_is_shown(browser: httpx.AsyncClient, paid: RecordView) -> None:
    page = await text(browser, f"/decisions/{paid.index}")

    assert "Verified</strong> just now" in page
    assert paid.leaf_hash in page


async def test_a_record_that_was_changed_does_not_hold(service: Service, paid: RecordView) -> None:
    forged = paid.model_copy(update={"record": {**paid.record, "outcome": "denied"}})

    assert (await proofs.prove(service, paid)).problem == ""
    assert "is not what the log holds" in (await proofs.prove(service, forged)).problem


async def test_a_record_of_something_else_is_no_decision(
    browser: httpx.AsyncClient, service: Service, waiting: RunView
) -> None:
    index = (await service.search(Search(kind="approval"))).records[0].index

    assert "which decided nothing" in await text(browser, f"/decisions/{index}", 404)


async def test_the_pack_holds_the_effect_and_what_was_said_of_it(browser: httpx.AsyncClient, paid: RecordView) -> None:
    closed = await browser.get(f"/decisions/{paid.index}/pack")
    opened = await browser.get(f"/decisions/{paid.index}/pack?opened=1")

    assert opened.headers["content-disposition"] == f'attachment; filename="decision-{paid.index}.zip"'
    names = [zipfile.ZipFile(BytesIO(each.content)).namelist() for each in (closed, opened)]
    assert ["opened.jsonl" in each for each in names] == [False, True]
    assert len([name for name in names[0] if name.startswith("proofs/")]) == 2  # her vote and the refund


async def test_a_replay_comes_from_another_component_and_is_told(
    browser: httpx.AsyncClient, paid: RecordView, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def again(_host: Host, case_id: str) -> Mapping[str, Any]:
        counts = {"equal": 1, "total": 2}
        place = {"what": f"{EVIL} in {case_id}", "position": paid.index}
        return {"effects": counts, "decisions": counts, "same_rules": False, "diverged": place, "beside": "- a\n+ b"}

    monkeypatch.setattr(offers, "replay", lambda: again)
    page = await text(browser, f"/decisions/{paid.index}/replay")

    assert "It comes out differently" in page and "+ b" in page
    assert f"&lt;script&gt;alert(1)&lt;/script&gt; in {paid.case_id}" in page


async def test_without_what_replays_the_page_says_what_is_missing(
    browser: httpx.AsyncClient, paid: RecordView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offers, "GROUP", "nobody.offers.any")

    assert "the scenarios component of Gatewright offers it" in await text(
        browser, f"/decisions/{paid.index}/replay", 503
    )


EXPLAINED: Mapping[str, Any] = {
    "option": "first",
    "against": "second",
    "base": -0.25,
    "output": 1.0,
    "bars": [{"feature": EVIL, "value": 1.25, "error": 0.1, "rank": 1}],
    "features": {EVIL: EVIL},
    "chances": {"first": 0.75, "second": 0.25},
    "change": {"option": "second", "size": 0.1, "steps": [{"feature": "n", "before": 1, "after": 2}]},
    "off_support": 0.5,
    "settled": True,
    "record": {
        "method": {"name": "sampled", "evaluations": 9},
        "reference": {"query": "all", "rows": 3, "first": 0, "last": 2},
    },
}


@pytest.fixture
async def chosen(house: House) -> AsyncGenerator[tuple[httpx.AsyncClient, int]]:
    """A browser on a service, and the index of a choice that a rule made there."""
    async with house.open("teams:choosing") as service:
        await house.finish(service, {"amount": 5})
        (view,) = (await service.search(Search(effect="decision"))).records
        transport = httpx.ASGITransport(create_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client, view.index


async def test_a_choice_shows_why_as_bars_and_as_a_table(
    chosen: tuple[httpx.AsyncClient, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []

    async def explain(_host: Host, _index: int, against: str | None) -> Mapping[str, Any]:
        asked.append(against)
        return EXPLAINED

    monkeypatch.setattr(offers, "explain", lambda: explain)
    browser, index = chosen
    page = await text(browser, f"/decisions/{index}")
    await text(browser, f"/decisions/{index}?against=second")

    assert asked == [None, "second"]
    assert "Why first rather than second" in page and "<svg" in page and "The same as a table" in page
    assert "n 2 instead of 1; then second" in page
    assert EVIL not in page and "&lt;script&gt;" in page


async def test_why_a_rule_chose_stands_in_its_record_and_nothing_is_drawn(
    chosen: tuple[httpx.AsyncClient, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def explain(_host: Host, _index: int, _against: str | None) -> Mapping[str, Any]:
        raise NotFoundError("no policy file of that version is known")

    browser, index = chosen
    monkeypatch.setattr(offers, "explain", lambda: explain)
    by_rule = await text(browser, f"/decisions/{index}")
    monkeypatch.undo()
    monkeypatch.setattr(offers, "GROUP", "nobody.offers.any")
    alone = await text(browser, f"/decisions/{index}")

    assert "no policy file of that version is known" in by_rule and "<svg" not in by_rule
    assert "the scenarios component of Gatewright offers it" in alone
    assert "What could be chosen" in alone and "<strong>chosen</strong>" in alone


async def test_auditors_read_decisions_take_packs_and_replay(staffed: Staffed, monkeypatch: pytest.MonkeyPatch) -> None:
    async def again(_host: Host, _case_id: str) -> Mapping[str, Any]:
        counts = {"equal": 1, "total": 1}
        return {"effects": counts, "decisions": counts, "same_rules": True, "diverged": None, "beside": ""}

    monkeypatch.setattr(offers, "replay", lambda: again)
    async with await Service.open(staffed(audrey=["auditor"])) as service:
        run = await service.wait((await service.start_run("clerk", {"order": "A-1", "amount": 4})).id)
        index = (await service.search(Search(effect="tool", run_id=run.id))).records[0].index
        await service._conclude()  # pyright: ignore[reportPrivateUsage]
        transport = httpx.ASGITransport(create_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as browser:
            paths = [f"/decisions{path}" for path in ("", f"/{index}", f"/{index}/replay", f"/{index}/pack?opened=1")]
            nobody = [(await browser.get(path)).status_code for path in paths]
            browser.headers["authorization"] = "Bearer audrey"
            auditor = [(await browser.get(path)).status_code for path in paths]

    assert (nobody, auditor) == ([401] * 4, [200] * 4)
