"""Text as a detector should read it: one spelling for digits, hyphens and spaces, and nothing invisible in between.

`٤١١١`, `４１１１` and `4\u200b111` all read `4111`. Letters keep their script: folding look-alikes (Unicode TR 39)
would change the words of people who write in other scripts.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

_DASHES = frozenset("\u2212\u30fc\uff70")  # minus and long-vowel marks, which are used as hyphens and are not Pd


class Folded(NamedTuple):
    """`text` as it reads. `places[i]` is where its character `i` stands in the original; None: at the same place."""

    text: str
    places: Sequence[int] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The part of the original that reads as `text[start:end]`, with invisible characters between."""
        if self.places is None:
            return start, end
        return self.places[start], self.places[end - 1] + 1


class _Table(dict[int, int | None]):
    """What each character reads as; None: it is not seen. Filled as characters are met, so bounded by Unicode."""

    def __missing__(self, code: int) -> int | None:
        found = self[code] = _reads_as(chr(code))
        return found


def _reads_as(character: str) -> int | None:
    if character.isascii():
        return ord(character)
    category = unicodedata.category(character)
    if category in ("Cf", "Mn", "Me"):  # format characters and marks that take no place of their own
        return None
    if category == "Nd":
        return ord(str(unicodedata.decimal(character)))
    if category == "Zs":
        return ord(" ")
    if category == "Pd" or character in _DASHES:
        return ord("-")
    plain = unicodedata.normalize("NFKC", character)
    return ord(plain) if len(plain) == 1 else ord(character)


_TABLE = _Table()


def folded(text: str) -> Folded:
    """Fold `text`; linear in its length, and free for ASCII."""
    if text.isascii():
        return Folded(text, None)
    hidden = {character for character in set(text) if _TABLE[ord(character)] is None}
    reads = text.translate(_TABLE)
    if not hidden:
        return Folded(reads, None)
    return Folded(reads, [place for place, character in enumerate(text) if character not in hidden])
