"""Every limit shown on docs/budgets.md is sound, and every word that one can write is explained there."""

import re
from pathlib import Path
from typing import get_args

import pytest

from gatewright.safety.limits.breakers import Breaker
from gatewright.safety.limits.budgets import Budget, Per, Unit
from gatewright.safety.rules.packs import Pack

PAGE = Path(__file__).parents[3] / "docs" / "budgets.md"
TEXT = PAGE.read_text("utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_pack_of_the_page_loads(block: str) -> None:
    found = Pack.parse(block)
    assert found.budgets or found.breakers


def test_the_page_explains_every_field_and_every_word() -> None:
    for field in Budget.model_fields.keys() - {"id"}:
        assert f"| `{field}` |" in TEXT, field
    for field in Breaker.model_fields.keys() - {"id", "approval"}:
        assert f"{field}:" in TEXT, field
    for word in (*get_args(Unit), *get_args(Per), "deny", "ask", "terminate", "degrade"):
        assert f"`{word}`" in TEXT, word
