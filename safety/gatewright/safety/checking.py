"""From the text of a rule pack to its rules: names, types, contradictions, arguments, examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, get_args

from gatewright.agents.effects import Label

from . import events, examples, expressions, sources, templates
from .documents import PackText, RuleText
from .events import Hook
from .fields import near
from .rules import Rule
from .sources import Problem, Source
from .terms import Approval

T = TypeVar("T")

LABELS: frozenset[str] = frozenset(get_args(Label))

Tools = Mapping[str, Mapping[str, Any] | None]
"""The tools of a deployment with the JSON Schema of their arguments, None where it is not known."""

_GUARDED: tuple[Hook, ...] = ("tool.before", "function.before")


def checked(source: Source, document: PackText, tools: Tools | None) -> tuple[tuple[Rule, ...], list[Problem]]:
    """The rules of a pack, those of its `defaults` last, and everything that is wrong with them."""
    problems = [*_misnamed(source, document, tools)]
    rules: list[Rule] = []
    for at in range(len(document.rules)):
        check = _Check(source, document, at, tools)
        rule = check.rule()
        problems += check.problems
        if rule is not None:
            rules.append(rule)
    return (*rules, *_defaults(document)), problems


def problem(source: Source, path: sources.Path, message: str, *, offset: int = 0) -> Problem:
    """A problem at `path`, `offset` lines below where the value there begins."""
    rule = ""
    if len(path) > 1 and path[0] == "rules" and isinstance(path[1], int):
        entry: Any = source.data["rules"][path[1]]
        rule = str(entry.get("id", f"#{path[1] + 1}")) if isinstance(entry, dict) else f"#{path[1] + 1}"
    return Problem(file=source.file, line=source.line(path) + offset, rule=rule, message=message)


class _Check:
    """One rule of a document, on its way to a `Rule`; collects what is wrong with it."""

    def __init__(self, source: Source, document: PackText, at: int, tools: Tools | None) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._place: sources.Path = ("rules", at)
        self._document = document
        self._text = document.rules[at]
        self._variables = events.VARIABLES[self._text.on.hook]
        self._names = _names(self._text)
        self._described = {name: tool.tool() for name, tool in document.tools.items()}
        self._arguments = _arguments(self._text, self._names, tools)
        for path, message in _contradictions(document, self._text, tools):
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
        compiled = self._attempt((field,), lambda: expressions.compile(text, self._variables))
        if compiled is not None:
            self._check_arguments((field,), compiled)
        return compiled

    def _template(self, path: sources.Path, text: str) -> templates.Template | None:
        compiled = self._attempt(path, lambda: templates.compile(text, self._variables))
        for expression in compiled.expressions if compiled else ():
            self._check_arguments(path, expression)
        return compiled

    def _set(self, key: str, value: Any) -> Any:
        root, *inner = key.split(".")
        if root == "args" and inner and self._arguments is not None and inner[0] not in self._arguments:
            self._note(
                ("set", key), f"the tool has no argument {inner[0]!r}; {near(inner[0], sorted(self._arguments))}"
            )
        return self._template(("set", key), value) if isinstance(value, str) else value

    def _check_arguments(self, path: sources.Path, expression: expressions.Expression) -> None:
        if self._arguments is None:
            return
        for field, line, _ in expression.references("args"):
            if field not in self._arguments:
                remedy = near(field, sorted(self._arguments))
                self._note(path, f"the tool has no argument {field!r}; {remedy}", offset=line - 1)

    def _attempt(self, path: sources.Path, compile: Callable[[], T]) -> T | None:
        try:
            return compile()
        except expressions.ExpressionError as error:
            self._note(path, f"{path[-1]}: {error}", offset=error.line - 1)
            return None


def _misnamed(source: Source, document: PackText, tools: Tools | None) -> Iterator[Problem]:
    """Rules of one id, tools that do not exist, labels that look like a misspelt one of ours."""
    first: dict[str, int] = {}
    for at, rule in enumerate(document.rules):
        if rule.id in first:
            line = source.line(("rules", first[rule.id]))
            yield problem(source, ("rules", at, "id"), f"the id is taken by the rule on line {line}; choose another")
        first.setdefault(rule.id, at)
    for name, tool in document.tools.items():
        if tools is not None and name not in tools:
            yield problem(source, ("tools", name), f"there is no tool {name!r}; {near(name, list(tools))}")
        for at, label in enumerate(tool.labels):
            if label not in LABELS and (remedy := near(label, list(LABELS))).startswith("did you mean"):
                yield problem(source, ("tools", name, "labels", at), f"unknown label {label!r}; {remedy}")


def _names(text: RuleText) -> frozenset[str] | None:
    if text.on.name is not None:
        return frozenset({text.on.name})
    return frozenset(text.on.names) if text.on.names is not None else None


def _contradictions(document: PackText, text: RuleText, tools: Tools | None) -> Iterator[tuple[sources.Path, str]]:
    """What is well formed but can never work."""
    if text.on.name is not None and text.on.names is not None:
        yield ("on",), "has both 'name' and 'names'; keep one"
    if tools is not None and text.on.hook.startswith("tool."):
        for name in sorted(_names(text) or ()):
            if name not in tools:
                yield ("on",), f"can never match: there is no tool {name!r}; {near(name, list(tools))}"
    known = sorted(LABELS.union(*(tool.labels for tool in document.tools.values())))
    for label in text.on.labels or ():
        if label not in known:
            yield (
                ("on", "labels"),
                f"can never match: no tool of this pack has the label {label!r}; {near(label, known)}",
            )
    if (text.then == "modify") != bool(text.sets):
        yield ("then",), "`then: modify` and a `set:` that is not empty belong together; write both or neither"
    if text.approval is not None and text.then != "ask":
        yield ("approval",), f"only `then: ask` has an approval, this rule says {text.then!r}; remove one"
    if text.then == "ask" and text.on.hook not in events.ASKS:
        yield ("then",), f"nobody can be asked at {text.on.hook!r}, it has happened; ask before it, or deny"
    root = events.SETS.get(text.on.hook)
    for key in text.sets or ():
        parts = key.split(".")
        if root is None:
            yield ("set",), f"nothing can be changed at {text.on.hook!r}; deny or ask instead"
        elif parts[0] != root or not all(parts) or (root == "args" and len(parts) == 1):
            shown = "`args.<name>`" if root == "args" else "`result` or `result.<name>`"
            yield ("set", key), f"{key!r} cannot be set at {text.on.hook!r}; write {shown}"
    yield from _missing_examples(text)


def _missing_examples(text: RuleText) -> Iterator[tuple[sources.Path, str]]:
    if not text.examples.match:
        yield ("examples",), "has no example that it matches; add one under `examples: match:`"
    if not text.examples.passes and (text.when is not None or text.unless is not None):
        yield ("examples",), "has no example that it lets pass; add one under `examples: pass:`"


def _arguments(text: RuleText, names: frozenset[str] | None, tools: Tools | None) -> frozenset[str] | None:
    """The argument names of the one tool that the rule is about; None where that is open."""
    if tools is None or names is None or len(names) != 1 or not text.on.hook.startswith("tool."):
        return None
    schema = tools.get(next(iter(names)))
    # A tool that takes whatever it is given has no unknown arguments; absent means False to tools that are called.
    if schema is None or "properties" not in schema or schema.get("additionalProperties"):
        return None
    return frozenset(schema["properties"])


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
