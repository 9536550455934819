"""Texts with `{{ expression }}` in them: reasons that people read, and the values that a `modify` rule sets."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from . import expressions

_HOLE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


@dataclass(frozen=True)
class Template:
    """A text whose holes are filled with what the expressions in them give."""

    text: str
    parts: tuple[str | expressions.Expression, ...]

    def render(self, bindings: expressions.Bindings) -> str:
        """The text, its holes filled: texts as they are, other values as JSON.

        Raises:
            EvaluationError: a hole has no value for this data.
        """
        return "".join(part if isinstance(part, str) else _shown(part.value(bindings)) for part in self.parts)

    def value(self, bindings: expressions.Bindings) -> Any:
        """What `render` gives; but if the text is one hole and nothing else, the value in its own type.

        Raises:
            EvaluationError: a hole has no value for this data.
        """
        if len(self.parts) == 1 and isinstance(self.parts[0], expressions.Expression):
            return self.parts[0].value(bindings)
        return self.render(bindings)

    @property
    def expressions(self) -> tuple[expressions.Expression, ...]:
        """The expressions in its holes, in order."""
        return tuple(part for part in self.parts if isinstance(part, expressions.Expression))


def compile(
    text: str, variables: expressions.Variables, definitions: expressions.Definitions = expressions.NO_DEFINITIONS
) -> Template:
    """Check the expressions in the holes of `text`, which may use the definitions.

    Raises:
        ExpressionError: one of them is not valid, see `expressions.compile_value`.
    """
    parts: list[str | expressions.Expression] = []
    end = 0
    for hole in _HOLE.finditer(text):
        if hole.start() > end:
            parts.append(text[end : hole.start()])
        parts.append(expressions.compile_value(hole[1].strip(), variables, definitions))
        end = hole.end()
    if end < len(text):
        parts.append(text[end:])
    return Template(text, tuple(parts))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
