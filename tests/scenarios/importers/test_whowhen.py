from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gatewright.scenarios.importers import read, whowhen


def log(step: str = "1", agent: str = "Coder", **changed: Any) -> dict[str, Any]:
    history = [
        {"role": "human", "content": "how many?"},
        {"role": "Orchestrator (-> Coder)", "content": "count"},
        {"role": "user", "name": "Coder", "content": "7"},
    ]
    label = {"mistake_agent": agent, "mistake_step": step, "mistake_reason": "miscounted"}
    return (
        {"question": "how many?", "history": history, "_f": "W/Hand-Crafted/3.json", "question_ID": "q"}
        | label
        | changed
    )


def test_a_run_has_its_agents_messages_and_its_label() -> None:
    [run] = whowhen.parse([log("2")])
    assert [(message.role, message.agent) for message in run.messages] == [
        ("user", None),
        ("assistant", "Orchestrator"),
        ("assistant", "Coder"),
    ]
    assert run.failure is not None
    assert (run.failure.agent, run.failure.step, run.failure.reason) == ("Coder", 2, "miscounted")
    assert (run.id, run.task_id, run.failure.finding) == ("whowhen-hand-crafted-3", "q", None)


@pytest.mark.parametrize(
    ("step", "finding"),
    [("1", "step 1 is of 'Orchestrator', not of 'Coder'"), ("3", "step 3 is not among the 3 that were recorded")],
)
def test_a_label_that_does_not_fit_its_run_is_kept_and_named(step: str, finding: str) -> None:
    [run] = whowhen.parse([log(step)])
    assert run.failure is not None
    assert (run.failure.agent, run.failure.finding) == ("Coder", finding)


def test_six_of_the_published_labels_are_inconsistent(shared: Path) -> None:
    found = read(shared / "whowhen/whowhen.json")
    assert (len(found.recordings), found.domain) == (184, None)
    assert len({run.id for run in found.recordings}) == 184
    assert [run.id for run in found.recordings if run.failure and run.failure.finding] == [
        "whowhen-algorithm-generated-14",
        "whowhen-algorithm-generated-15",
        "whowhen-algorithm-generated-59",
        "whowhen-hand-crafted-20",
        "whowhen-hand-crafted-22",
        "whowhen-hand-crafted-49",
    ]
