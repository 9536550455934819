"""The clauses of a condition, as far as each can be looked at by itself: what stands between `&&`, `||` and `!`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gatewright.safety.rules.expressions import NO_DEFINITIONS, Definitions

from .mutants import Sign, signs

Operator = Literal["&&", "||", "!", "="]
"""`&&`, `||`, `!` as in CEL · `=`: a name that stands for its definition."""


@dataclass(frozen=True)
class Clause:
    """A condition, and the parts it is made of; none where it cannot be taken apart (comparisons, calls, macros)."""

    text: str
    operator: Operator | None = None
    parts: tuple[Clause, ...] = ()


def parsed(text: str, definitions: Definitions = NO_DEFINITIONS) -> Clause:
    """Take a condition apart. Names that are defined are followed into their definitions."""
    text = text.strip()
    found = signs(text)
    outer = [sign for sign in found if sign.depth == 0]
    if not any(sign.text == "?" for sign in outer):
        for operator in ("||", "&&"):
            if parts := _split(text, outer, operator):
                return Clause(_one_line(text), operator, tuple(parsed(part, definitions) for part in parts))
        if found and _is_bracketed(text, found):
            return parsed(text[1:-1], definitions)
        rest = text[1:].strip()
        if text.startswith("!") and (rest in definitions or _is_bracketed(rest, signs(rest))):
            return Clause(_one_line(text), "!", (parsed(rest, definitions),))
    if text in definitions:
        earlier = list(definitions)[: list(definitions).index(text)]
        meaning = parsed(definitions[text], {name: definitions[name] for name in earlier})
        return Clause(text, "=", (meaning,))
    return Clause(_one_line(text))


def _split(text: str, outer: Sequence[Sign], operator: Literal["||", "&&"]) -> list[str]:
    cuts = [sign for sign in outer if sign.text == operator]
    starts = [0, *(sign.end for sign in cuts)]
    ends = [*(sign.start for sign in cuts), len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)] if cuts else []


def _is_bracketed(text: str, found: Sequence[Sign]) -> bool:
    """Whether one pair of brackets holds all of it."""
    outer = [sign for sign in found if sign.depth == 0]
    return len(outer) == 2 and outer[0].text == "(" and outer[0].start == 0 and outer[1].end == len(text)


def _one_line(text: str) -> str:
    return " ".join(text.split())
