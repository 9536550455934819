"""`gatewright notices`: what people were told, from the command line."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from .conftest import Project

LARGE = json.dumps({"order": "B-02", "amount": 400})
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Hook(Protocol):
    """A receiver: what it was sent, and what it answers."""

    status: int
    bodies: list[dict[str, Any]]


@pytest.fixture
def hook(project: Project) -> Iterator[Hook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Found:
        status = 204
        bodies: list[dict[str, Any]] = []

    found = Found()
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with (project.path / "gatewright.toml").open("a", encoding="utf-8") as file:
        file.write(
            f'\n[[notices]]\nname = "desk"\nto = "http://127.0.0.1:{server.server_port}/hook"\nsecret = "{SECRET}"\n'
        )
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_receiver_is_tried_and_says_what_came_of_it(project: Project, hook: Hook) -> None:
    taken = project("notices", "test", "desk", "--json")
    hook.status = 500
    refused = project("notices", "test", "desk")

    assert (taken.code, taken.json["ok"]) == (0, True)
    assert [body["type"] for body in hook.bodies] == ["notice.test"] * 2
    assert refused.code == 1
    assert "desk did not take it: answered 500" in refused.out


def test_an_unknown_receiver_is_named_with_those_that_are_known(project: Project, hook: Hook) -> None:
    tried = project("notices", "test", "dusk")

    assert tried.code == 2
    assert "'dusk'; configured are ['desk']" in tried.err


def test_what_people_were_told_is_listed(project: Project, hook: Hook) -> None:
    hook.status = 410
    project("run", "start", "clerk", "--input", LARGE)
    (approval,) = project("approvals", "--json").json
    (listed,) = project("notices", "--json").json
    shown = project("notices", "list", "--state", listed["state"])

    assert (listed["event"], listed["subject_id"]) == ("approval.opened", approval["id"])
    assert listed["id"] in shown.out


def test_sending_anew_names_messages_or_all_that_were_given_up(project: Project, hook: Hook) -> None:
    project("run", "start", "clerk", "--input", json.dumps({"order": "A-17", "amount": 40}))

    assert project("notices", "retry").code == 2
    assert project("notices", "retry", "notice-0").code == 2
    assert project("notices", "retry", "--dead", "--json").json == {"retried": []}
