"""What is well formed in a rule pack and can never work: names that do not exist, parts that do not fit together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from gatewright.agents.effects import Label

from . import events, literals, sources
from .documents import PackText, RuleText
from .fields import near
from .schemas import Tools, arguments
from .sources import Source
from .tools import ToolText

LABELS: frozenset[str] = frozenset(get_args(Label))

Complaint = tuple[sources.Path, str]
"""A place, and what is wrong there."""


def names(text: RuleText) -> frozenset[str] | None:
    """The names that a rule looks at, None for all."""
    if text.on.name is not None:
        return frozenset({text.on.name})
    return frozenset(text.on.names) if text.on.names is not None else None


def asked_about(document: PackText, text: RuleText, tools: Tools | None) -> list[str]:
    """The tools that a rule looks at, as far as they are known."""
    named = names(text)
    if named is not None:
        return sorted(named)
    labels = frozenset(text.on.labels or ())
    known = document.tools if labels or tools is None else {**dict.fromkeys(tools, ToolText()), **document.tools}
    return sorted(name for name, tool in known.items() if labels <= frozenset(tool.labels))


def of_pack(source: Source, document: PackText, tools: Tools | None) -> Iterator[Complaint]:
    """Rules of one id, tools and arguments that do not exist, labels that look like a misspelt one of ours."""
    first: dict[str, int] = {}
    for at, rule in enumerate(document.rules):
        if rule.id in first:
            line = source.line(("rules", first[rule.id]))
            yield ("rules", at, "id"), f"the id is taken by the rule on line {line}; choose another"
        first.setdefault(rule.id, at)
    for name, tool in document.tools.items():
        if tools is not None and name not in tools:
            yield ("tools", name), f"there is no tool {name!r}; {near(name, list(tools))}"
        for place, message in _of_tool(name, tool, tools):
            yield ("tools", name, *place), message


def of_rule(document: PackText, text: RuleText, tools: Tools | None) -> Iterator[Complaint]:
    """Parts of a rule that contradict each other or the tools; places are within the rule."""
    yield from _unreachable(document, text, tools)
    change = "close" if text.on.hook == events.CLOSES else "set"
    if (text.then == "modify") != bool(text.closes if change == "close" else text.sets):
        yield ("then",), f"`then: modify` and a `{change}:` that is not empty belong together; write both or neither"
    if text.closes is not None and change == "set":
        yield ("close",), f"options are closed at {events.CLOSES!r}, not at {text.on.hook!r}"
    for at, option in enumerate(text.closes or ()):
        if option in (text.closes or ())[:at]:
            yield ("close", at), f"{option!r} is closed twice; remove one"
    if text.approval is not None and text.then != "ask":
        yield ("approval",), f"only `then: ask` has an approval, this rule says {text.then!r}; remove one"
    if text.approval is not None and text.approval.on_expiry == "approve":
        final = [name for name in asked_about(document, text, tools) if _is_final(document, name)]
        if final or "irreversible" in (text.on.labels or ()):
            which = repr(final[0]) if final else "what it is about"
            message = f"silence may not approve {which}, which is irreversible; reject, hold or escalate"
            yield ("approval", "on_expiry"), message
    if text.then == "ask" and text.on.hook not in events.ASKS:
        yield ("then",), f"nobody can be asked at {text.on.hook!r}; deny, or ask at {', '.join(sorted(events.ASKS))}"
    root = events.SETS.get(text.on.hook)
    for key in text.sets or ():
        parts = key.split(".")
        if root is None:
            remedy = "close options" if change == "close" else "deny"
            yield ("set",), f"nothing can be changed at {text.on.hook!r}; {remedy} instead"
        elif parts[0] != root or not all(parts) or (root == "args" and len(parts) == 1):
            shown = "`args.<name>`" if root == "args" else "`result` or `result.<name>`"
            yield ("set", key), f"{key!r} cannot be set at {text.on.hook!r}; write {shown}"
    if not text.examples.match:
        yield ("examples",), "has no example that it matches; add one under `examples: match:`"
    if not text.examples.passes and (text.when is not None or text.unless is not None):
        yield ("examples",), "has no example that it lets pass; add one under `examples: pass:`"


def _is_final(document: PackText, name: str) -> bool:
    return name in document.tools and "irreversible" in document.tools[name].labels


def _of_tool(name: str, tool: ToolText, tools: Tools | None) -> Iterator[Complaint]:
    for at, label in enumerate(tool.labels):
        if label not in LABELS and (remedy := near(label, list(LABELS))).startswith("did you mean"):
            yield ("labels", at), f"unknown label {label!r}; {remedy}"
    for at, word in enumerate(tool.intent):
        if not literals.tokens(word):
            yield ("intent", at), f"{word!r} is no word that people could say; write letters or digits"
    taken = arguments(tools, [name]).names if tools is not None else None
    for field, arguments_said in (("target", tool.target), ("payload", tool.payload)):
        for at, argument in enumerate(arguments_said or ()):
            if taken is not None and argument not in taken:
                yield (field, at), f"the tool {name!r} has no argument {argument!r}; {near(argument, sorted(taken))}"


def _unreachable(document: PackText, text: RuleText, tools: Tools | None) -> Iterator[Complaint]:
    if text.on.name is not None and text.on.names is not None:
        yield ("on",), "has both 'name' and 'names'; keep one"
    if tools is not None and text.on.hook.startswith("tool."):
        for name in sorted(names(text) or ()):
            if name not in tools:
                yield ("on",), f"can never match: there is no tool {name!r}; {near(name, list(tools))}"
    known = sorted(LABELS.union(*(tool.labels for tool in document.tools.values())))
    unknown = [label for label in text.on.labels or () if label not in known]
    for label in unknown:
        message = f"can never match: no tool of this pack has the label {label!r}; {near(label, known)}"
        yield ("on", "labels"), message
    # Tools may carry the labels of ours themselves, so those need not be in the pack.
    others = frozenset(text.on.labels or ()) - LABELS
    if others and not unknown and not any(others <= frozenset(tool.labels) for tool in document.tools.values()):
        yield ("on", "labels"), f"can never match: no tool of this pack has all of {sorted(others)}; ask for fewer"
