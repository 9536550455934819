"""The resources of the HTTP API, on a real service."""

import asyncio
from typing import Any

import httpx
import pytest

from gatewright.runtime.service import Service

SMALL = {"deployment": "clerk", "input": {"order": "A-17", "amount": 40}}
LARGE = {"deployment": "clerk", "input": {"order": "B-02", "amount": 400}}


async def waiting(http: httpx.AsyncClient) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run that waits for a person, and what it waits for."""
    run = (await http.post("/v1/runs/wait", json=LARGE)).json()
    approval = (await http.get(f"/v1/approvals/{run['waiting_for'][0]}")).json()
    return run, approval


async def test_start_and_wait_gives_the_finished_run_in_one_request(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/runs/wait", json=SMALL)

    assert response.status_code == 200
    assert response.json()["status"] == "succeeded"
    assert response.json()["output"]["answer"] == "40.00 refunded for order A-17"


async def test_a_started_run_is_accepted_with_its_place_and_can_be_waited_for(http: httpx.AsyncClient) -> None:
    started = await http.post("/v1/runs", json=SMALL)

    waited = await http.get(f"{started.headers['location']}/wait")

    assert started.status_code == 202
    assert (waited.status_code, waited.json()["status"]) == (200, "succeeded")
    assert (await http.get(started.headers["location"])).json()["output"] == waited.json()["output"]


async def test_waiting_gives_a_run_that_waits_for_a_person(http: httpx.AsyncClient) -> None:
    run, approval = await waiting(http)

    assert run["status"] == "waiting"
    assert approval["action"]["name"] == "refund"
    assert "more than a clerk may give back" in approval["reason"]


async def test_a_repeated_request_with_the_same_run_id_starts_one_run(http: httpx.AsyncClient) -> None:
    bodies = [await http.post("/v1/runs/wait", json={**SMALL, "run_id": "order-a-17"}) for _ in range(2)]

    assert [body.status_code for body in bodies] == [200, 200]
    assert [run["id"] for run in (await http.get("/v1/runs")).json()] == ["order-a-17"]


async def test_an_approved_run_goes_on_to_its_end(http: httpx.AsyncClient) -> None:
    run, approval = await waiting(http)

    decided = await http.post(f"/v1/approvals/{approval['id']}/approve", json={"by": "ada"})
    ended = await http.get(f"/v1/runs/{run['id']}/wait")

    assert (decided.status_code, decided.json()["decided_by"]) == (200, "ada")
    assert ended.json()["output"]["answer"] == "400.00 refunded for order B-02"


async def test_edited_arguments_are_those_that_are_used(http: httpx.AsyncClient) -> None:
    run, approval = await waiting(http)

    body = {"by": "ada", "reason": "half", "value": {"order": "B-02", "amount": 200}}
    await http.post(f"/v1/approvals/{approval['id']}/edit", json=body)

    ended = await http.get(f"/v1/runs/{run['id']}/wait")
    assert ended.json()["output"]["answer"] == "200.00 refunded for order B-02"


async def test_a_rejection_needs_a_reason(http: httpx.AsyncClient) -> None:
    _, approval = await waiting(http)

    response = await http.post(f"/v1/approvals/{approval['id']}/reject", json={"by": "ada"})

    assert response.status_code == 422
    assert "reason" in response.json()["error"]["message"]
    assert (await http.get("/v1/approvals")).json()[0]["id"] == approval["id"]


async def test_a_decision_is_made_once(http: httpx.AsyncClient) -> None:
    _, approval = await waiting(http)
    place = f"/v1/approvals/{approval['id']}/approve"

    first, second = await http.post(place, json={"by": "ada"}), await http.post(place, json={"by": "bob"})

    assert (first.status_code, second.status_code) == (200, 409)
    assert second.json()["error"]["type"] == "ConflictError"


async def test_a_cancelled_run_is_cancelled(http: httpx.AsyncClient) -> None:
    run, _ = await waiting(http)

    response = await http.post(f"/v1/runs/{run['id']}/cancel", json={"by": "ada", "reason": "no longer wanted"})

    assert response.status_code == 200
    assert (await http.get(f"/v1/runs/{run['id']}/wait")).json()["status"] == "cancelled"


async def test_a_thread_is_created_once_and_shows_its_state(http: httpx.AsyncClient) -> None:
    body = {"deployment": "clerk", "thread_id": "case-1", "metadata": {"channel": "mail"}}

    created, again = await http.post("/v1/threads", json=body), await http.post("/v1/threads", json=body)
    await http.post("/v1/runs/wait", json={**SMALL, "thread_id": "case-1"})

    assert (created.status_code, again.status_code) == (201, 409)
    assert (await http.get(created.headers["location"])).json()["metadata"] == {"channel": "mail"}
    assert (await http.get("/v1/threads/case-1/state")).json()["values"]["order"] == "A-17"
    assert [thread["id"] for thread in (await http.get("/v1/threads")).json()] == ["case-1"]


async def test_the_id_of_a_thread_may_hold_a_slash(http: httpx.AsyncClient, service: Service) -> None:
    run = (await http.post("/v1/runs/wait", json=SMALL)).json()
    missing = await http.get(f"/v1/threads/{run['thread_id']}%2Fchanges/state")

    assert missing.status_code == 404
    assert f"{run['thread_id']}/changes" in missing.json()["error"]["message"]


async def test_records_show_what_was_decided_and_prove_it(http: httpx.AsyncClient) -> None:
    run = (await http.post("/v1/runs/wait", json=SMALL)).json()

    records = (await http.get("/v1/records", params={"run_id": run["id"], "kind": "effect"})).json()
    proof = await http.get(f"/v1/ledger/proof/{records[0]['index']}")

    assert [record["record"]["effect"]["name"] for record in records] == ["find_order", "refund"]
    assert (await http.get(f"/v1/records/{records[0]['index']}")).json() == records[0]
    assert proof.status_code == 200
    assert (await http.get("/v1/ledger")).json()["size"] > records[-1]["index"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind"),
    [
        ("GET", "/v1/runs/nowhere", None, 404, "NotFoundError"),
        ("GET", "/v1/approvals/nowhere", None, 404, "NotFoundError"),
        ("GET", "/v1/threads/nowhere", None, 404, "NotFoundError"),
        ("GET", "/v1/records/999999", None, 404, "NotFoundError"),
        ("GET", "/v1/nothing-of-the-kind", None, 404, "NotFoundError"),
        ("GET", "/v1/runs?limit=0", None, 422, "UsageError"),
        ("GET", "/v1/runs?status=asleep", None, 422, "UsageError"),
        ("POST", "/v1/runs", {"deployment": "nobody", "input": {}}, 404, "NotFoundError"),
        ("POST", "/v1/runs", {"deployment": "clerk", "inputs": {}}, 422, "UsageError"),
        ("POST", "/v1/runs", {**SMALL, "thread_id": "../etc"}, 422, "UsageError"),
        ("POST", "/v1/runs", {**SMALL, "multitask": "perhaps"}, 422, "UsageError"),
        ("PUT", "/v1/runs", SMALL, 405, "UsageError"),
    ],
)
async def test_mistakes_are_answered_by_their_class(
    http: httpx.AsyncClient, method: str, path: str, body: Any, status: int, kind: str
) -> None:
    response = await http.request(method, path, json=body)

    assert response.status_code == status
    assert response.json()["error"]["type"] == kind
    assert response.json()["error"]["message"]


async def test_malformed_json_is_told_with_its_place(http: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json"}

    response = await http.post("/v1/runs", content=b'{"deployment": "clerk",, }', headers=headers)

    assert response.status_code == 422
    assert "not valid JSON" in response.json()["error"]["message"]


async def test_a_wait_that_is_too_short_answers_with_the_run_as_it_is(
    http: httpx.AsyncClient, service: Service
) -> None:
    thread = await service.create_thread("clerk")
    first = await service.wait((await service.start_run("clerk", LARGE["input"], thread_id=thread.id)).id)

    response = await http.post("/v1/runs/wait", json={**SMALL, "thread_id": thread.id, "timeout": 0.01})

    assert first.status == "waiting"
    assert (response.status_code, response.json()["status"]) == (202, "queued")


async def test_health_is_told_apart_from_readiness(http: httpx.AsyncClient, service: Service) -> None:
    ready = await http.get("/readyz")
    await service.close()
    stopped = await http.get("/readyz")

    assert ready.status_code == 200
    assert stopped.status_code == 503
    assert stopped.json()["error"]["type"] == "UnavailableError"
    assert (await http.get("/livez")).status_code == 200


async def test_the_openapi_document_describes_every_resource(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()

    assert {"/v1/runs", "/v1/runs/wait", "/v1/runs/stream", "/v1/approvals/{approval_id}/reject", "/livez"} <= set(
        document["paths"]
    )
    shown = document["paths"]["/v1/runs/{run_id}"]["get"]["responses"]
    assert shown["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/RunView"}
    assert shown["404"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorBody"}
    assert "/" not in document["paths"]


async def test_a_stream_ends_with_the_run_and_can_be_taken_up_again(http: httpx.AsyncClient) -> None:
    whole = await http.post("/v1/runs/stream", json=SMALL)
    events = [dict(line.split(": ", 1) for line in text.splitlines()) for text in whole.text.strip().split("\n\n")]

    rest = await http.get(
        f"{whole.headers['location']}/events", headers={"last-event-id": events[0]["id"], "accept": "text/event-stream"}
    )

    assert whole.headers["content-type"].startswith("text/event-stream")
    assert events[-1]["event"] == "run"
    assert '"succeeded"' in events[-1]["data"].replace(" ", "")
    assert [event["id"] for event in events] == sorted((event["id"] for event in events), key=int)
    assert rest.text == whole.text.split("\n\n", 1)[1]


async def test_many_clients_at_once_each_get_their_own_run(http: httpx.AsyncClient) -> None:
    bodies = [{"deployment": "clerk", "input": {"order": f"N-{n}", "amount": n}} for n in range(20)]

    answers = await asyncio.gather(*(http.post("/v1/runs/wait", json=body) for body in bodies))

    assert [answer.json()["output"]["order"] for answer in answers] == [f"N-{n}" for n in range(20)]


@pytest.mark.parametrize("number", ["9223372036854775808", "-2", "x"])
@pytest.mark.parametrize(
    "path",
    ["/v1/records/{}", "/v1/ledger/proof/{}", "/v1/records?after={}", "/v1/runs?offset={}", "/v1/approvals?offset={}"],
)
async def test_a_number_that_the_database_cannot_count_to_is_refused(
    http: httpx.AsyncClient, path: str, number: str
) -> None:
    answer = await http.get(path.format(number))

    assert (answer.status_code, answer.json()["error"]["type"]) == (422, "UsageError")


@pytest.mark.parametrize("query", ["approvals?state=opne", "records?kind=efect", "runs?status=runing"])
async def test_an_unknown_word_in_a_filter_is_refused_and_the_known_are_named(
    http: httpx.AsyncClient, query: str
) -> None:
    answer = await http.get(f"/v1/{query}")

    assert answer.status_code == 422
    assert "input should be" in answer.json()["error"]["message"]


@pytest.mark.parametrize("value", ["NaN", '"\\ud800"', "1e999", str(2**64), "[" * 250 + "]" * 250])
@pytest.mark.parametrize("key", ["metadata", "settings"])
async def test_what_could_not_be_shown_again_is_not_stored(http: httpx.AsyncClient, key: str, value: str) -> None:
    body = f'{{"deployment": "clerk", "{key}": {{"a": {value}}}}}'

    answer = await http.post("/v1/threads", content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 422
    assert "not valid JSON" in answer.json()["error"]["message"]
    assert (await http.get("/v1/threads")).json() == []


async def test_a_body_that_is_not_sent_as_json_is_refused_with_the_remedy(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/runs", data={"deployment": "clerk"})

    assert answer.status_code == 422
    assert "content-type: application/json" in answer.json()["error"]["message"]


async def test_files_of_the_service_are_not_read_for_clients(http: httpx.AsyncClient) -> None:
    parameters = (await http.get("/openapi.json")).json()["paths"]["/v1/conversations"]["get"]["parameters"]

    assert [parameter["name"] for parameter in parameters] == ["deployment"]
