"""Labels proposed on the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Project


def test_labels_are_proposed_from_what_was_recorded(project: Project) -> None:
    for order, amount in (("A-17", 40), ("A-17", 50)):
        project("run", "start", "clerk", "--input", json.dumps({"order": order, "amount": amount}))

    done = project("policy", "observe")
    found = {each["tool"]: each for each in project("policy", "observe", "--json").json}

    assert done.code == 0
    assert done.out.startswith("tools:\n")
    assert (found["refund"]["calls"], found["refund"]["cases"]) == (2, 2)
    assert "order" in [each["value"] for each in found["refund"]["target"]]
    assert found["refund"]["yaml"] in done.out


def test_without_calls_nothing_can_be_proposed(project: Project) -> None:
    project("run", "start", "clerk", "--input", json.dumps({"order": "A-17", "amount": 4}))

    assert project("policy", "observe", "--since", "2999-01-01").code == 3
