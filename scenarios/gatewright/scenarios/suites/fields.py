"""The fields that a check reads of effects, decisions and approvals: a misspelt one is found without any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gatewright.safety.rules.lexemes import Lexeme, lexemes

FIELDS: Mapping[str, tuple[str, ...]] = {
    "effects": ("kind", "name", "args", "result", "outcome", "verdict", "rules", "approver", "agent"),
    "decisions": ("point", "option", "features", "closed", "policy", "propensity", "reason"),
    "approvals": ("kind", "name", "args", "state", "decision", "rules", "roles"),
}
"""What each element of a list has, by the variable."""

Scope = Mapping[str, str]
"""The list that a word is an element of; empty for a word that stands for something else."""


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """A field that no element of a list has; `start` counts characters of the text from 0."""

    variable: str
    field: str
    start: int


def unknown(text: str) -> list[Unknown]:
    """The fields that a condition reads by a literal name and that are not there, in order.

    It follows indices, `filter`, and the words that macros bind. What it cannot follow (the result of `map`, a value
    under another name) is not looked at, so all that it names is wrong.
    """
    reading = _Reading(lexemes(text))
    reading.part(0, len(reading.lexemes), {})
    return reading.found


@dataclass
class _Reading:
    lexemes: Sequence[Lexeme]
    found: list[Unknown] = field(default_factory=list[Unknown])

    def part(self, at: int, end: int, scope: Scope) -> None:
        """Look at the lexemes from `at` to before `end`."""
        while at < end:
            lexeme = self.lexemes[at]
            if lexeme.kind != "word" or self._selected(at):
                at += 1
            elif lexeme.text in scope:
                at = self._element(at + 1, scope[lexeme.text])
            elif lexeme.text in FIELDS:
                at = self._list(at + 1, lexeme.text, scope)
            elif self._binds(at + 1):
                at = self._macro(at + 1, "", scope)
            else:
                at += 1
            if self._binds(at):  # of something that is no list of ours: what it binds hides words of the same name
                at = self._macro(at, "", scope)

    def _list(self, at: int, variable: str, scope: Scope) -> int:
        """What follows a list; gives where that ends."""
        while True:
            if self._text(at) == "[":
                close = self._close(at)
                self.part(at + 1, close, scope)
                return self._element(close + 1, variable)
            if not self._binds(at):
                return at
            kept = self._text(at + 1) == "filter"
            at = self._macro(at, variable, scope)
            if not kept:
                return at

    def _macro(self, at: int, variable: str, scope: Scope) -> int:
        """`.filter(word, ...)` and its like at its dot; the word stands for an element of the variable."""
        close = self._close(at + 2)
        bound = {self._text(at + 3): variable}
        body = at + 5
        if self._kind(body) == "word" and self._text(body + 1) == ",":  # with an index, or a condition that is a word
            bound = {self._text(at + 3): "", self._text(body): ""}
        self.part(body, close, {**scope, **bound})
        return close + 1

    def _element(self, at: int, variable: str) -> int:
        """A field that is selected from an element; gives where what follows begins."""
        if not variable:
            return at
        sign = self._text(at)
        name = at + (2 if self._text(at + 1) == "?" else 1)
        if sign == "." and self._kind(name) == "word":
            self._known(variable, self.lexemes[name].text, name)
            return name + 1
        literal = self._kind(name) == "string" and self._text(name)[0] in "'\"" and self._text(name + 1) == "]"
        if sign == "[" and literal:
            self._known(variable, self._text(name).strip("'\""), name)
            return name + 2
        return at

    def _known(self, variable: str, name: str, at: int) -> None:
        if name not in FIELDS[variable]:
            self.found.append(Unknown(variable=variable, field=name, start=self.lexemes[at].start))

    def _binds(self, at: int) -> bool:
        return (
            [self._text(at), self._text(at + 2), self._text(at + 4)] == [".", "(", ","]
            and self._kind(at + 1) == "word"
            and self._kind(at + 3) == "word"
        )

    def _selected(self, at: int) -> bool:
        """Whether the word is a field of what stands before it: `a.word`, `a.?word`."""
        before = self._text(at - 1) if at else ""
        return before == "." or (before == "?" and at > 1 and self._text(at - 2) == ".")

    def _close(self, at: int) -> int:
        """Where the bracket that opens at `at` is closed."""
        depth = 0
        for place in range(at, len(self.lexemes)):
            if self.lexemes[place].kind == "sign":
                depth += (self.lexemes[place].text in "([{") - (self.lexemes[place].text in ")]}")
            if depth == 0:
                return place
        return len(self.lexemes)

    def _text(self, at: int) -> str:
        return self.lexemes[at].text if at < len(self.lexemes) else ""

    def _kind(self, at: int) -> str:
        return self.lexemes[at].kind if at < len(self.lexemes) else ""
