"""The guard: asks the rules of all packs about an event and gives one decision."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gatewright.agents.errors import GatewrightError, UsageError
from gatewright.safety import canonical, verdicts
from gatewright.safety.approvals.terms import ApprovalTerms, joined
from gatewright.safety.verdicts import Change, Decision, Finding, RuleHit

from . import events, expressions, facts, tools
from .events import Event, Hook
from .packs import Pack
from .provenance import Index
from .rule import Rule
from .waivers import Waiver, covering

_MAX_KINDS = 4096  # combinations of hook, name and labels that are remembered
WARM = 16  # events of a kind after which the conditions of its rules are compiled together
FEW = 3  # rules that are not worth it
GROUP = 25  # conditions in one expression: a fault in one of them costs that all of them are asked one by one


class _Group(NamedTuple):
    """Rules whose conditions are compiled together."""

    rules: Sequence[Rule]
    truths: Callable[[Any], list[bool] | None]


class _Plan(NamedTuple):
    """How the rules are asked: every rule is in one of the groups, or alone."""

    together: tuple[_Group, ...]
    alone: tuple[Rule, ...]


class _Candidates:
    """The rules that look at one kind of event, and what they mention."""

    def __init__(self, hook: Hook, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self.words = frozenset[str]().union(*(rule.words for rule in rules))
        self.mentions = frozenset[str]().union(*(rule.mentions for rule in rules))
        self._hook: Hook = hook
        self._seen = 0
        tests = [(rule, None if rule.when is None else rule.when.test) for rule in rules]
        self._tests = {rule.id: test for rule, test in tests if test is not None}
        self._plan = _Plan((), self.rules)  # replaced as a whole: other threads are asking

    def asked(self, bindings: expressions.Bindings) -> Iterator[tuple[Rule, bool | None]]:
        """The rules with what their `when` gives; None where that wants a closer look, by `Rule.matches`.

        Those whose `when` is false are left out. That is most of them, so this loop is what many rules cost.
        """
        self._seen += 1
        if self._seen == WARM:  # a kind of event that keeps coming; most rule packs are loaded for a few
            self._plan = self._joined()
        plan = self._plan
        for group in plan.together:
            truths = group.truths(bindings.activation)
            if truths is not None:
                yield from ((rule, True) for rule, true in zip(group.rules, truths, strict=True) if true)
                continue
            sound = True
            for rule, holds in self._one_by_one(group.rules, bindings):
                sound = sound and holds is not None
                yield rule, holds
            if sound:  # only all of them together are too much for the engine's budget
                others = tuple(other for other in plan.together if other is not group)
                self._plan = _Plan(others, (*plan.alone, *group.rules))
        yield from self._one_by_one(plan.alone, bindings)

    def _one_by_one(self, rules: Sequence[Rule], bindings: expressions.Bindings) -> Iterator[tuple[Rule, bool | None]]:
        activation = bindings.activation
        for rule in rules:
            test = self._tests.get(rule.id)
            holds = None
            try:
                if test is not None:
                    holds = test(activation).value()
                    if holds is False:
                        continue
            except (RuntimeError, TypeError, ValueError):  # raised again, in words, when the rule is asked
                pass
            yield rule, True if holds is True else None

    def _joined(self) -> _Plan:
        joined = [rule for rule in self.rules if rule.id in self._tests]
        groups: list[_Group] = []
        for at in range(0, len(joined) if len(joined) >= FEW else 0, GROUP):
            rules = joined[at : at + GROUP]
            whens = [rule.when for rule in rules if rule.when is not None]
            truths = expressions.together(whens, events.VARIABLES[self._hook])
            if truths is not None:
                groups.append(_Group(rules, truths))
        grouped = {rule.id for group in groups for rule in group.rules}
        return _Plan(tuple(groups), tuple(rule for rule in self.rules if rule.id not in grouped))


@dataclass
class _Judgement:
    """What has been found about an event so far, over all passes; it only grows."""

    hits: dict[str, RuleHit] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    terms: list[ApprovalTerms] = field(default_factory=list)

    @property
    def verdict(self) -> verdicts.Verdict:
        found: list[verdicts.Verdict] = [hit.verdict for hit in self.hits.values() if hit.counts]
        if any(finding.denies for finding in self.findings):
            found.append("deny")
        return verdicts.strongest(found)

    def note(self, rule: Rule, kind: verdicts.FindingKind, message: str) -> None:
        message = f"rule {rule.id!r}: {message}"
        self.findings.append(Finding(rule_id=rule.id, kind=kind, message=message, mode=rule.mode))


class Guard:
    """Judges events by rule packs. Immutable, and safe to share between threads.

    Rules of several packs count alike. Whatever goes wrong with a rule denies, with a finding that names it.
    """

    def __init__(self, packs: Sequence[Pack], *, limit: int = events.EVENT_LIMIT) -> None:
        """`limit`: bytes of JSON that an event may have.

        Raises:
            UsageError: two packs of one name.
        """
        self.packs = tuple(sorted(packs, key=lambda pack: pack.name))
        for one, other in itertools.pairwise(self.packs):
            if one.name == other.name:
                raise UsageError(f"two rule packs are named {one.name!r}: {one.title}, {other.title}; rename one")
        self.title = " ".join(pack.title for pack in self.packs)
        self.digest = canonical.digest(sorted(pack.digest for pack in self.packs))
        self._limit = limit
        self._rules = [
            rule if len(self.packs) == 1 else dataclasses.replace(rule, id=f"{pack.name}/{rule.id}")
            for pack in self.packs
            for rule in pack.rules
        ]
        self._by_id = {rule.id: rule for rule in self._rules}
        self._tools: dict[str, tools.Tool] = {}
        for pack in self.packs:
            for name, tool in pack.tools.items():
                self._tools[name] = tool.join(self._tools.get(name, tools.UNKNOWN))
        self._needs = facts.needs(frozenset[str]().union(*(rule.mentions for rule in self._rules)))
        self._known: dict[tuple[Hook, str, frozenset[str]], _Candidates] = {}
        self._shared: dict[tuple[str, ...], _Candidates] = {}

    def labels(self, name: str) -> frozenset[str]:
        """The labels that the packs give to a tool or function; add them to those it carries itself."""
        return self._tools.get(name, tools.UNKNOWN).labels

    @property
    def remembers(self) -> bool:
        """Whether any rule asks what the case has said or done in a way that an index answers."""
        return bool(self._needs)

    def index(self) -> Index:
        """An empty index for one case, to be put into the events of that case; it answers for this guard alone."""
        return Index(self._tools, self._needs, self.digest)

    def wants(self, hook: Hook, name: str, labels: frozenset[str] = frozenset()) -> bool:
        """Whether any rule looks at such events; if not, `evaluate` would allow them and need not be called.

        Args:
            labels: what the effect carries itself; the packs' labels are added.
        """
        return bool(self._candidates(hook, name, labels).rules)

    def evaluate(self, event: Event, waivers: Sequence[Waiver] = ()) -> Decision:
        """What the rules say. What cannot be judged is denied: nothing that an event holds makes this raise.

        Changes are judged again until they come to rest, so what goes on is something that every rule has seen.

        Args:
            waivers: those that the time of the event has passed do not count.
        """
        candidates = self._candidates(event.hook, event.name, event.labels)
        if not candidates.rules:
            return Decision(verdict="allow", pack=self.title)
        judgement = _Judgement()
        known = event.index if event.index is not None and event.index.owner == self.digest else None
        index = functools.cache(functools.partial(self._index, event)) if known is None else lambda: known
        seen = event
        for _ in range(events.MAX_PASSES):
            changes = self._judge(seen, candidates, judgement, index, waivers)
            if judgement.verdict in ("deny", "terminate") or not changes:
                break
            following = self._changed(seen, changes, judgement)
            if following is None:
                break
            seen = following
        else:
            for hit in judgement.hits.values():
                if hit.verdict == "modify" and hit.counts:
                    judgement.note(
                        self._by_id[hit.rule_id],
                        "unstable",
                        f"its changes did not come to rest in {events.MAX_PASSES} passes",
                    )
        return self._decision(event, seen, judgement)

    def _candidates(self, hook: Hook, name: str, labels: frozenset[str]) -> _Candidates:
        key = (hook, name, labels)
        known = self._known.get(key)
        if known is None:
            carried = labels | self.labels(name)
            rules = [rule for rule in self._rules if rule.looks_at(hook, name, carried)]
            ids = (hook, *(rule.id for rule in rules))
            known = self._shared.setdefault(ids, _Candidates(hook, rules))
            if len(self._known) >= _MAX_KINDS:  # names come from models, which make some up
                self._known.clear()
            self._known[key] = known
        return known

    def _index(self, event: Event) -> Index:
        """One of the event's history, for an event that brings none which answers for this guard."""
        index = self.index()
        for past in event.history:
            index.add(past)
        return index

    def _judge(
        self,
        event: Event,
        candidates: _Candidates,
        judgement: _Judgement,
        index: Callable[[], Index],
        waivers: Sequence[Waiver],
    ) -> list[Change]:
        """Ask every rule once; gives the changes that the matching ones want."""
        changes: list[Change] = []
        closing: dict[str, list[str]] = {}
        try:
            bindings = facts.bind(
                event,
                self._tools,
                event.labels | self.labels(event.name),
                candidates.words,
                candidates.mentions,
                index,
                limit=self._limit,
            )
        except GatewrightError as error:
            for rule in candidates.rules:
                judgement.note(rule, "limit", str(error))
            return changes
        for rule, holds in candidates.asked(bindings):
            try:
                if rule.matches(bindings, holds=holds):
                    wanted = rule.changes(bindings)
                    options = rule.closings(event.args.get("options", ())) if rule.closes else ()
                    if self._hit(rule, event, bindings, judgement, waivers).counts:
                        changes += wanted
                        for option in options:
                            closing.setdefault(option, []).append(rule.id)
            except expressions.EvaluationError as error:
                judgement.note(rule, "error", str(error))
        return changes + list(_closed(closing, event.args.get("closed") or {}))

    def _hit(
        self,
        rule: Rule,
        event: Event,
        bindings: expressions.Bindings,
        judgement: _Judgement,
        waivers: Sequence[Waiver],
    ) -> RuleHit:
        if rule.id in judgement.hits:
            return judgement.hits[rule.id]
        try:
            reason = rule.reason.render(bindings)
        except expressions.EvaluationError as error:
            reason = rule.reason.text
            judgement.note(rule, "reason", str(error))
        waiver = covering(waivers, rule.id, event) if waivers else None
        hit = RuleHit(
            rule_id=rule.id,
            verdict=rule.verdict,
            reason=reason,
            mode=rule.mode,
            waived=None if waiver is None else waiver.id,
        )
        judgement.hits[rule.id] = hit
        if rule.terms is not None and hit.counts and rule.terms not in judgement.terms:
            judgement.terms.append(rule.terms)
        return hit

    def _changed(self, event: Event, changes: Sequence[Change], judgement: _Judgement) -> Event | None:
        """The event with the changes made; None if it already is so, or with a finding if they cannot be made."""
        if clash := verdicts.conflict(changes):
            one, other = clash
            places = f"{'.'.join(one.path)!r} and rule {other.rule_id!r} {'.'.join(other.path)!r}"
            message = f"changes {places} differently; make their conditions exclusive"
            judgement.note(self._by_id[one.rule_id], "conflict", message)
            return None
        try:
            return events.changed(event, changes)
        except TypeError as error:
            for change in changes:
                judgement.note(self._by_id[change.rule_id], "error", str(error))
            return None

    def _decision(self, event: Event, seen: Event, judgement: _Judgement) -> Decision:
        verdict = judgement.verdict
        goes_on = verdict in ("modify", "ask")
        result = seen.result if goes_on and seen.result is not event.result else None
        if result is not None and isinstance(event.result, str) and not isinstance(result, str):
            result = json.dumps(result, ensure_ascii=False)  # a text that was offered parsed stays a text
        return Decision(
            verdict=verdict,
            hits=tuple(sorted(judgement.hits.values(), key=lambda hit: hit.rule_id)),
            args=seen.args if goes_on and seen.args is not event.args else None,
            result=result,
            terms=joined(judgement.terms) if verdict == "ask" else None,
            pack=self.title,
            findings=tuple(sorted(judgement.findings, key=lambda finding: (finding.rule_id, finding.kind))),
        )


def _closed(closing: Mapping[str, Sequence[str]], already: Mapping[str, str]) -> Iterator[Change]:
    """Options are closed by the names of all rules that do so; one that is closed already stays as it is."""
    for option, rules in closing.items():
        if option not in already:
            yield Change(rule_id=rules[0], path=("args", "closed", option), value=", ".join(sorted(rules)))
