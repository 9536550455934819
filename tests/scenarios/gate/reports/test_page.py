from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ViewportSize
from tests.scenarios.gate.tables import side, suite

from gatewright.scenarios.gate import Verdict, judge
from gatewright.scenarios.gate.reports import Document, of_comparison, of_run, of_verdict, text, write
from gatewright.scenarios.gate.reports.markdown import text as markdown
from gatewright.scenarios.gate.reports.page import html


@pytest.fixture
def small() -> Document:
    return of_verdict(judge(side({"a": "11", "b": "00", "c": "10"}), side({"a": "10", "b": "11", "d": "1"})))


def test_the_page_needs_nothing_else(small: Document) -> None:
    page = html(small)
    assert page.count("<svg") == 2
    assert not re.search(r"<script|<link|<img|\bsrc=|\bhref=|url\(|@import|\son\w+=", page)
    assert "default-src 'none'" in page


def test_hostile_texts_are_text_in_the_page(attacked: Verdict) -> None:
    page = html(of_verdict(attacked))
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "{{ 7*7 }}" in page
    assert not set("\x00\x1b\u202e") & set(page)


def test_hostile_texts_are_text_in_markdown(attacked: Verdict) -> None:
    report = markdown(of_verdict(attacked))
    assert not re.search(r"(?<!\\)[<|`*](?=script|\*_)", report) and r"\<script\>" in report
    assert not set("\x00\x1b\u202e") & set(report)
    rows = [line for line in report.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


def test_markdown_names_what_broke_before_what_was_fixed(small: Document) -> None:
    report = markdown(small)
    assert report.startswith("## side against side: inconclusive\n")
    assert (
        report.index("**Broken: 1**") < report.index("**Fixed: 1**") < report.index("**Not run by the candidate: 1**")
    )


def test_a_run_and_a_comparison_have_a_page_without_a_verdict() -> None:
    table = suite(3, "10")
    for document in (of_run(table), of_comparison(judge(table, table).comparison)):
        assert 'class="verdict' not in html(document)
        assert "What a comparison with it will be able to see" in text(document) or document.base is not None


def test_the_page_is_whole_in_a_browser_light_and_dark_wide_and_narrow(
    chromium: Browser, attacked: Verdict, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    write(path, attacked)
    told: list[str] = []
    papers: set[str] = set()
    for width, scheme in ((1280, "light"), (390, "dark")):
        viewport: ViewportSize = {"width": width, "height": 800}
        with chromium.new_page(viewport=viewport, color_scheme="dark" if scheme == "dark" else "light") as page:
            page.on("console", lambda message: told.append(message.text))
            page.on("request", lambda request: told.append(request.url))
            page.on("dialog", lambda dialog: told.append(dialog.message))
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
            assert page.locator("h2").all_inner_texts()[:3] == ["Rules", "What changed", "Numbers"]
            assert page.locator("svg").count() == 2
            papers.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert told == [path.as_uri()] * 2
    assert len(papers) == 2
