"""What the JSON Schemas of tools say about their arguments, and conditions that cannot hold for such arguments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from . import expressions
from .expressions import Definitions, Expression, ExpressionError, Variables
from .functions import Type

Tools = Mapping[str, Mapping[str, Any] | None]
"""The tools of a deployment with the JSON Schema of their arguments, None where it is not known."""

Kind = Literal["string", "boolean", "number", "array", "object"]

_KINDS: Mapping[str, Kind] = {
    "string": "string",
    "boolean": "boolean",
    "integer": "number",
    "number": "number",
    "array": "array",
    "object": "object",
}
_STAND_INS: Mapping[Kind, tuple[Type, Type]] = {
    "string": ("string?", "string?"),
    "boolean": ("bool?", "bool?"),
    "number": ("int?", "double?"),
    "array": ("list(dyn)", "list(dyn)"),
    "object": ("map(string, dyn)", "map(string, dyn)"),
}
"""The types that stand for a kind in two trials; JSON does not tell whole numbers from others, as CEL does."""

_HAS = re.compile(r"\bhas\s*\(\s*args\s*\.\s*\w+\s*\)")
_TYPE_ASKED = re.compile(r"\btype\s*\(\s*args\s*\.\s*(\w+)\s*\)")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The arguments that a rule's tools take. `names` is None where others may be given too; `kinds` has those whose
    kind all of the tools agree about."""

    names: frozenset[str] | None = None
    kinds: Mapping[str, Kind] = field(default_factory=dict)


def arguments(tools: Tools, names: Iterable[str]) -> Arguments:
    """What the named tools take together; those that are not known take anything."""
    schemas = [tools.get(name) for name in names]
    if not schemas:
        return Arguments()
    taken: set[str] = set()
    found: dict[str, set[Kind | None]] = {}
    for schema in schemas:
        properties = None if schema is None else schema.get("properties")
        # A tool that takes whatever it is given has no unknown arguments; absent means False to tools that are called.
        if schema is None or not isinstance(properties, Mapping) or schema.get("additionalProperties"):
            return Arguments()
        taken |= properties.keys()
        for name, value in properties.items():
            found.setdefault(name, set()).add(_kind(value))
    agreed: dict[str, Kind | None] = {name: next(iter(kinds)) for name, kinds in found.items() if len(kinds) == 1}
    return Arguments(names=frozenset(taken), kinds={name: kind for name, kind in agreed.items() if kind is not None})


def disagreements(
    expression: Expression, variables: Variables, kinds: Mapping[str, Kind], definitions: Definitions
) -> Iterator[ExpressionError]:
    """Where an expression does with arguments of these kinds what cannot be done with them.

    A second compilation in which variables of their types stand for the fields of `args`. What an expression asks the
    type of is taken as anything.
    """
    asked = {name for text in (expression.text, *definitions.values()) for name in _TYPE_ASKED.findall(text)}
    used: dict[str, Kind] = {
        name: kind
        for name in {reference.field for reference in expression.references("args")} - asked
        if (kind := kinds.get(name)) is not None
        and _IDENTIFIER.fullmatch(name)
        and not (kind in ("array", "object") and "null" in expression.words)
    }
    if not used:
        return
    text = _without_has(expression.text)
    definitions = {name: _without_has(value) for name, value in definitions.items()}
    trials = [
        {
            (complaint.line, complaint.column): complaint
            for complaint in expressions.complaints(
                text,
                {**variables, **{f"args.{name}": _STAND_INS[kind][trial] for name, kind in used.items()}},
                definitions,
            )
            if complaint.line > 0
        }
        for trial in range(2)
    ]
    for place in sorted(trials[0].keys() & trials[1].keys()):
        yield trials[0][place]


def _without_has(text: str) -> str:
    """`has(args.x)` asks for a field, and the stand-ins are none; what follows stays where it is."""
    return _HAS.sub(lambda match: "true".ljust(len(match[0])), text)


def _kind(schema: Any) -> Kind | None:
    """The kind of value that a schema allows beside null; None if there are several, or it is hard to tell."""
    if not isinstance(schema, Mapping):
        return None
    options = schema.get("anyOf", [schema])
    if not isinstance(options, list):
        return None
    kinds: set[Kind | None] = set()
    for option in options:
        names = option.get("type") if isinstance(option, Mapping) else None
        for name in names if isinstance(names, list) else [names]:
            if name != "null":
                kinds.add(_KINDS.get(name) if isinstance(name, str) else None)
    return kinds.pop() if len(kinds) == 1 else None
