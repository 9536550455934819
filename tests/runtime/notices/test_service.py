"""The service tells people what waits for them, whatever happens to its process."""

import asyncio
import json
import os
import signal
import sys
import textwrap
from pathlib import Path
from typing import Any

import httpx
import pytest

from gatewright.agents.errors import ConflictError, UsageError
from gatewright.runtime.api import create_app
from gatewright.runtime.config import Config
from gatewright.runtime.notices import sender
from gatewright.runtime.notices.receivers import Mail, Receiver
from gatewright.runtime.service import Service

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
GONE = b"HTTP/1.1 410 Gone\r\nconnection: close\r\n\r\n"
SAY = {"messages": [{"role": "user", "content": "Mail Ann."}]}
RULE = {
    "id": "mail-waits",
    "on": {"hook": "tool.before", "name": "send_email"},
    "when": "has(args.to)",
    "then": "ask",
    "reason": "mail to {{ args.to }} waits",
    "approval": {"reminders": ["1s"], "expires": "2s"},
    "examples": {"match": [{"args": {"to": "ann"}}], "pass": [{"args": {"text": "hello"}}]},
}
HOST = """
    import asyncio, sys
    from pathlib import Path

    from gatewright.runtime.config import load
    from gatewright.runtime.service import Service

    async def main() -> None:
        async with await Service.open(load(Path(sys.argv[1]))) as service:
            await service.start_run("x", {"messages": [{"role": "user", "content": "Mail Ann."}]})
            await asyncio.Event().wait()

    asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "POLL", 0.01)


def configured(house: Any, url: str, **more: Any) -> Config:
    """Mail waits for people, and one webhook is told."""
    house.rules({**RULE, **more})
    receiver = Receiver.model_validate({"name": "desk", "to": url, "secret": SECRET})
    config: Config = house.config("reviews:ungated", lease=1.0)
    server = config.server.model_copy(update={"public_url": "https://gate.example.org"})
    return config.model_copy(update={"notices": (receiver,), "server": server})


async def test_people_are_told_what_waits_and_what_was_decided_without_its_arguments(
    house: Any, receiving: Any
) -> None:
    async with await Service.open(configured(house, receiving.url, approval={})) as service:
        run = await house.finish(service, SAY)
        (approval,) = await house.waiting(service, run)
        await receiving.wait_for(1)
        await house.decide(service, run, "approve")
        requests = await receiving.wait_for(2)

    told = [json.loads(request.body) for request in requests]
    assert [message["type"] for message in told] == ["approval.opened", "approval.decided"]
    assert told[0]["data"] == {
        "id": approval.id,
        "deployment": "x",
        "agent": "x",
        "subject": "tool send_email",
        "state": "open",
        "reason": "mail to ••• waits",
        "may_decide": [],
        "due": None,
        "url": f"https://gate.example.org/approvals/{approval.id}",
    }
    assert told[1]["data"]["state"] == "approved"
    assert not any(b"ann@example.org" in request.body for request in requests)


async def test_reminders_and_the_end_of_the_time_are_told(house: Any, receiving: Any) -> None:
    async with await Service.open(configured(house, receiving.url)) as service:
        await house.finish(service, SAY)
        requests = await receiving.wait_for(3)

    kinds = [json.loads(request.body)["type"] for request in requests]
    assert kinds == ["approval.opened", "approval.reminder", "approval.expired"]
    assert len({request.headers["webhook-id"] for request in requests}) == 3


async def test_a_message_that_was_on_its_way_when_the_process_was_killed_is_sent_again_under_its_id(
    house: Any, receiving: Any, tmp_path: Path
) -> None:
    async def hang(_writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    config = configured(house, receiving.url, approval={})
    deployment = config.deployments["x"]
    (tmp_path / "host.py").write_text(textwrap.dedent(HOST), "utf-8")
    (tmp_path / "gatewright.toml").write_text(
        f'data_dir = "data"\n[deployments.x]\ngraph = "{deployment.graph}"\nrules = "{deployment.rules}"\n'
        f'[[notices]]\nname = "desk"\nto = "{receiving.url}"\nsecret = "{SECRET}"\n',
        "utf-8",
    )
    receiving.replies = [hang]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(tmp_path / "host.py"), str(tmp_path / "gatewright.toml"), env=dict(os.environ)
    )
    await receiving.wait_for(1)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    async with await Service.open(config):
        first, second = await receiving.wait_for(2)

    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert json.loads(first.body)["data"]["id"] == json.loads(second.body)["data"]["id"]


async def test_what_was_given_up_is_listed_with_its_reason_and_sent_anew_on_request(house: Any, receiving: Any) -> None:
    receiving.replies = [GONE]
    async with await Service.open(configured(house, receiving.url, approval={})) as service:
        await house.finish(service, SAY)
        transport = httpx.ASGITransport(create_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost/v1") as http:
            async with asyncio.timeout(60):
                while not (dead := (await http.get("/notices", params={"state": "dead"})).json()):
                    await asyncio.sleep(0.01)
            (notice,) = dead
            retried = await http.post(f"/notices/{notice['id']}/retry")
            first, second = await receiving.wait_for(2)
            async with asyncio.timeout(60):
                while not (await http.get("/notices", params={"state": "sent"})).json():
                    await asyncio.sleep(0.01)
            again = await http.post(f"/notices/{notice['id']}/retry")

    assert (notice["receiver"], notice["error"], notice["attempts"]) == ("desk", "answered 410", 1)
    assert retried.status_code == 204
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == notice["id"]
    assert (again.status_code, again.json()["error"]["type"]) == (409, ConflictError.__name__)


async def test_a_receiver_that_cannot_be_reached_by_its_configuration_is_told_at_the_start(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOOK", raising=False)
    hook = Receiver.model_validate({"name": "desk", "to_env": "HOOK", "kind": "slack"})
    mail = Receiver.model_validate({"name": "duty", "to": "duty@example.org", "kind": "email"})
    config = house.config("reviews:ungated")

    for receiver, said in ((hook, "HOOK, which is not set"), (mail, r"\[mail\]")):
        with pytest.raises(UsageError, match=said):
            await Service.open(config.model_copy(update={"notices": (receiver,), "mail": Mail()}))


async def test_where_nobody_is_to_be_told_nothing_is_written(house: Any) -> None:
    house.rules({**RULE, "approval": {}})
    async with house.open("reviews:ungated") as service:
        await house.finish(service, SAY)

        assert await service.notices() == []
