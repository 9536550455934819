"""CEL expressions: checked when compiled, sandboxed when evaluated, and never mistaken for true when they fail.

An adapter over `cel-expr-python` (C++ CEL). It limits each evaluation to 10,000 loop steps and its regular
expressions (RE2) take linear time, so a rule cannot hang the service. What the adapter adds: errors that the
binding hands back as values are raised, a non-boolean condition is refused at compile time, and places are named.
"""

from __future__ import annotations

import ctypes
import datetime
import difflib
import functools
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gatewright.agents.errors import GatewrightError, UsageError

from . import functions
from .functions import Subject, Type
from .lexemes import lexemes
from .sites import Evaluating, Site, alone, declared, taken_out

MAX_LENGTH = 4_000  # characters of one expression
MAX_STEPS = 10_000  # loop steps of one evaluation; the limit is built into the binding

_WORD = re.compile(r"[A-Za-z_]\w*")
_PLACE = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']+)'")


Variables = Mapping[str, Type]
"""Type by name; names may be dotted: `{"tool.name": "string", "args": "map(string, dyn)"}`."""

Definitions = Mapping[str, str]
"""Expressions by the name that others use them by, in order."""

NO_DEFINITIONS: Definitions = {}


class ExpressionError(UsageError):
    """The text is not an expression that can be used here; correct it.

    `line` and `column` count from 1 within the expression. `definition` names the one that it is about, empty where it
    is about the text that uses it.
    """

    def __init__(self, message: str, *, line: int = 1, column: int = 1, definition: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.definition = definition


class EvaluationError(GatewrightError):
    """The expression has no value for this data (missing key, wrong type, budget); whoever asked must refuse."""


class Reference(NamedTuple):
    """A field of a variable that an expression names, and where (counted from 1)."""

    field: str
    line: int
    column: int


class Call(NamedTuple):
    """A call of a function. `argument`: its only one if that is a text, empty if there is none, None otherwise."""

    argument: str | None
    line: int


class Bindings:
    """The values of the variables, converted once on first use and shared by all expressions that see them.

    `subject` answers the functions that ask about the event.
    """

    __slots__ = ("activation", "subject")

    def __init__(self, activation: Any, subject: Subject | None) -> None:
        self.activation = activation
        self.subject = subject


class Expression:
    """A checked expression. Safe to share between threads.

    `source` is the text with the definitions that it uses. `words` are all words that occur in it, those within strings
    too: a variable or key that is not among them is not read by its literal name. `mentions` are the names that stand
    for something by themselves: variables with each of the fields that follow them (`payload`, `payload.links`), and
    functions as `count()`.
    """

    __slots__ = ("_asks", "_compiled", "_eval", "_sites", "_whole", "mentions", "source", "text", "words")

    def __init__(
        self, text: str, compiled: Any, around: _Around, sites: Sequence[Site] = (), *, whole: bool = False
    ) -> None:
        """`sites`: the calls of our functions that were taken out; `whole`: it is nothing but the first of them."""
        self.text = text
        self.source = around.before + text + around.after
        self.words = words(around.before + text)
        self.mentions = frozenset(_mentions(around.before + text + around.after))
        self._asks = bool(sites) or any(f"{name}()" in self.mentions for name in functions.ASKING)
        self._sites = sites
        self._whole = whole
        self._compiled = compiled
        self._eval = compiled.eval

    @property
    def type(self) -> str:
        """The checked type of its value, in the binding's spelling: BOOL, INT, DYN, LIST<DYN> and so on."""
        return str(self._compiled.return_type())

    def evaluate(self, bindings: Bindings) -> bool:
        """The truth of the expression.

        Raises:
            EvaluationError: it has no truth value for this data, or used up its budget.
        """
        if self._asks:
            value = self._run(bindings, _content)
        else:  # `_run` in one step: most of the time that rules take is spent here
            try:
                value = self._eval(bindings.activation).value()
            except (RuntimeError, TypeError, ValueError) as error:
                raise self._unfit(error) from error
        if value is True or value is False:  # an error comes back as a value whose content is its text
            return value
        raise EvaluationError(f"{self.text!r} has no truth value here: {_hinted(str(value))}")

    @property
    def test(self) -> Callable[[Any], Any] | None:
        """What gives the binding's own result for an activation, for whoever asks many expressions at once.

        None where it asks about the event. Anything but False as its content wants a closer look, by `evaluate`.
        """
        return None if self._asks else self._eval

    def value(self, bindings: Bindings) -> Any:
        """The value of the expression as a JSON value; times become RFC 3339 text, durations seconds.

        Raises:
            EvaluationError: it has no value for this data, or none that JSON can hold.
        """
        return self._answer(bindings) if self._whole else self._run(bindings, self._plain)

    def _answer(self, bindings: Bindings) -> Any:
        """The answer of the one call that the expression is; the engine need not be asked."""
        before, functions.CURRENT.subject = functions.CURRENT.subject, bindings.subject
        try:
            return _json(self._sites[0].answer(bindings))
        except Exception as error:  # what a function raises is an error of the expression, as within the engine
            raise EvaluationError(f"{self.text!r} has no value here: {error}") from error
        finally:
            functions.CURRENT.subject = before

    def _plain(self, result: Any) -> Any:
        if str(result.type()) == "ERROR":
            raise EvaluationError(f"{self.text!r} has no value here: {_hinted(str(result.value()))}")
        try:
            return _json(result.plain_value())
        except (RuntimeError, TypeError, ValueError) as error:
            raise EvaluationError(f"{self.text!r} gives no JSON value: {error}") from error

    def references(self, variable: str) -> Iterator[Reference]:
        """The fields that are selected from `variable` by a literal name: `v.field`, `v.?field`, `v["field"]`."""
        tokens = lexemes(self.text)
        for at, token in enumerate(tokens):
            if token.text != variable or token.kind != "word" or (at and tokens[at - 1].text == "."):
                continue
            signs = [following.text for following in tokens[at + 1 : at + 3]]
            name = at + (3 if signs[1:] == ["?"] else 2)
            if name >= len(tokens):
                continue
            field = tokens[name]
            if signs[0] == "." and field.kind == "word":
                yield Reference(field.text, *_place(self.text, field.start))
            elif signs[0] == "[" and field.kind == "string" and field.text[0] in "'\"":
                yield Reference(field.text.strip("'\""), *_place(self.text, field.start))

    def calls(self, function: str) -> Iterator[Call]:
        """The calls of a function with no argument or one."""
        tokens = lexemes(self.text)
        for at, token in enumerate(tokens):
            if token.text != function or token.kind != "word" or (at and tokens[at - 1].text == "."):
                continue
            following = tokens[at + 1 : at + 4]
            texts = [each.text for each in following]
            line, _ = _place(self.text, token.start)
            if texts[:2] == ["(", ")"]:
                yield Call("", line)
            elif texts[:1] == ["("]:
                literal = texts[2:] == [")"] and following[1].kind == "string" and texts[1][0] in "'\""
                yield Call(texts[1].strip("'\"") if literal else None, line)

    def _run(self, bindings: Bindings, read: Callable[[Any], Any]) -> Any:
        """Evaluate, and take what is wanted from the result before what our functions gave is taken back."""
        before, functions.CURRENT.subject = functions.CURRENT.subject, bindings.subject
        try:
            with Evaluating(self._sites, bindings):
                return read(self._eval(bindings.activation))
        except (RuntimeError, TypeError, ValueError) as error:
            raise self._unfit(error) from error
        finally:
            functions.CURRENT.subject = before

    def _unfit(self, error: Exception) -> EvaluationError:
        """What to raise where the binding could not convert the data."""
        return EvaluationError(f"{self.text!r} cannot be evaluated on this data: {error}")


def compile(text: str, variables: Variables, definitions: Definitions = NO_DEFINITIONS) -> Expression:
    """Check a condition; see `compile_value`.

    Raises:
        ExpressionError: a syntax error, an unknown variable or function, a type error, or a result that is not bool.
    """
    expression = compile_value(text, variables, definitions)
    kind = expression.type
    if kind != "BOOL":
        remedy = "compare it with something, for example `== true`" if kind == "DYN" else "write a condition"
        raise ExpressionError(f"{text!r} gives {kind.lower()}, a rule needs bool; {remedy}")
    return expression


def compile_value(text: str, variables: Variables, definitions: Definitions = NO_DEFINITIONS) -> Expression:
    """Check an expression whose value may have any type.

    Args:
        definitions: expressions that it may use by name; each may use those before it. One that is not used, or not
            reached when the expression is evaluated, is not evaluated.

    Raises:
        ExpressionError: as `compile`.
    """
    around = _around(text, definitions)
    length = len(around.before) + len(text)
    if length > MAX_LENGTH:
        with_them = " with the definitions it uses" if around.before else ""
        raise ExpressionError(
            f"the expression has {length} characters{with_them}, the limit is {MAX_LENGTH}; split the rule"
        )
    _check_definitions(around, variables, definitions)
    try:
        compiled = _environment(tuple(sorted(variables.items()))).compile(around.before + text + around.after)
    except (RuntimeError, TypeError, UnicodeError) as error:
        raise _explained(str(error), text, [*variables, *definitions], around.before) from error
    return _without_calls(text, compiled, around, variables, definitions) or Expression(text, compiled, around)


def _without_calls(
    text: str, compiled: Any, around: _Around, variables: Variables, definitions: Definitions
) -> Expression | None:
    """The same expression with the calls of our functions taken out; None where there are none to be taken."""

    def argument(part: str) -> Expression | None:
        try:
            return compile_value(part, variables, definitions)
        except ExpressionError:
            return None

    source, sites = taken_out(around.before + text + around.after, argument, frozenset(definitions))
    if not sites:
        return None
    try:
        rewritten = _environment(tuple(sorted(variables.items()))).compile(source)
    except (RuntimeError, TypeError, UnicodeError):
        return None
    same = str(rewritten.return_type()) == str(compiled.return_type())
    return Expression(text, rewritten, around, sites, whole=alone(source)) if same else None


def together(conditions: Sequence[Expression], variables: Variables) -> Callable[[Any], list[bool] | None] | None:
    """One expression of many conditions: what they read is made visible once, and the engine is entered once.

    Gives for an activation their truths in order, or None where one of them has none or all of them together use up
    the budget: then ask them one by one. None instead where they cannot be compiled together (too long, too deep).
    """
    text = "[" + ",".join(f"({condition.source}\n)" for condition in conditions) + "]"  # a comment ends with its line
    try:
        evaluate = _environment(tuple(sorted(variables.items()))).compile(text).eval
    except (RuntimeError, TypeError, UnicodeError):
        return None

    def truths(activation: Any) -> list[bool] | None:
        try:
            found = evaluate(activation).plain_value()
        except (RuntimeError, TypeError, ValueError):
            return None
        return found if type(found) is list and len(found) == len(conditions) else None

    return truths


def _check_definitions(around: _Around, variables: Variables, definitions: Definitions) -> None:
    """Each by itself: what is wrong with one is told of it, and none can end before its text does."""
    environment = _environment(tuple(sorted(variables.items())))
    earlier: dict[str, str] = {}
    for name, value in definitions.items():
        if name in around.used:
            within = _around(value, earlier)
            try:
                environment.compile(within.before + value + within.after)
            except (RuntimeError, TypeError, UnicodeError) as error:
                found = _explained(str(error), value, [*variables, *earlier], within.before)
                raise ExpressionError(str(found), line=found.line, column=found.column, definition=name) from error
        earlier[name] = value


def complaints(text: str, variables: Variables, definitions: Definitions = NO_DEFINITIONS) -> list[ExpressionError]:
    """All that is wrong with an expression; empty if it compiles. Places before its first line are in definitions."""
    around = _around(text, definitions)
    try:
        _environment(tuple(sorted(variables.items()))).compile(around.before + text + around.after)
    except (RuntimeError, TypeError, UnicodeError) as error:
        places = [match.group() for match in _PLACE.finditer(str(error))]
        known = [*variables, *definitions]
        return [_explained(place, text, known, around.before) for place in places or [str(error)]]
    return []


def constant(expression: Expression, variables: Variables) -> bool | None:
    """The truth of a condition whatever the event; None if it depends on one."""
    try:
        return expression.evaluate(bind({}, variables))
    except EvaluationError:
        return None


class Binder:
    """Variables, ready for many sets of values."""

    def __init__(self, variables: Variables) -> None:
        self._environment = _environment(tuple(sorted(variables.items())))

    def bind(self, values: Mapping[str, Any], subject: Subject | None = None) -> Bindings:
        """Give `values` to expressions that were compiled with the same variables; they must not be mutated after.

        A variable without a value, or with one of another type, is an error in the expressions that read it; so is a
        function that asks about an event where there is no `subject`.
        """
        return Bindings(self._environment.Activation(values), subject)


def bind(values: Mapping[str, Any], variables: Variables) -> Bindings:
    """Give values to expressions once, see `Binder.bind`."""
    return Binder(variables).bind(values)


def words(text: str) -> frozenset[str]:
    """All words that occur in an expression or a template, those within strings too."""
    return frozenset(_WORD.findall(text))


@functools.cache
def _keep_none() -> None:
    """Give None so many references that it never runs out of them.

    cel-expr-python 0.1.3 gives one back too many for every null that it converts, and a process whose None has none
    left is aborted. From Python 3.12 on None is immortal (PEP 683) and needs no help.
    """
    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40


@functools.lru_cache(maxsize=64)
def _environment(variables: tuple[tuple[str, Type], ...]) -> Any:
    # Imported on first use: 50 MB on disk and 20 ms that a service without rules does not pay.
    from cel_expr_python import cel  # type: ignore[import-untyped]  # ships stubs without a py.typed marker
    from cel_expr_python.ext import (  # type: ignore[import-untyped]
        ext_bindings,
        ext_math,
        ext_optional,
        ext_strings,
    )

    _keep_none()
    mapping = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    types: dict[Type, Any] = {
        "bool": cel.Type.BOOL,
        "int": cel.Type.INT,
        "double": cel.Type.DOUBLE,
        "null": cel.Type.NULL,
        "string": cel.Type.STRING,
        "timestamp": cel.Type.TIMESTAMP,
        "dyn": cel.Type.DYN,
        "list(string)": cel.Type.List(cel.Type.STRING),
        "map(string, double)": cel.Type.Map(cel.Type.STRING, cel.Type.DOUBLE),
        "map(string, dyn)": mapping,
        "list(dyn)": cel.Type.List(cel.Type.DYN),
        "list(map(string, dyn))": cel.Type.List(mapping),
        "bool?": cel.Type("google.protobuf.BoolValue"),
        "int?": cel.Type("google.protobuf.Int64Value"),
        "double?": cel.Type("google.protobuf.DoubleValue"),
        "string?": cel.Type("google.protobuf.StringValue"),
    }
    overloads: dict[str, list[Any]] = {}
    for function in functions.FUNCTIONS:
        overloads.setdefault(function.name, []).append(
            cel.Overload(
                "_".join((function.name, *(re.sub(r"\W+", "_", kind) for kind in function.parameters))),
                return_type=types[function.result],
                parameters=[types[kind] for kind in function.parameters],
                is_member=False,
                impl=function.call,
            )
        )
    for name, result, call in declared():
        overloads[name] = [cel.Overload(name, return_type=types[result], parameters=[], is_member=False, impl=call)]
    return cel.NewEnv(
        variables={name: types[kind] for name, kind in variables},
        functions=[cel.FunctionDecl(name, overloads[name]) for name in overloads],
        extensions=[
            ext_strings.ExtStrings(),
            ext_math.ExtMath(),
            ext_bindings.ExtBindings(),
            ext_optional.ExtOptional(),
        ],
    )


class _Around(NamedTuple):
    """What gives an expression the definitions that it uses: `before` + expression + `after`."""

    before: str
    after: str
    used: frozenset[str]


def _around(text: str, definitions: Definitions) -> _Around:
    before, after = "", ""
    used = set(_mentions(text)) if definitions else set[str]()
    for name, value in reversed(list(definitions.items())):
        if name in used:
            before = f"cel.bind({name}, {value}\n, {before}"  # on a line of its own: the value may end in a comment
            after = after or "\n"
            after += ")"
            used.update(_mentions(value))
    return _Around(before, after, frozenset(used & definitions.keys()))


def _mentions(text: str) -> Iterator[str]:
    tokens = lexemes(text)
    name = ""
    for at, token in enumerate(tokens):
        before = tokens[at - 1].text if at else ""
        after = tokens[at + 1].text if at + 1 < len(tokens) else ""
        if token.kind == "word":
            name = token.text if before != "." else f"{name}.{token.text}" if name else ""
            if name:
                yield f"{name}()" if after == "(" else name
        elif token.text != ".":
            name = ""


def _place(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


def _explained(message: str, text: str, known: Collection[str], before: str = "") -> ExpressionError:
    """The binding's first complaint, with its place in `text` and, for a misspelt name, the nearest one."""
    found = _PLACE.search(message)
    if found is None:
        return ExpressionError(f"{text!r} cannot be compiled: {message}")
    line, column, complaint = int(found[1]), int(found[2]), found[3].removesuffix(" [INVALID_ARGUMENT]")
    line -= before.count("\n")
    if line == 1:
        column -= len(before) - before.rfind("\n") - 1
    if unknown := _UNDECLARED.search(complaint):
        name = unknown[1]
        complaint = f"unknown name {name!r}; {_remedy(name, known)}"
    elif complaint.startswith("Syntax error: "):
        complaint = complaint.split(" expecting {")[0]
    return ExpressionError(f"{complaint} (line {line}, column {column} of {text!r})", line=line, column=column)


def _remedy(name: str, known: Collection[str]) -> str:
    head, dot, rest = name.partition(".")
    if near := difflib.get_close_matches(name, known, n=1):
        return f"did you mean {near[0]!r}?"
    if near := difflib.get_close_matches(head, known, n=1):
        return f"did you mean {near[0] + dot + rest!r}?"
    return f"known here: {', '.join(sorted(known))}"


def _content(result: Any) -> Any:
    return result.value()


def _hinted(message: str) -> str:
    if "Key not found" in message:
        return f"{message}; where it may be absent, ask `has(...)` first"
    if "SELECT to non-message" in message:
        return f"{message}; where it may be no object, ask `type(...) == map` first"
    return message


def _json(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, dict):
        # The binding gives the entries of a map in another order each time.
        return {key: _json(value[key]) for key in sorted(map(_text_key, value))}
    if isinstance(value, datetime.datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    raise TypeError(f"a value of type {type(value).__name__}")


def _text_key(key: Any) -> str:
    if isinstance(key, str):
        return key
    raise TypeError(f"a map with the key {key!r}")
