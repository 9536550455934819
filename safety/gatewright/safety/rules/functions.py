"""Functions that rules can call beside those of CEL, and the types that they and the variables have.

Another function is one more entry of `FUNCTIONS` for every concrete type it takes: one that is declared for `dyn` would
not be found for a text. What it raises becomes an error of the expression, and so a refusal.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from . import lists

if TYPE_CHECKING:
    from gatewright.safety.privacy import redaction

Type = Literal[
    "bool",
    "int",
    "double",
    "null",
    "string",
    "timestamp",
    "dyn",
    "list(string)",
    "map(string, double)",
    "map(string, dyn)",
    "list(dyn)",
    "list(map(string, dyn))",
    "bool?",
    "int?",
    "double?",
    "string?",
]
"""With `?`: or null. `dyn` is any JSON value, checked when it is used."""


class Function(NamedTuple):
    """One overload of a function."""

    name: str
    parameters: tuple[Type, ...]
    result: Type
    call: Callable[..., Any]


class Subject(Protocol):
    """The event that an expression is about, as far as functions ask about it."""

    def count(self, name: str, seconds: float) -> int:
        """How many effects of that name the case has begun within the last seconds."""
        ...

    def seen(self, name: str) -> bool:
        """Whether an effect of that name has succeeded in this case."""
        ...

    def repeated(self) -> int:
        """How often this very call was made before in this case."""
        ...

    def asked_for(self, name: str | None = None) -> bool:
        """Whether people have asked for this kind of action; `name` of another tool than the event's."""
        ...


class _Local(threading.local):
    subject: Subject | None = None


CURRENT = _Local()
"""What the expression that this thread evaluates is about: CEL hands nothing but arguments to a function."""


def _subject() -> Subject:
    if CURRENT.subject is None:
        raise LookupError("this asks about an event, and there is none here")
    return CURRENT.subject


def _count(name: str, seconds: float) -> int:
    return _subject().count(name, seconds)


def _seen(name: str) -> bool:
    return _subject().seen(name)


def _repeated() -> int:
    return _subject().repeated()


def _asked_for(name: str | None = None) -> bool:
    return _subject().asked_for(name)


ABOUT_EVENT: tuple[Function, ...] = (
    Function("count", ("string", "int"), "int", _count),
    Function("count", ("string", "double"), "int", _count),
    Function("seen", ("string",), "bool", _seen),
    Function("repeated", (), "int", _repeated),
    Function("asked_for", (), "bool", _asked_for),
    Function("asked_for", ("string",), "bool", _asked_for),
)


def _personal(value: Any) -> list[str]:
    from gatewright.safety.privacy import redaction  # patterns that only rules with this function need

    return list(redaction.kinds(value))


def _redact(value: Any, kinds: Sequence[redaction.Kind] | None = None) -> Any:
    from gatewright.safety.privacy import redaction

    return redaction.redact(value, redaction.KINDS if kinds is None else kinds)


_VALUES: tuple[Type, ...] = ("string", "int", "double", "bool", "null", "list(dyn)", "map(string, dyn)")

ABOUT_VALUES: tuple[Function, ...] = (
    *(Function("personal", (kind,), "list(string)", _personal) for kind in _VALUES),
    *(Function("redact", (kind,), "dyn", _redact) for kind in _VALUES),
    *(Function("redact", (kind, "list(string)"), "dyn", _redact) for kind in _VALUES),
)
"""Personal data in a value: which kinds, and the value without them; see `gatewright.safety.privacy.redaction`."""

ABOUT_LISTS: tuple[Function, ...] = (
    Function("sum", ("list(dyn)",), "double", lists.total),
    Function("flatten", ("list(dyn)",), "list(dyn)", lists.flat),
)

FUNCTIONS: tuple[Function, ...] = (*ABOUT_EVENT, *ABOUT_VALUES, *ABOUT_LISTS)
"""All of them, by name and overload."""

ASKING: frozenset[str] = frozenset(function.name for function in ABOUT_EVENT)
