"""A live model through `init_chat_model`, against a local server that speaks OpenAI's protocol."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gatewright.agents.errors import UsageError
from gatewright.runtime.cli import main
from gatewright.runtime.config import Config, Deployment
from gatewright.runtime.service import Service

CUSTOMER = "ada_stone_1001"


class Protocol(BaseHTTPRequestHandler):
    """Chat completions: asks for the customer's details first, then speaks of what the tool said."""

    requests: list[dict[str, Any]]

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append({"path": self.path, "key": self.headers["Authorization"], **asked})
        last = asked["messages"][-1]
        message: dict[str, Any] = {"role": "assistant", "content": f"You are {last['content'][:40]}"}
        if last["role"] == "user":
            function = {"name": "get_user_details", "arguments": json.dumps({"user_id": CUSTOMER})}
            message = {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
            }
        body = json.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 0,
                "model": "gpt-test",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Protocol]]:
    handler = type("Handler", (Protocol,), {"requests": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-local")
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


async def test_the_support_team_serves_with_a_live_model(tmp_path: Path, provider: type[Protocol]) -> None:
    config = Config(data_dir=tmp_path, deployments={"support": Deployment(team="support", model="openai:gpt-test")})
    async with await Service.open(config) as service:
        run = await service.start_run("support", {"messages": [{"role": "user", "content": f"I am {CUSTOMER}"}]})
        ended = await service.wait(run.id, timeout=60)
        records = await service.records(run_id=run.id, kind="effect")

    assert ended.status == "succeeded", ended.error
    assert ended.output["messages"][-1]["content"].startswith('You are {"name"')
    effects = [(record.record["effect"]["kind"], record.record["effect"]["name"]) for record in records]
    assert effects == [
        ("model", "gpt-test"),
        ("decision", "escalate"),
        ("tool", "get_user_details"),
        ("model", "gpt-test"),
    ]
    usage = records[0].record["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["model"]) == (11, 7, "gpt-test")
    assert usage["cost_microusd"] is None, "nobody knows the price of gpt-test"
    assert [request["key"] for request in provider.requests] == ["Bearer sk-local"] * 2
    assert len(provider.requests[0]["tools"]) == 14, "the model is offered every tool of the team"


async def test_an_unknown_provider_is_refused_with_a_remedy(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path, deployments={"support": Deployment(team="support", model="nobody:gpt")})
    with pytest.raises(UsageError, match=r"deployment 'support': model 'nobody:gpt' is not known") as refused:
        await Service.open(config)
    assert "\n" not in str(refused.value), "errors are one line"


async def test_the_command_line_takes_a_live_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: type[Protocol]
) -> None:
    monkeypatch.chdir(tmp_path)
    given = json.dumps({"messages": [{"role": "user", "content": f"I am {CUSTOMER}"}]})
    args = ["run", "start", "support", "--model", "openai:gpt-test", "--input", given, "--json"]

    done = await asyncio.to_thread(CliRunner().invoke, main, args)

    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["output"]["messages"][-1]["content"].startswith('You are {"name"')
    assert [request["model"] for request in provider.requests] == ["gpt-test"] * 2


async def test_a_provider_without_its_key_is_refused_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    config = Config(data_dir=tmp_path, deployments={"support": Deployment(team="support", model="openai:gpt-test")})
    with pytest.raises(UsageError, match=r"model 'openai:gpt-test' cannot be made: .*OPENAI_API_KEY"):
        async with await Service.open(config):
            pass
