"""Secrets in text: keys by the prefixes of their issuers, private keys, tokens, and what is assigned to a password.

Prefixes are those that the issuers document so that scanners find them (GitHub, GitLab, Slack, Stripe, AWS, ...).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_KEYS = re.compile(
    r"""(?<![A-Za-z0-9]) (?:
        (?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}                       # AWS access key ids
      | gh[pousr]_[A-Za-z0-9]{30,255} | github_pat_[A-Za-z0-9_]{22,255}
      | gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat)-[A-Za-z0-9_.-]{20,255}
      | xox[abeoprs]-[A-Za-z0-9-]{10,255} | xapp-[A-Za-z0-9-]{10,255}
      | sk-[A-Za-z0-9_-]{20,255}                                  # OpenAI, Anthropic and those who follow them
      | (?:sk|rk|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,255}       # Stripe
      | AIza[A-Za-z0-9_-]{35} | ya29\.[A-Za-z0-9_-]{20,255} | GOCSPX-[A-Za-z0-9_-]{20,64}
      | npm_[A-Za-z0-9]{36} | pypi-[A-Za-z0-9_-]{50,255} | hf_[A-Za-z0-9]{30,64} | gsk_[A-Za-z0-9]{40,64}
      | SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}            # SendGrid
      | key-[0-9a-f]{32} | shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32} | do[opr]_v1_[0-9a-f]{64} | glsa_[A-Za-z0-9_]{32,64}
      ) [A-Za-z0-9_-]*+
      | (?<![A-Za-z0-9_-]) eyJ[A-Za-z0-9_-]{8,}+ \.eyJ[A-Za-z0-9_-]{2,}+ \.[A-Za-z0-9_-]*+  # JWT, RFC 7519
    """,
    re.VERBOSE,
)
_HEADER = re.compile(r"(?<![A-Za-z0-9])(?:bearer|basic|token)[ \t]{1,4}([A-Za-z0-9._~+/=-]{16,}+)", re.IGNORECASE)
_LOGIN = re.compile(r"://[^\s/:@?#]{0,256}:([^\s/@]{1,256})@")
_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----")

_NAME = (
    r"(?:pass(?:word|wd|phrase|code)?|pwd|secret|(?:api|access|private|secret|signing|encryption|account)[_ -]?key"
    r"|(?:access|refresh|auth|api|bearer|session)[_ -]?token|client[_ -]?secret|credentials?)"
)
_ASSIGNED = re.compile(
    rf"""(?<![A-Za-z]){_NAME}["']?[ \t]{{0,4}}(?P<sign>=|:=|=>|:|\bis\b)[ \t]{{0,4}}
         (?:"(?P<double>[^"\n]{{4,512}})"|'(?P<single>[^'\n]{{4,512}})'|(?P<bare>[^\s"'`,;<>\[\]{{}}()&]{{4,}}+))""",
    re.VERBOSE | re.IGNORECASE,
)
_STEMS = ("pass", "pwd", "secret", "key", "token", "credential")
_TOKEN = re.compile(r"(?<![A-Za-z])token[\"']?[ \t]{0,4}[=:][ \t]{0,4}[\"']?([A-Za-z0-9._~+/=-]{16,}+)", re.IGNORECASE)
_KEY = re.compile(rf".*{_NAME}", re.IGNORECASE)
_STAND_IN = re.compile(
    r"\$\{?[A-Za-z_]\w*\}?|%\w+%|<[^<>]*>|\{\{[^{}]*\}\}|\[[a-z_]+\]|[*•.x…_-]+|null|none|true|false|undefined|redacted",
    re.IGNORECASE,
)


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Where secrets stand in folded text."""
    yield from (match.span() for match in _KEYS.finditer(text))
    for match in _HEADER.finditer(text):
        if _mixed(match[1]):
            yield match.span(1)
    yield from (match.span(1) for match in _LOGIN.finditer(text) if not _STAND_IN.fullmatch(match[1]))
    yield from (match.span(1) for match in _TOKEN.finditer(text) if _mixed(match[1]))
    lowered = text.lower()
    if any(stem in lowered for stem in _STEMS):  # by far the slowest pattern
        yield from _assigned(text)
    yield from _private_keys(text)


def _assigned(text: str) -> Iterator[tuple[int, int]]:
    for match in _ASSIGNED.finditer(text):
        group = match.lastgroup or "bare"
        value = match[group]
        if not _STAND_IN.fullmatch(value) and (group != "bare" or match["sign"] == "=" or _mixed(value)):
            yield match.span(group)


def names_secret(key: str) -> bool:
    """Whether an object's key says that its value is a secret: `password`, `db_password`, `api-key`."""
    return _KEY.fullmatch(key) is not None


def is_secret(value: str) -> bool:
    """Whether a text under such a key is one, and not a stand-in for one or a sentence about it."""
    return len(value) >= 4 and " " not in value.strip() and not _STAND_IN.fullmatch(value)


def _private_keys(text: str) -> Iterator[tuple[int, int]]:
    """Private key blocks in PEM or PGP armour; one without an end runs to the end of the text."""
    at = 0
    while begin := _BEGIN.search(text, at):
        end = _END.search(text, begin.end())
        at = len(text) if end is None else end.end()
        yield begin.start(), at


def _mixed(value: str) -> bool:
    """Whether it looks drawn by chance and not written: letters with digits or signs among them."""
    return any(map(str.isalpha, value)) and any(not character.isalpha() for character in value.strip(".:!?"))
