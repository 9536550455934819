"""Labels for tools, proposed from what was recorded of their calls, with the evidence.

Evidence is what was seen, and no more: whether something can be undone, and who can write what a tool reads, is not in
any record. A person decides.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gatewright.agents.errors import UsageError
from gatewright.agents.wording import counted
from gatewright.safety import canonical
from gatewright.safety.rules import events, facts, literals, provenance
from gatewright.safety.rules.events import Event
from gatewright.safety.rules.provenance import Index

KNOWN_SHARE = 0.8  # of an argument's values that were said or read before: it refers to something
FREE_TEXT = 8  # words from which on a text is content

UNKNOWABLE = (
    "whether it can be undone (`irreversible`)",
    "whether its results may steer the agent (`trusted`): that depends on who can write what it reads",
)


class Proposal(NamedTuple):
    """A label, or an argument's name, and what speaks for it."""

    value: str
    evidence: str


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What the calls of one tool suggest. `unknown`: what they do not show."""

    tool: str
    calls: int
    cases: int
    labels: tuple[Proposal, ...]
    target: tuple[Proposal, ...]
    payload: tuple[Proposal, ...]
    unknown: tuple[str, ...]

    def yaml(self) -> str:
        """An entry of `tools:` in a rule pack, the evidence in comments."""
        lines = [f"  {json.dumps(self.tool)}:  # {counted(self.calls, 'call')} in {counted(self.cases, 'case')}"]
        for name, proposals in (("labels", self.labels), ("target", self.target), ("payload", self.payload)):
            lines += [f"    # {each.value}: {each.evidence}" for each in proposals]
            if proposals or name == "labels":
                lines.append(f"    {name}: {json.dumps([each.value for each in proposals])}")
        lines += [f"    # not known: {each}" for each in self.unknown]
        return "\n".join(lines)


@dataclass
class _Argument:
    """The values that an argument had: texts and numbers, those known from before, and long texts."""

    values: int = 0
    known: int = 0
    long: int = 0
    leading: int = 0


@dataclass
class _Tool:
    """What was seen of one tool. `same`: repeated calls that gave the same again; `different`: those that did not with
    no call between; `quiet`/`changing`: what it alone was called between gave the same again, or did not."""

    calls: int = 0
    cases: set[str] = field(default_factory=set[str])
    same: int = 0
    different: int = 0
    quiet: int = 0
    changing: int = 0
    leading: int = 0
    carried: set[str] = field(default_factory=set[str])
    texts: int = 0
    strangers: int = 0
    arguments: defaultdict[str, _Argument] = field(default_factory=lambda: defaultdict(_Argument))


class Observer:
    """Takes in the events of cases, one case after the other, each in the order of time."""

    def __init__(self) -> None:
        self._tools: defaultdict[str, _Tool] = defaultdict(_Tool)

    def case(self, id: str, seen: Iterable[Event]) -> None:
        """Take in the events of one case; those that are not calls of tools are passed over."""
        index = Index({}, facts.needs(frozenset({"targets"})), "")
        taken = 0
        last: dict[tuple[str, str], str] = {}
        between: dict[tuple[str, str], Counter[str]] = {}
        for event in seen:
            if event.hook != "tool.after" or event.error:
                continue
            for past in event.history[taken:]:
                index.add(past)
            taken = max(taken, len(event.history))
            tool = self._tools[event.name]
            tool.calls += 1
            tool.cases.add(id)
            tool.carried |= event.labels
            self._arguments(tool, event, index)
            _result(tool, event, index)
            self._repeated(event, last, between)

    def _arguments(self, tool: _Tool, event: Event, index: Index) -> None:
        leading = False
        for name, value in event.args.items():
            argument = tool.arguments[name]
            for leaf in provenance.leaves(value):
                written = literals.written(leaf.value)
                argument.values += 1
                argument.known += index.source(leaf.value) != ""
                argument.long += len(written.split()) >= FREE_TEXT
                leads = next(literals.found(written), None) is not None
                argument.leading += leads
                leading = leading or leads
        tool.leading += leading

    def _repeated(
        self, event: Event, last: dict[tuple[str, str], str], between: dict[tuple[str, str], Counter[str]]
    ) -> None:
        key, result = (event.name, _digest(dict(event.args))), _digest(event.result)
        if key in last:
            others = between[key]
            same = last[key] == result
            self._tools[event.name].same += same
            if not others:
                self._tools[event.name].different += not same
            elif len(others) == 1:  # with several between, nobody knows which it was
                (other,) = others
                self._tools[other].quiet += same
                self._tools[other].changing += not same
        for names in between.values():
            names[event.name] += 1
        last[key], between[key] = result, Counter()

    def observed(self) -> Iterator[Observed]:
        """What is proposed for each tool, by name."""
        for name, tool in sorted(self._tools.items()):
            target, payload = _arguments(tool)
            yield Observed(
                tool=name,
                calls=tool.calls,
                cases=len(tool.cases),
                labels=(
                    *(Proposal(label, "the tool says so itself") for label in sorted(tool.carried)),
                    *(proposal for proposal in _labels(tool) if proposal.value not in tool.carried),
                ),
                target=target,
                payload=payload,
                unknown=(*_unseen(tool), *UNKNOWABLE),
            )


def _result(tool: _Tool, event: Event, index: Index) -> None:
    try:
        leaves = list(provenance.leaves(events.parsed(event.result)))
    except UsageError:  # too deep to look into
        return
    texts = [literals.written(leaf.value) for leaf in leaves]
    tool.texts += any(len(text.split()) >= FREE_TEXT for text in texts)
    tool.strangers += any(index.source(found.value) == "" for text in texts for found in literals.found(text))


def _labels(tool: _Tool) -> Iterator[Proposal]:
    if _only_reads(tool):
        again = f"{tool.same} repeated calls gave the same again"
        yield Proposal("reads", f"{again}; {tool.quiet} times what was read before it was the same after it")
    elif tool.changing and tool.same and not tool.different:
        yield Proposal("idempotent", f"{tool.same} repeated calls gave the same again")
    if tool.leading:
        yield Proposal("egress", f"{tool.leading} of {tool.calls} calls had addresses or links in their arguments")
    if (tool.texts or tool.strangers) and "trusted" not in tool.carried:
        seen = [f"free text in {tool.texts} of {tool.calls} results"] if tool.texts else []
        seen += [f"addresses or links that nobody named in {tool.strangers}"] if tool.strangers else []
        yield Proposal("untrusted", "; ".join(seen))


def _only_reads(tool: _Tool) -> bool:
    # Either alone says little: a payment may answer "done" twice, and lie between readings of something else.
    return bool(tool.same and tool.quiet) and not tool.different and not tool.changing


def _arguments(tool: _Tool) -> tuple[tuple[Proposal, ...], tuple[Proposal, ...]]:
    target: list[Proposal] = []
    payload: list[Proposal] = []
    for name, argument in sorted(tool.arguments.items()):
        if argument.long:
            payload.append(Proposal(name, f"free text in {argument.long} of {argument.values} values"))
        elif argument.values and (argument.known >= KNOWN_SHARE * argument.values or argument.leading):
            target.append(Proposal(name, f"{argument.known} of {argument.values} values were said or read before"))
    return tuple(target), tuple(payload)


def _unseen(tool: _Tool) -> Iterator[str]:
    if tool.changing:
        yield f"what it changes; {tool.changing} times something read before it was another after it"
    elif tool.different:
        yield f"whether it changes anything; {tool.different} calls repeated at once gave another result"
    elif not _only_reads(tool):
        seen = f"{tool.same} calls were repeated with the same result, {tool.quiet} lay between two like readings"
        yield f"whether it changes anything (`reads`, `idempotent`); {seen}"


def _digest(value: Any) -> str:
    try:
        return canonical.digest(canonical.json_value(value))
    except UsageError:
        return ""
