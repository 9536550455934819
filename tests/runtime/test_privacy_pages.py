"""What docs/privacy.md and docs/external-guards.md show works as it is shown."""

import inspect
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gatewright.runtime import scorers
from gatewright.runtime.config import Config
from gatewright.safety import Event, Pack
from gatewright.safety.privacy import redaction
from gatewright.safety.scorers import Content, Scorer

_DOCS = Path(__file__).parents[2] / "docs"
_PRIVACY = (_DOCS / "privacy.md").read_text("utf-8")
_GUARDS = (_DOCS / "external-guards.md").read_text("utf-8")
_RULES = re.findall(r"```yaml\n(.*?)```", _PRIVACY + _GUARDS, re.DOTALL)
_HEAD = """\
apiVersion: gatewright/v1
kind: RulePack
name: page
version: 1
tools: {send_email: {labels: [egress]}}
rules:
"""


@pytest.mark.parametrize("rule", _RULES, ids=range(len(_RULES)))
def test_a_rule_of_the_pages_loads_and_its_examples_hold(rule: str) -> None:
    assert Pack.parse(_HEAD + rule).rules


def test_the_page_lists_every_kind_of_personal_data() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", _PRIVACY, re.MULTILINE)) == redaction.KINDS


def test_the_page_says_how_much_is_looked_at() -> None:
    assert f"{redaction.LIMIT:,} characters" in _PRIVACY


def test_the_configuration_of_the_page_is_valid() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", _GUARDS, re.DOTALL)
    guard = Config.model_validate(tomllib.loads(block)).deployments["support"].guards["injection"]
    assert guard.hooks == ("tool.after", "input")


def test_the_page_lists_every_guard_that_comes_along_with_its_settings() -> None:
    rows = dict(re.findall(r"^\| `gatewright\.runtime\.scorers:(\w+)` \|[^|]*\|([^|]*)\|", _GUARDS, re.MULTILINE))
    shipped = {name: found for name, found in inspect.getmembers(scorers, inspect.isclass) if hasattr(found, "score")}
    assert rows.keys() == shipped.keys()
    for name, settings in rows.items():
        taken = list(inspect.signature(shipped[name]).parameters)
        assert [word for word in re.findall(r"`(\w+)`", settings)] == taken


def test_the_guard_of_ones_own_works() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", _GUARDS, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "external-guards.md", "exec", dont_inherit=True), names)
    guard = names["Shouting"](least=4)
    event = Event(hook="input", name="desk", text="HEAR me", time=datetime(2026, 1, 1, tzinfo=UTC))
    assert isinstance(guard, Scorer)
    assert guard.score(Content.of(event)) == {"capitals": 4 / 6}
