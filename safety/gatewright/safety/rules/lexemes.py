"""The words and signs of an expression."""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*)
      | (?P<string>[bB]?[rR][bB]?(?:'''.*?'''|\"\"\".*?\"\"\"|'[^'\n]*'|"[^"\n]*")
          | [bB]?(?:'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))
      | (?P<word>[A-Za-z_]\w*)
      | (?P<sign>[^\s\w])""",
    re.VERBOSE | re.DOTALL,
)


class Lexeme(NamedTuple):
    """A string, a word, or one character of anything else; `start` counts from 0."""

    kind: str
    text: str
    start: int


def lexemes(text: str) -> list[Lexeme]:
    """What an expression consists of, in order; without comments, spaces and numbers."""
    found = [Lexeme(match.lastgroup or "", match.group(), match.start()) for match in _TOKEN.finditer(text)]
    return [lexeme for lexeme in found if lexeme.kind != "comment"]
