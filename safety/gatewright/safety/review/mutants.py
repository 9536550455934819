"""Small changes of an expression: a clause dropped, a negation dropped, a comparison turned, a boundary moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from gatewright.safety.rules.lexemes import Lexeme, lexemes

Change = Literal["clause", "negation", "comparison", "boundary"]
"""`clause`: one operand of `&&` or `||` is · `negation`: a `!` is ·
`comparison`: it says the opposite · `boundary`: it takes in its limit, or leaves it out."""

_OPENING, _CLOSING = "([{", ")]}"
_RELATIONS = ("==", "!=", "<=", ">=", "<", ">", "in")
_MOVED = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_OPERATORS = ("&&", "||", "==", "!=", "<=", ">=")


class Mutant(NamedTuple):
    """A changed expression. `part` is the text that was changed; `line` counts from 1 within the expression."""

    text: str
    change: Change
    part: str
    line: int


class Sign(NamedTuple):
    """An operator, a bracket or a word; `depth` counts the brackets around it."""

    text: str
    start: int
    end: int
    depth: int


def of(text: str) -> Iterator[Mutant]:
    """Every small change of an expression, each once; some do not compile."""
    found = signs(text)
    seen = {text}
    for start, end, new, change, part in _changes(text, found):
        mutated = text[:start] + new + text[end:]
        if mutated not in seen:
            seen.add(mutated)
            yield Mutant(mutated, change, " ".join(text[slice(*part)].split()), text[: part[0]].count("\n") + 1)


_Edit = tuple[int, int, str, Change, tuple[int, int]]


def _changes(text: str, found: Sequence[Sign]) -> Iterator[_Edit]:
    for at, sign in enumerate(found):
        if sign.text in ("&&", "||"):
            boundaries = ("||",) if sign.text == "||" else ("&&", "||")
            left, right = _extent(text, found, at, boundaries)
            if at == 0 or not _joins_before(found, at, sign.text):  # the first of a chain; the others are right ones
                yield left, sign.end, "", "clause", (left, sign.start)
            yield sign.start, right, "", "clause", (sign.end, right)
        elif sign.text == "!":
            yield sign.start, sign.end, "", "negation", (sign.start, _extent(text, found, at, _ALL)[1])
        elif sign.text in _RELATIONS:
            left, right = _extent(text, found, at, _ALL)
            relation = text[left:right]
            lead = len(relation) - len(relation.lstrip())
            yield left, right, f"{relation[:lead]}!({relation[lead:]})", "comparison", (left + lead, right)
            if sign.text in _MOVED:
                yield sign.start, sign.end, _MOVED[sign.text], "boundary", (left + lead, right)


_ALL = ("&&", "||")


def _extent(text: str, found: Sequence[Sign], at: int, operators: tuple[str, ...]) -> tuple[int, int]:
    """Where the operands of the operator at `at` begin and end: at one of the operators, or what binds less."""
    depth = found[at].depth
    left, right = 0, len(text)
    for sign in reversed(found[:at]):
        if _bounds(sign, depth, operators, opening=True):
            left = sign.end
            break
    for sign in found[at + 1 :]:
        if _bounds(sign, depth, operators, opening=False):
            right = sign.start
            break
    return left, right


def _bounds(sign: Sign, depth: int, operators: tuple[str, ...], *, opening: bool) -> bool:
    brackets = _OPENING if opening else _CLOSING
    return (sign.depth == depth and (sign.text in operators or sign.text in (",", "?", ":"))) or (
        sign.depth == depth - 1 and sign.text in brackets
    )


def _joins_before(found: Sequence[Sign], at: int, operator: str) -> bool:
    """Whether the same chain of operators has begun before."""
    depth = found[at].depth
    for sign in reversed(found[:at]):
        if sign.depth == depth and sign.text == operator:
            return True
        if _bounds(sign, depth, ("||",) if operator == "&&" else (), opening=True):
            return False
    return False


def signs(text: str) -> list[Sign]:
    """Operators, brackets and words with their depth; a bracket has that of what is around it."""
    found: list[Sign] = []
    parts = lexemes(text)
    depth, at = 0, 0
    while at < len(parts):
        lexeme = parts[at]
        sign = lexeme.text
        if _adjacent(parts, at) in _OPERATORS:
            sign = _adjacent(parts, at)
        if lexeme.kind == "sign" and sign in _CLOSING:
            depth -= 1
        if lexeme.kind == "word" or (lexeme.kind == "sign" and not _is_optional(parts, at)):
            found.append(Sign(sign, lexeme.start, lexeme.start + len(sign), depth))
        if lexeme.kind == "sign" and sign in _OPENING:
            depth += 1
        at += 2 if lexeme.kind == "sign" and len(sign) == 2 else 1
    return found


def _adjacent(parts: Sequence[Lexeme], at: int) -> str:
    """The two characters of an operator that begins here; empty where there is none."""
    pair = parts[at : at + 2]
    if len(pair) == 2 and all(each.kind == "sign" for each in pair) and pair[1].start == pair[0].start + 1:
        return pair[0].text + pair[1].text
    return ""


def _is_optional(parts: Sequence[Lexeme], at: int) -> bool:
    """Whether it is the `?` of `.?field` or `[?key]`, which chooses between nothing."""
    return parts[at].text == "?" and at > 0 and parts[at - 1].text in (".", "[", "{", ",")
