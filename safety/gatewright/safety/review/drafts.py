"""A rule pack together with its text: what tests, comparisons and reviews of packs work on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from gatewright.safety.rules import examples, sources
from gatewright.safety.rules.documents import PackText, RuleText
from gatewright.safety.rules.events import Event
from gatewright.safety.rules.guard import Guard
from gatewright.safety.rules.packs import Pack
from gatewright.safety.rules.rule import Rule
from gatewright.safety.rules.schemas import Tools
from gatewright.safety.rules.sources import Source

Expected = Literal["match", "pass"]
"""What an example is for: `match`, the rule must match it · `pass`, it must not."""


class Sample(NamedTuple):
    """An example of a rule, with the event that it stands for. `at` counts from 1 among those of its kind."""

    rule: Rule
    expected: Expected
    at: int
    line: int
    event: Event

    def __str__(self) -> str:
        return f"{self.rule.id} {self.expected} {self.at}"


@dataclass(frozen=True)
class Draft:
    """A checked pack, with the file it was read from. Every rule of the document is in the pack, in the same order."""

    source: Source
    document: PackText
    pack: Pack
    tools: Tools | None = None

    @cached_property
    def rules(self) -> tuple[tuple[Rule, RuleText], ...]:
        """The rules that are written in the file, with their text."""
        return tuple(zip(self.pack.rules, self.document.rules, strict=False))  # `defaults` come last, without a text

    @cached_property
    def guard(self) -> Guard:
        """The pack alone, as it judges."""
        return Guard([self.pack])

    def samples(self, *, beside: Sequence[Rule] = ()) -> Iterator[Sample]:
        """The examples of all rules, in the order of the file.

        Args:
            beside: rules of other packs that are asked about them.
        """
        for number, (rule, text) in enumerate(self.rules):
            for kind, given in (("match", text.examples.match), ("pass", text.examples.passes)):
                expected: Expected = "match" if kind == "match" else "pass"
                for at, example in enumerate(given):
                    line = self.source.line(("rules", number, "examples", kind, at))
                    event = examples.event(rule, example, self.pack.tools, beside=(*self.pack.rules, *beside))
                    yield Sample(rule, expected, at + 1, line, event)


def read(path: Path, *, tools: Tools | None = None) -> Draft:
    """The draft in a file; see `parse`.

    Raises:
        PackError: everything that is wrong with it.
        UnavailableError: the file cannot be read.
    """
    return parse(sources.read(path), file=str(path), tools=tools)


def parse(text: str, *, file: str = "<text>", tools: Tools | None = None) -> Draft:
    """The draft with this text; `tools` as for `Pack.parse`.

    Raises:
        PackError: everything that is wrong with it.
    """
    pack = Pack.parse(text, file=file, tools=tools)
    source = sources.parse(text, file)
    return Draft(source, PackText.model_validate(source.data), pack, tools)
