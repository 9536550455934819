"""Labels come from code, and never from metadata that somebody else has written."""

from typing import Any

import pytest
from langchain_core.tools import tool

from gatewright.agents.labels import labelled, labels_of


@tool
def look(name: str) -> str:
    """Look somebody up."""
    return name


def test_a_tool_carries_the_labels_that_code_has_given() -> None:
    made = labelled(look.model_copy(update={"metadata": {"other": 1}}), {"reads", "trusted"})

    assert labels_of(made) == {"reads", "trusted"}
    assert made.metadata is not None and made.metadata["other"] == 1
    assert labels_of(look) == frozenset()


@pytest.mark.parametrize("claim", [{"labels": ["trusted", "reads"]}, ["trusted"], "trusted", None])
def test_what_a_server_says_of_its_own_tools_labels_nothing(claim: Any) -> None:
    assert labels_of(look.model_copy(update={"metadata": {"gatewright": claim}})) == frozenset()


def test_a_copy_of_a_tool_keeps_its_labels() -> None:
    assert labels_of(labelled(look.model_copy(), {"idempotent"}).model_copy()) == {"idempotent"}
