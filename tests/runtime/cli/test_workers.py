"""`gatewright workers`: who is there, and who executes runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Project


def test_a_service_that_leaves_the_runs_to_workers_is_shown_to_execute_none(
    project: Project, serving: Callable[..., str]
) -> None:
    serving("--no-execute")

    (service,) = project("workers", "--json").json
    line = project("workers").out.splitlines()[1].split()

    assert (service["kind"], service["concurrency"], service["runs"]) == ("serve", 0, 0)
    assert line[3:6] == ["alive", "-", "none"]


def test_a_service_that_executes_is_shown_with_its_room(project: Project, serving: Callable[..., str]) -> None:
    serving()

    assert " 0 of 32 " in project("workers").out
