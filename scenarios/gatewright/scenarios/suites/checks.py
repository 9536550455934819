"""Checks: CEL conditions over what came of a trial."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from gatewright.safety.rules import expressions
from gatewright.safety.rules.expressions import EvaluationError, Expression, ExpressionError, Variables
from gatewright.safety.rules.fields import near

from . import fields
from .observations import Observation

VARIABLES: Variables = {
    "output": "dyn",
    "replies": "list(string)",
    "effects": "list(map(string, dyn))",
    "decisions": "list(map(string, dyn))",
    "approvals": "list(map(string, dyn))",
    "statuses": "list(string)",
    "reward": "dyn",
    "state": "map(string, dyn)",
}
"""What a check may ask about; docs/suites.md says what each is."""

SUCCEEDED = "succeeded"
DEFAULT = {SUCCEEDED: 'statuses.all(status, status == "succeeded")'}
"""Holds for every trial, unless the suite has a check of that name."""


@lru_cache(maxsize=1024)
def compiled(text: str) -> Expression:
    """The condition.

    Raises:
        ExpressionError: it is none, or reads a variable that is not there, or a field that no effect, decision or
            approval has.
    """
    expression = expressions.compile(text, VARIABLES)
    for wrong in fields.unknown(text):
        before = text[: wrong.start]
        line, column = before.count("\n") + 1, wrong.start - before.rfind("\n")
        raise ExpressionError(
            f"none of {wrong.variable!r} has a field {wrong.field!r}; "
            f"{near(wrong.field, list(fields.FIELDS[wrong.variable]))} (line {line}, column {column} of {text!r})",
            line=line,
            column=column,
        )
    return expression


def failed(texts: Mapping[str, str], observed: Observation) -> dict[str, str]:
    """The checks that do not hold, by name, with what is to be said of each; what has no value does not hold."""
    bindings = expressions.bind(observed.values(), VARIABLES)
    found: dict[str, str] = {}
    for name, text in texts.items():
        try:
            if not compiled(text).evaluate(bindings):
                found[name] = f"{name}: not so: {text}"
        except EvaluationError as error:
            found[name] = f"{name}: {error}"
    return found
