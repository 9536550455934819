"""Every rule shown on docs/rules.md is sound, and every hook and variable is listed there."""

import re
from pathlib import Path

import pytest

from gatewright.safety.rules import events
from gatewright.safety.rules.packs import Pack

PAGE = Path(__file__).parents[3] / "docs" / "rules.md"
TEXT = PAGE.read_text("utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
HEAD = """\
apiVersion: gatewright/v1
kind: RulePack
name: page
version: 1
tools: {send_email: {labels: [egress]}}
rules:
"""


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_rule_of_the_page_loads_and_its_examples_hold(block: str) -> None:
    text = block if block.startswith("apiVersion:") else HEAD + block

    assert Pack.parse(text).rules


def test_the_page_lists_every_hook_and_its_variables() -> None:
    common = set.intersection(*(set(variables) for variables in events.VARIABLES.values()))
    for variable in common:
        assert f"`{variable}`" in TEXT
    for hook, variables in events.VARIABLES.items():
        row = re.search(rf"^\| `{re.escape(hook)}` \|.*$", TEXT, re.MULTILINE)
        assert row is not None, hook
        own = set(variables) - common
        assert set(re.findall(r"`([a-z.]+)`", row[0])) - {hook} == own
