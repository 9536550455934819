"""The pages: what they show, that nothing in them is taken for markup, and what their forms do."""

import html
import re
from html.parser import HTMLParser

import httpx
import pytest

from gatewright.runtime.api import create_app
from gatewright.runtime.config import Server
from gatewright.runtime.service import Service
from gatewright.runtime.views import RunView

TOKEN = "the-token-of-the-console"


class Page(HTMLParser):
    """What a page is made of: its elements with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def field(self, name: str) -> dict[str, str | None]:
        return next(
            found for tag in ("input", "textarea", "select") for found in self.all(tag) if found.get("name") == name
        )


async def get(browser: httpx.AsyncClient, path: str) -> Page:
    response = await browser.get(path)
    assert response.status_code == 200, response.text
    return Page(response.text)


async def test_the_first_page_shows_what_waits_and_why(browser: httpx.AsyncClient, waiting: RunView) -> None:
    page = await get(browser, "/")

    assert "1 wait for a person" in page.text
    assert "May refund be done?" in page.text
    assert "more than a clerk may give back" in page.text
    assert page.field("value.amount")["value"] == "400"
    assert {button.get("value") for button in page.all("button")} >= {"approve", "reject", "edit"}


async def test_an_empty_service_says_so(browser: httpx.AsyncClient) -> None:
    page = await get(browser, "/")

    assert "Nothing waits for a person." in page.text


@pytest.mark.parametrize("path", ["/", "/runs", "/runs/{run}", "/approvals", "/approvals/{approval}", "/records/0"])
async def test_what_customers_wrote_is_never_markup(browser: httpx.AsyncClient, waiting: RunView, path: str) -> None:
    page = await get(browser, path.format(run=waiting.id, approval=waiting.waiting_for[0]))

    assert [script for script in page.all("script") if script.get("src") != "/static/htmx.min.js"] == []
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


async def test_what_customers_wrote_is_shown_as_they_wrote_it(browser: httpx.AsyncClient, waiting: RunView) -> None:
    page = await get(browser, f"/runs/{waiting.id}")

    assert "<script>alert(1)</script>" in page.text


async def test_a_run_shows_its_gate_and_its_timeline(browser: httpx.AsyncClient, waiting: RunView) -> None:
    page = await get(browser, f"/runs/{waiting.id}")

    assert "May refund be done?" in page.text
    assert "find_order" in page.text
    assert page.all("svg")
    assert page.text.index("May refund be done?") < page.text.index("What it did")


async def test_approving_by_a_plain_form_leads_back_and_lets_the_run_go_on(
    browser: httpx.AsyncClient, service: Service, waiting: RunView
) -> None:
    form = {"verb": "approve", "by": "Ada L.", "back": f"/runs/{waiting.id}"}

    response = await browser.post(f"/approvals/{waiting.waiting_for[0]}", data=form)
    ended = await service.wait(waiting.id)

    assert (response.status_code, response.headers["location"]) == (303, f"/runs/{waiting.id}")
    assert ended.status == "succeeded"
    page = await get(browser, f"/runs/{waiting.id}")
    assert "by Ada L." in page.text


async def test_the_name_is_remembered_for_the_next_decision(
    browser: httpx.AsyncClient, service: Service, waiting: RunView
) -> None:
    await browser.post(f"/approvals/{waiting.waiting_for[0]}", data={"verb": "approve", "by": "Ädä"})
    await service.wait((await service.start_run("clerk", {"order": "C-3", "amount": 500})).id)

    assert (await get(browser, "/")).field("by")["value"] == "Ädä"


async def test_editing_lets_the_action_happen_with_the_new_arguments(
    browser: httpx.AsyncClient, service: Service, waiting: RunView
) -> None:
    form = {"verb": "edit", "by": "ada", "value.order": "C-3", "value.amount": "150.5"}

    response = await browser.post(f"/approvals/{waiting.waiting_for[0]}", data=form)
    ended = await service.wait(waiting.id)

    assert response.status_code == 303
    assert ended.output["answer"] == "150.50 refunded for order C-3"


async def test_rejecting_without_a_reason_is_answered_in_place(
    browser: httpx.AsyncClient, service: Service, waiting: RunView
) -> None:
    response = await browser.post(f"/approvals/{waiting.waiting_for[0]}", data={"verb": "reject", "by": "ada"})
    page = Page(response.text)
    field = page.field("reason")

    assert response.status_code == 422
    assert field["aria-invalid"] == "true"
    assert [each["id"] for each in page.all("p") if each.get("role") == "alert"] == [field["aria-describedby"]]
    assert page.field("by")["value"] == "ada"
    assert (await service.approval(waiting.waiting_for[0])).state == "open"


async def test_an_edit_that_does_not_fit_is_shown_again_with_what_was_typed(
    browser: httpx.AsyncClient, waiting: RunView
) -> None:
    form = {"verb": "edit", "by": "ada", "value.order": "C-3", "value.amount": "lots"}

    response = await browser.post(f"/approvals/{waiting.waiting_for[0]}", data=form)
    page = Page(response.text)

    assert response.status_code == 422
    assert page.field("value.amount")["value"] == "lots"
    assert page.field("value.amount")["aria-invalid"] == "true"
    assert any("open" in details for details in page.all("details"))


async def test_a_decision_needs_a_name(browser: httpx.AsyncClient, waiting: RunView) -> None:
    response = await browser.post(f"/approvals/{waiting.waiting_for[0]}", data={"verb": "approve", "by": " "})

    assert response.status_code == 422
    assert "the ledger records who decided" in Page(response.text).text


async def test_the_second_of_two_people_is_told_who_was_first(browser: httpx.AsyncClient, waiting: RunView) -> None:
    place = f"/approvals/{waiting.waiting_for[0]}"
    await browser.post(place, data={"verb": "approve", "by": "ada"})

    response = await browser.post(place, data={"verb": "reject", "by": "bob", "reason": "no"})

    assert response.status_code == 409
    assert "ada" in Page(response.text).text


@pytest.mark.parametrize("back", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
async def test_a_form_never_leads_to_another_site(browser: httpx.AsyncClient, waiting: RunView, back: str) -> None:
    form = {"verb": "approve", "by": "ada", "back": back}

    response = await browser.post(f"/approvals/{waiting.waiting_for[0]}", data=form)

    assert (response.status_code, response.headers["location"]) == (303, "/")


async def test_an_approval_is_never_given_by_following_a_link(browser: httpx.AsyncClient, waiting: RunView) -> None:
    await browser.get(f"/approvals/{waiting.waiting_for[0]}", params={"verb": "approve", "by": "a mail scanner"})

    assert "Nothing waits" not in (await get(browser, "/approvals")).text


@pytest.mark.parametrize("path", ["/", "/runs", "/runs/nowhere", "/sign-in"])
async def test_every_page_carries_a_strict_content_security_policy(browser: httpx.AsyncClient, path: str) -> None:
    policy = (await browser.get(path)).headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


async def test_pages_have_no_inline_style_or_script(browser: httpx.AsyncClient, waiting: RunView) -> None:
    for path in ("/", f"/runs/{waiting.id}", f"/approvals/{waiting.waiting_for[0]}", "/records"):
        page = await get(browser, path)
        assert not page.all("style")
        assert not [attributes for _, attributes in page.elements if "style" in attributes]


async def test_pages_load_nothing_from_elsewhere(browser: httpx.AsyncClient, waiting: RunView) -> None:
    page = await get(browser, "/")
    loaded = [attributes.get("src") or attributes.get("href") for _, attributes in page.elements]

    assert all(link.startswith(("/", "#", "?")) for link in loaded if link)
    for script in page.all("script"):
        assert (await browser.get(str(script["src"]))).status_code == 200


async def test_every_control_has_a_label(browser: httpx.AsyncClient, waiting: RunView) -> None:
    page = await get(browser, f"/approvals/{waiting.waiting_for[0]}")
    labelled = {label.get("for") for label in page.all("label")}
    controls = [*page.all("input"), *page.all("select"), *page.all("textarea")]

    assert {control.get("id") for control in controls if control.get("type") != "hidden"} <= labelled


async def test_waiting_is_shown_as_a_state_and_not_as_an_error(browser: httpx.AsyncClient, waiting: RunView) -> None:
    page = await get(browser, f"/runs/{waiting.id}")

    assert {"class": "status waiting"} in page.all("span")
    assert not [each for each in page.all("p") if "error" in (each.get("class") or "")]


async def test_runs_are_filtered_and_an_unknown_status_is_told(browser: httpx.AsyncClient, waiting: RunView) -> None:
    assert waiting.id in (await get(browser, "/runs?status=waiting")).text
    assert waiting.id not in (await get(browser, "/runs?status=failed")).text
    assert (await browser.get("/runs?status=asleep")).status_code == 422


async def test_an_unknown_run_is_a_page_with_404(browser: httpx.AsyncClient) -> None:
    response = await browser.get("/runs/nowhere")

    assert response.status_code == 404
    assert "nowhere" in Page(response.text).text


async def test_a_record_shows_what_was_hashed_and_what_is_sealed(browser: httpx.AsyncClient, waiting: RunView) -> None:
    records = await get(browser, "/records")
    links = [link["href"] for link in records.all("a") if re.fullmatch(r"/records/\d+", link.get("href") or "")]

    pages = [await get(browser, str(link)) for link in links]

    assert any("find_order" in page.text and "Leaf hash" in page.text for page in pages)


async def test_signing_in_gives_a_session_and_signing_out_ends_it(service: Service) -> None:
    guarded = service.config.model_copy(update={"server": Server(token=TOKEN)})
    service.config = guarded
    transport = httpx.ASGITransport(create_app(service))
    headers = {"accept": "text/html"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as browser:
        before = await browser.get("/runs")
        wrong = await browser.post("/sign-in", data={"token": "guess", "next": "/runs"})
        right = await browser.post("/sign-in", data={"token": TOKEN, "next": "/runs"})
        inside = await browser.get("/runs")
        await browser.post("/sign-out")
        after = await browser.get("/runs")

    assert (before.status_code, before.headers["location"]) == (303, "/sign-in?next=/runs")
    assert wrong.status_code == 401
    assert (right.status_code, right.headers["location"]) == (303, "/runs")
    assert {"HttpOnly", "SameSite=lax"} <= set(re.split("; ", right.headers["set-cookie"]))
    assert inside.status_code == 200
    assert after.status_code == 303


async def test_more_approvals_than_a_page_holds_are_paged(service: Service, browser: httpx.AsyncClient) -> None:
    for number in range(51):
        run = await service.start_run("clerk", {"order": f"order-{number:02}", "amount": 400})
        await service.wait(run.id)

    first = (await browser.get("/approvals")).text
    following = re.search(r'href="(\?[^"]*after=[^"]*)">Newer', first)
    assert following is not None
    second = (await browser.get(f"/approvals{html.unescape(following[1])}")).text

    assert ('"order-00"' in html.unescape(first), '"order-50"' in html.unescape(first)) == (True, False)
    assert ('"order-00"' in html.unescape(second), '"order-50"' in html.unescape(second)) == (False, True)
    assert ">Oldest</a>" in second and ">Oldest</a>" not in first
    assert ">Newer</a>" not in second


async def test_what_has_ended_is_shown_however_much_is_queued_behind_it(
    service: Service, browser: httpx.AsyncClient
) -> None:
    ended = await service.wait((await service.start_run("clerk", {"order": "A-17", "amount": 40})).id)
    for _ in range(51):
        await service.wait((await service.start_run("clerk", {"order": "B-02", "amount": 400})).id)

    assert ended.id in (await browser.get("/")).text


async def test_a_gate_names_the_rule_that_asks(browser: httpx.AsyncClient, waiting: RunView) -> None:
    assert "(large-refund)" in (await browser.get("/approvals")).text


async def test_a_run_of_a_paused_deployment_says_who_paused_it_and_why(
    browser: httpx.AsyncClient, service: Service
) -> None:
    await service.pause_deployment("clerk", by="kim", reason="it refunds <twice>")
    run = await service.start_run("clerk", {"order": "A-17", "amount": 40})
    page = (await browser.get(f"/runs/{run.id}")).text
    assert "Its deployment was paused by kim" in page and "it refunds &lt;twice&gt;" in page
    records = await browser.get("/records")
    assert records.status_code == 200 and "control" in records.text
    await service.resume_deployment("clerk", by="kim")
    await service.wait(run.id, timeout=30)
    assert "Its deployment was paused" not in (await browser.get(f"/runs/{run.id}")).text
