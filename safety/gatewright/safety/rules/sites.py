"""Calls of our functions, taken out of the engine's hands.

cel-expr-python 0.1.3 never frees the arguments that it hands to a Python function, so that every evaluation of
`personal(args)` would lose as much memory as the arguments take. A function without arguments loses nothing. So a call
becomes one without arguments; those that it had are expressions of their own, evaluated when it is reached. Where that
cannot be (an argument reads the variable of a loop), the call stays as it is.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from gatewright.agents.errors import UsageError

from . import functions
from .functions import Function, Type
from .lexemes import Lexeme, lexemes

MOST = 16  # calls of one expression that are taken out
_LOOPS = frozenset(
    {"all", "exists", "exists_one", "existsOne", "map", "filter", "bind", "transformList", "transformMap"}
)


class Argument(Protocol):
    """An argument of a call: an expression of its own."""

    def value(self, bindings: Any) -> Any:
        """Its JSON value."""
        ...


class Site(NamedTuple):
    """A call that was taken out: the overloads of its function, and its arguments."""

    overloads: Sequence[Function]
    arguments: Sequence[Argument]

    def answer(self, bindings: Any) -> Any:
        """What the function gives.

        Raises:
            UsageError: it takes no values of these types.
        """
        values = [argument.value(bindings) for argument in self.arguments]
        for overload in self.overloads:
            if all(map(_fits, overload.parameters, values)):
                return overload.call(*values)
        found = ", ".join(type(value).__name__ for value in values)
        raise UsageError(f"{self.overloads[0].name}() takes no {found}; see the functions of rules for what it takes")


class _Evaluation(threading.local):
    """What the thread evaluates now."""

    sites: Sequence[Site] = ()
    bindings: Any = None
    lent: list[Any] | None = None


_NOW = _Evaluation()
_GIVEN: dict[str, list[Any]] = {}  # short lists that were given, by content: the engine keeps what it is given
_KEPT = 1024  # of them


class Evaluating:
    """While an expression with sites is evaluated. Afterwards what our functions gave to the engine is emptied."""

    def __init__(self, sites: Sequence[Site], bindings: Any) -> None:
        self._mine: tuple[Sequence[Site], Any, list[Any]] = (sites, bindings, [])

    def __enter__(self) -> None:
        self._before = (_NOW.sites, _NOW.bindings, _NOW.lent)
        _NOW.sites, _NOW.bindings, _NOW.lent = self._mine

    def __exit__(self, *_: object) -> None:
        _NOW.sites, _NOW.bindings, _NOW.lent = self._before
        for container in self._mine[2]:
            container.clear()


def declared() -> Iterator[tuple[str, Type, Callable[[], Any]]]:
    """The functions that stand for calls, for every environment: name, type of the answer, what to call."""
    results: dict[Type, None] = {function.result: None for function in functions.FUNCTIONS}
    for result, at in itertools.product(results, range(MOST)):
        yield _name(result, at), result, _asking(at)


def _name(result: Type, at: int) -> str:
    return f"site_{re.sub(r'[^a-z]+', '_', result)}_{at}"


def _asking(at: int) -> Callable[[], Any]:
    def ask() -> Any:
        return _lent(_NOW.sites[at].answer(_NOW.bindings))

    return ask


def _lent(answer: Any) -> Any:
    """The answer in a form that costs little if it is never freed: short lists that were given before are given again,
    and what others hold is emptied when the expression has been evaluated."""
    if isinstance(answer, list) and all(isinstance(item, str) and len(item) < 32 for item in answer):
        key = "\0".join(answer)
        if key in _GIVEN or len(_GIVEN) < _KEPT:
            return _GIVEN.setdefault(key, answer)
    if isinstance(answer, (list, dict)) and _NOW.lent is not None:
        answer = answer.copy()  # it may be somebody's own
        _NOW.lent.append(answer)
    return answer


def taken_out(
    source: str, compiled: Callable[[str], Argument | None], bound: frozenset[str] = frozenset()
) -> tuple[str, tuple[Site, ...]]:
    """An expression without the calls that can be taken out, and these.

    Args:
        compiled: makes an expression of an argument; None where it is none by itself.
        bound: names that `compiled` knows although the expression binds them.
    """
    overloads = _overloads()
    tokens = lexemes(source)
    loops = _bound(tokens) - bound
    sites: list[Site] = []
    parts: list[str] = []
    done, at = 0, 0
    while at < len(tokens):
        token = tokens[at]
        call = _call(source, tokens, at) if token.kind == "word" and token.text in overloads else None
        if call is not None and len(sites) < MOST and not any(_words(text) & loops for text in call.arguments):
            arguments = [compiled(text) for text in call.arguments]
            made = [argument for argument in arguments if argument is not None]
            if len(made) == len(arguments):
                parts += [source[done : token.start], f"{_name(overloads[token.text][0].result, len(sites))}()"]
                sites.append(Site(overloads[token.text], made))
                done, at = call.end, call.following
                continue
        at += 1
    return "".join([*parts, source[done:]]), tuple(sites)


def alone(source: str) -> bool:
    """Whether an expression from which calls were taken out is nothing but one of them."""
    return re.fullmatch(r"\s*site_[a-z_]+_0\(\)\s*", source) is not None


class _Call(NamedTuple):
    arguments: Sequence[str]
    end: int
    following: int


def _call(source: str, tokens: Sequence[Lexeme], at: int) -> _Call | None:
    """The call of the function named at `at`; None where it is none, or has no arguments."""
    if (at and tokens[at - 1].text == ".") or at + 2 >= len(tokens) or tokens[at + 1].text != "(":
        return None
    depth, begin = 0, tokens[at + 1].start + 1
    arguments: list[str] = []
    for place in range(at + 1, len(tokens)):
        token = tokens[place]
        if token.kind != "sign":
            continue
        if token.text in "([{":
            depth += 1
        elif token.text in ")]}":
            depth -= 1
            if depth == 0:
                arguments.append(source[begin : token.start])
                filled = bool(arguments[0].strip())
                return _Call(arguments, token.start + 1, place + 1) if filled else None
        elif token.text == "," and depth == 1:
            arguments.append(source[begin : token.start])
            begin = token.start + 1
    return None


def _bound(tokens: Sequence[Lexeme]) -> frozenset[str]:
    """The variables of loops and bindings: the names at the beginning of their arguments."""
    found: set[str] = set()
    for at, token in enumerate(tokens):
        signs = [following.text for following in tokens[at + 1 : at + 6]]
        if token.text in _LOOPS and signs[:1] == ["("] and len(signs) == 5:
            found.add(signs[1])
            if signs[4] == ",":  # a loop over keys and values
                found.add(signs[3])
    return frozenset(found)


def _words(text: str) -> set[str]:
    return {token.text for token in lexemes(text) if token.kind == "word"}


def _overloads() -> Mapping[str, Sequence[Function]]:
    found: dict[str, list[Function]] = {}
    for function in functions.FUNCTIONS:
        if function.parameters:
            found.setdefault(function.name, []).append(function)
    return found


def _fits(type_: Type, value: Any) -> bool:
    match type_:
        case "string":
            return isinstance(value, str)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "double":
            return isinstance(value, float)
        case "bool":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "list(string)":
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
        case "list(dyn)":
            return isinstance(value, list)
        case "map(string, dyn)":
            return isinstance(value, dict)
        case _:
            return False
