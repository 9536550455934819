"""Long texts in a file of episodes: written once, and named by their digest wherever they come again."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, cast

from gatewright.agents.errors import IntegrityError

LONG = 160  # characters from which on a text is written by itself
KEPT = 4096  # texts that are known at a time, the newest; an older one is written again

_TEXT = "$text"
_PAIRS = "$pairs"


class Texts:
    """The texts that writer and reader of one file know at a place in it. Both forget alike, so memory is bounded."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def add(self, text: str) -> str:
        """Take in a text; gives its digest."""
        digest = digest_of(text)
        self._known[digest] = text
        if len(self._known) > KEPT:
            del self._known[next(iter(self._known))]
        return digest

    def knows(self, digest: str) -> bool:
        """Whether the text of this digest need not be written (again)."""
        return digest in self._known

    def folded(self, value: Any, news: list[str]) -> Any:
        """A JSON value with references for its long texts; those that are not known are added to `news`, and known."""
        if isinstance(value, str):
            if len(value) < LONG:
                return value
            digest = digest_of(value)
            if not self.knows(digest):
                news.append(value)
                self.add(value)
            return {_TEXT: digest}
        if isinstance(value, Mapping):
            items = [(key, self.folded(item, news)) for key, item in cast("Mapping[str, Any]", value).items()]
            if any(key.startswith("$") for key, _ in items):  # not to be taken for a reference
                return {_PAIRS: [list(pair) for pair in items]}
            return dict(items)
        if isinstance(value, list | tuple):
            return [self.folded(item, news) for item in value]
        return value

    def unfolded(self, value: Any) -> Any:
        """What was folded.

        Raises:
            IntegrityError: it refers to a text that is not there.
        """
        if isinstance(value, dict):
            given = cast("dict[str, Any]", value)
            if _TEXT in given:
                return self._found(given[_TEXT])
            if _PAIRS in given:
                return {key: self.unfolded(item) for key, item in given[_PAIRS]}
            return {key: self.unfolded(item) for key, item in given.items()}
        if isinstance(value, list):
            return [self.unfolded(item) for item in value]
        return value

    def _found(self, digest: Any) -> str:
        text = self._known.get(digest) if isinstance(digest, str) else None
        if text is None:
            raise IntegrityError(f"it refers to the text {digest!r}, which is not in the file before it")
        return text


def digest_of(text: str) -> str:
    """SHA-256 of the text's UTF-8, hex."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
