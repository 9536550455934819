"""Processes that stay: what becomes of them when they are told to end."""

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx

PROGRAM = Path(sys.executable).with_name("gatewright")

HANGING = """
    import threading
    from typing_extensions import TypedDict
    from langgraph.graph import START, StateGraph

    class State(TypedDict, total=False):
        done: bool

    def hang(state: State) -> State:
        open("hanging", "w").close()
        threading.Event().wait()
        return {"done": True}

    graph = StateGraph(State).add_node("hang", hang).add_edge(START, "hang")
"""


def test_a_call_that_never_returns_does_not_keep_the_process(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(textwrap.dedent(HANGING))
    (tmp_path / "gatewright.toml").write_text(
        '[deployments.stuck]\ngraph = "agent.py:graph"\n[worker]\ndrain = 0.2\n[server]\nport = 0\n'
    )
    process = subprocess.Popen(
        [str(PROGRAM), "serve", "--json"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        run = httpx.post(f"{url}/v1/runs", json={"deployment": "stuck", "input": {}}, timeout=60).json()
        while not (tmp_path / "hanging").exists():
            httpx.get(f"{url}/v1/runs/{run['id']}", timeout=60).raise_for_status()
        process.send_signal(signal.SIGTERM)
        _out, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    assert "leaving 1 calls of agents behind" in err


def test_a_service_on_sqlite_that_executes_nothing_says_that_nobody_does(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [str(PROGRAM), "serve", "--no-execute", "--port", "0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        said = process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)

    assert said.startswith("warning: no run is executed; ") and "leave out --no-execute" in said
