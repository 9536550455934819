"""From the text of a rule pack to its rules: names, types, contradictions, arguments, examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from gatewright.safety.approvals.terms import Approval

from . import contradictions, events, examples, expressions, functions, schemas, sources, templates
from .documents import PackText
from .events import Hook
from .fields import near
from .rule import Rule
from .schemas import Tools
from .sources import Problem, Source

T = TypeVar("T")

_GUARDED: tuple[Hook, ...] = ("tool.before", "function.before")


def checked(source: Source, document: PackText, tools: Tools | None) -> tuple[tuple[Rule, ...], list[Problem]]:
    """The rules of a pack, those of its `defaults` last, and everything that is wrong with them."""
    problems = [problem(source, path, message) for path, message in contradictions.of_pack(source, document, tools)]
    problems += _misdefined(source, document)
    rules: list[Rule] = []
    for at in range(len(document.rules)):
        check = _Check(source, document, at, tools)
        rule = check.rule()
        problems += check.problems
        if rule is not None:
            rules.append(rule)
    return (*rules, *_defaults(document)), list(dict.fromkeys(problems))  # several rules may use one bad definition


def problem(source: Source, path: sources.Path, message: str, *, offset: int = 0) -> Problem:
    """A problem at `path`, `offset` lines below where the value there begins."""
    rule = ""
    if len(path) > 1 and path[0] == "rules" and isinstance(path[1], int):
        entry: Any = source.data["rules"][path[1]]
        rule = str(entry.get("id", f"#{path[1] + 1}")) if isinstance(entry, dict) else f"#{path[1] + 1}"
    return Problem(file=source.file, line=source.line(path) + offset, rule=rule, message=message)


_CONSTANT = {True: "leave it out, or say what it depends on", False: "say what it depends on"}


class _Check:
    """One rule of a document, on its way to a `Rule`; collects what is wrong with it."""

    def __init__(self, source: Source, document: PackText, at: int, tools: Tools | None) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._place: sources.Path = ("rules", at)
        self._document = document
        self._text = document.rules[at]
        self._variables = events.VARIABLES[self._text.on.hook]
        self._definitions = document.definitions
        self._names = contradictions.names(self._text)
        self._described = {name: tool.tool() for name, tool in document.tools.items()}
        self._asked = contradictions.asked_about(document, self._text, tools)
        at_tool = tools is not None and self._text.on.hook.startswith("tool.")
        self._arguments = schemas.arguments(tools or {}, self._names or () if at_tool else ())
        for path, message in contradictions.of_rule(document, self._text, tools):
            self._note(path, message)

    def rule(self) -> Rule | None:
        """The rule, tried on its examples; None if there are problems."""
        text = self._text
        when, unless = self._condition("when", text.when), self._condition("unless", text.unless)
        sets = {tuple(key.split(".")): self._set(key, value) for key, value in (text.sets or {}).items()}
        reason = self._template(("reason",), text.reason)
        if self.problems or reason is None:
            return None
        rule = Rule(
            id=text.id,
            hook=text.on.hook,
            verdict=text.then,
            reason=reason,
            names=self._names,
            labels=frozenset(text.on.labels or ()),
            when=when,
            unless=unless,
            sets=sets,
            closes=tuple(text.closes or ()),
            mode="shadow" if "shadow" in (text.mode, self._document.mode) else "enforce",
            terms=(text.approval or Approval()).terms() if text.then == "ask" else None,
        )
        for path, message in examples.failures(rule, text.examples, self._described):
            self._note(("examples", *path), message)
        return None if self.problems else rule

    def _note(self, path: sources.Path, message: str, *, offset: int = 0) -> None:
        self.problems.append(problem(self._source, (*self._place, *path), message, offset=offset))

    def _condition(self, field: str, text: str | None) -> expressions.Expression | None:
        if text is None:
            return None
        compiled = self._attempt((field,), lambda: expressions.compile(text, self._variables, self._definitions))
        if compiled is not None:
            truth = expressions.constant(compiled, self._variables)
            if truth is not None:
                self._note((field,), f"{text!r} is {str(truth).lower()} whatever happens; {_CONSTANT[truth]}")
            self._check((field,), compiled)
        return compiled

    def _template(self, path: sources.Path, text: str) -> templates.Template | None:
        compiled = self._attempt(path, lambda: templates.compile(text, self._variables, self._definitions))
        for expression in compiled.expressions if compiled else ():
            self._check(path, expression)
        return compiled

    def _set(self, key: str, value: Any) -> Any:
        root, *inner = key.split(".")
        names = self._arguments.names
        if root == "args" and inner and names is not None and inner[0] not in names:
            self._note(("set", key), f"the tool has no argument {inner[0]!r}; {near(inner[0], sorted(names))}")
        return self._template(("set", key), value) if isinstance(value, str) else value

    def _check(self, path: sources.Path, expression: expressions.Expression) -> None:
        """What compiles, and cannot work for the tools that the rule is about."""
        names = self._arguments.names
        for field, line, _ in expression.references("args"):
            if names is not None and field not in names:
                self._note(path, f"the tool has no argument {field!r}; {near(field, sorted(names))}", offset=line - 1)
        for error in schemas.disagreements(expression, self._variables, self._arguments.kinds, self._definitions):
            self._note(path, f"{error}: the tool's schema says what it takes", offset=error.line - 1)
        for call in expression.calls("asked_for"):
            for name in self._asked if call.argument == "" else [call.argument] if call.argument else []:
                if name not in self._described or not self._described[name].intent:
                    message = f"`asked_for` needs the `intent` of {name!r}: by which words people ask for it"
                    self._note(path, f"{message}; write it under `tools:`", offset=call.line - 1)

    def _attempt(self, path: sources.Path, compile: Callable[[], T]) -> T | None:
        try:
            return compile()
        except expressions.ExpressionError as error:
            if error.definition:
                where = ("definitions", error.definition)
                self.problems.append(problem(self._source, where, str(error), offset=error.line - 1))
            else:
                self._note(path, f"{path[-1]}: {error}", offset=error.line - 1)
            return None


def _misdefined(source: Source, document: PackText) -> Iterator[Problem]:
    """Definitions whose name stands for something else, and those that nothing uses."""
    taken = {name.partition(".")[0] for variables in events.VARIABLES.values() for name in variables}
    taken |= {function.name for function in functions.FUNCTIONS}
    texts = [
        text for rule in document.rules for text in (rule.when, rule.unless, rule.reason, *(rule.sets or {}).values())
    ]
    used = {
        word
        for text in (*texts, *document.definitions.values())
        if isinstance(text, str)
        for word in expressions.words(text)
    }
    for name in document.definitions:
        if name in taken:
            yield problem(
                source, ("definitions", name), f"{name!r} is something that rules know already; choose another name"
            )
        elif name not in used:
            yield problem(source, ("definitions", name), f"no rule uses {name!r}; remove it")


def _defaults(document: PackText) -> Iterator[Rule]:
    verdict = document.defaults.unlabelled
    for hook in _GUARDED if verdict != "allow" else ():
        text = "{{ name }} has no labels; say under `tools:` what it does"
        yield Rule(
            id=f"defaults.unlabelled.{hook.partition('.')[0]}",
            hook=hook,
            verdict=verdict,
            reason=templates.compile(text, events.VARIABLES[hook]),
            unlabelled=True,
            mode=document.mode,
            terms=(document.defaults.approval or Approval()).terms() if verdict == "ask" else None,
        )
