"""The support team on conversations: the samples that `dev` holds, and the recorded ones of a real model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests import needs

if TYPE_CHECKING:
    from .conftest import Project


def test_dev_leaves_one_approval_and_finishes_the_rest(project: Project, serving: Callable[..., str]) -> None:
    (project.path / "gatewright.toml").unlink()
    url = serving(command="dev")
    cases: set[str] = set()
    while len(cases) < 2:  # the samples are being enqueued
        cases = {run["case_id"] for run in httpx.get(f"{url}/v1/runs?limit=1000").json()}
    approvals: list[Any] = []
    while not approvals:
        approvals = httpx.get(f"{url}/v1/approvals").json()
    left = approvals[0]["case_id"]

    others = [run["id"] for run in httpx.get(f"{url}/v1/runs?limit=1000").json() if run["case_id"] != left]
    ended = {"waiting"}
    while "waiting" in ended:  # for approvals, which are given meanwhile
        ended = {httpx.get(f"{url}/v1/runs/{run_id}/wait", timeout=60).json()["status"] for run_id in others}

    assert ended == {"succeeded"}
    assert [view["case_id"] for view in httpx.get(f"{url}/v1/approvals").json()] == [left]


@pytest.mark.slow
@pytest.mark.parametrize("beside_a_service", [False, True])
def test_a_real_models_conversations_come_out_as_recorded(
    project: Project, serving: Callable[..., str], beside_a_service: bool
) -> None:
    episodes = needs.shared_data("taubench", "airline", "episodes-gpt-4o.json")
    (project.path / "gatewright.toml").unlink()
    if beside_a_service:
        serving()

    result = project.program("run", "start", "support", "--episodes", str(episodes), "--auto-approve", "--json")

    outcome = result.json
    assert (result.code, outcome["conversations"]) == (0, 100)
    assert outcome["tool_results"]["equal"] == outcome["tool_results"]["total"] > 0
    assert outcome["rewards"] == {"equal": 100, "total": 100}
    assert outcome["approvals"] > 0
    assert project("audit", "verify").code == 0
