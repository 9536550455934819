"""What `gatewright.safety` offers, and what importing it does not load."""

import subprocess
import sys

import pytest

from gatewright import safety


@pytest.mark.parametrize("name", safety.__all__)
def test_every_exported_name_is_there(name: str) -> None:
    assert getattr(safety, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Gaurd'"):
        _ = safety.Gaurd


def test_the_rule_language_is_loaded_with_the_first_rule() -> None:
    program = """
import sys
from gatewright.safety import Guard, Pack, Request
Guard([Pack.empty()])
print("cel_expr_python" in sys.modules, "jsonschema" in sys.modules)
Pack.parse('''
apiVersion: gatewright/v1
kind: RulePack
name: one
version: 1
rules:
  - {id: r, on: {hook: output}, then: allow, reason: seen, when: "text != ''",
     examples: {match: [{text: a}], pass: [{}]}}
''')
print("cel_expr_python" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ran.stdout.split() == ["False", "False", "True"]
