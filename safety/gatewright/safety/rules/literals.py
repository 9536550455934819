"""Values as people and tools write them, in one spelling: `€1,000.00` is 1000 and `WWW.Example.com/` example.com.

Two texts are compared token by token. A token ends at white space, brackets, double quotes, `=`, `;`, `|` and commas,
and never inside of what belongs together: `2024-05-13`, `kim@example.com` and `1,000.00` are one each.
"""

from __future__ import annotations

import functools
import html
import re
import unicodedata
import urllib.parse
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from gatewright.safety.privacy import folding

Kind = Literal["link", "email", "iban", "phone"]

_LONGEST_NUMBER = 40  # characters of an account or telephone number with its spaces
_FEWEST_DIGITS = 8  # of an account number
_WIDEST = 4_096  # bits of an integer that is written in decimals
_EXACT = 1e15  # decimal numbers below have no exponent
_LONGEST_KEPT = 256  # characters of a value whose spelling is remembered: actions are judged several times
_LONGEST = 2_048  # characters of a token whose spelling is looked into; a longer one stands for itself

_LEADING = re.compile(r"[.@:&%\d]|[^\x00-\x7f]")  # without one of these, a text leads nowhere
_RUN_ON = re.compile(r"(?<=[a-z0-9][.])(?=[A-Z][a-z])")
_SCHEME = re.compile(r"(?<=[^\s<>\"])(?=(?:https?|ftp)://)", re.IGNORECASE)
_TOKEN = re.compile(
    r"""[a-zA-Z][a-zA-Z0-9+.-]{0,19}://[^\s<>"]+
      | (?:[^\s<>"()\[\]{}=;|,«»“”„]|(?<=\d),(?=\d))+""",
    re.VERBOSE,
)
# Bounded repetitions only: texts come from strangers, and this engine backtracks.
_IBAN = re.compile(
    r"""(?<![a-z0-9])[a-z]{2}\d{2}(?:
          [a-z0-9]{11,30}
          | [ ]?[a-z0-9]{4}(?:[ ]?(?=[a-z]{0,3}\d)[a-z0-9]{4}){1,6}(?:[ ]?(?=[a-z]{0,2}\d)[a-z0-9]{1,3})?
        )(?![a-z0-9])""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_PHONE = re.compile(
    r"""(?<![\w+.-])(?:
          \+\d[\d ().-]{5,20}\d | \(\d{3}\)[ ]?\d{3}[ .-]\d{4} | \d{3}[ .-]\d{3}[ .-]\d{4} | 0\d{2,4}[ /-]\d{4,8}
        )(?![\w-])""",
    re.VERBOSE | re.ASCII,
)
_DIGIT = re.compile(r"[0-9]")
_PLAIN = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?")
_THOUSANDS = re.compile(r"-?[1-9]\d{0,2}(?:[,'’]\d{3})+(?:\.\d+)?")
_EUROPEAN = re.compile(r"-?(?:[1-9]\d{0,2}(?:\.\d{3})+|0|[1-9]\d*),\d{1,2}")
_BEFORE = "'‘’`#$€£¥"
_AFTER = "'‘’`.,:!?%$€£¥…"
_LABEL = re.compile(r"[^\W_][\w-]*|[a-z0-9-]+")
_REST = re.compile(r"[/?#\\]")  # where a host ends
_WEB = re.compile(r"https?:[/\\]*(?=[^\s/\\])")  # browsers need no slashes there, and take others
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,31}(?=;));?", re.IGNORECASE)
_NETWORK = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_FILES = frozenset(
    "csv css doc docx gif gz htm html ics jpeg jpg js json log md mp3 mp4 odt pdf png ppt pptx py rtf svg tar toml ts "
    "tsv txt wav xls xlsx xml yaml yml zip".split()
)  # endings that make `report.pdf` a file and not a host


_HOSTS = frozenset("ai app biz co com dev info io me net org xyz".split())
_NATIVE = frozenset(
    "рф рус бел укр срб мкд мон бг ею қаз онлайн сайт москва 中国 中國 香港 台湾 台灣 新加坡 澳門 한국 भारत ไทย مصر "
    "السعودية امارات ایران ישראל ελ გე հայ".split()
)  # endings in other scripts, in which a full stop without a space is no sign of a host name


class Found(NamedTuple):
    """Something in a text that leads somewhere. `value` as it is written there, `spelling` to compare it by."""

    kind: Kind
    value: str
    spelling: str


def tokens(value: Any) -> list[str]:
    """The tokens of a text or number in their one spelling; empty where there is nothing to compare."""
    return [token for raw in _cut(_folded(written(value))) if (token := _spelled(raw))]


class Spelled(NamedTuple):
    """A value as it is looked up: whole, and token by token."""

    whole: str
    tokens: tuple[str, ...]


def spelled(value: Any) -> Spelled:
    """The `spelling` and the `tokens` of a value."""
    if isinstance(value, str) and len(value) > _LONGEST_KEPT:
        return Spelled(spelling(value), tuple(tokens(value)))
    return _kept(value)


@functools.lru_cache(maxsize=4_096, typed=True)
def _kept(value: Any) -> Spelled:
    return Spelled(spelling(value), tuple(tokens(value)))


def spelling(value: Any) -> str:
    """A whole value in its one spelling: equal for two values that mean the same; empty if it has no token."""
    text = _folded(written(value)).strip()
    for pattern in (_IBAN, _PHONE) if len(text) <= _LONGEST_NUMBER else ():
        if pattern.fullmatch(text):
            return _compact(text)
    return " ".join(tokens(text))


def found(text: str) -> Iterator[Found]:
    """The links, e-mail addresses, account and telephone numbers in a text, read without invisible characters."""
    if _LEADING.search(text) is None:
        return
    text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text) if "&" in text else text
    shown = text if text.isascii() else _shown(text)
    some = " ".join(word for word in shown.split() if "." in word or "@" in word or ":" in word or "%" in word)
    for raw in _cut(some):
        for written in (raw, urllib.parse.unquote(raw)) if "%" in raw else (raw,):
            bare = _bare(written)
            token = _spelled(bare.casefold())
            kind = _kind(bare, token)
            if kind is not None:
                yield Found(kind, bare.lstrip(_BEFORE).rstrip(_AFTER + ")]}*"), token)
                break
    yield from numbers(shown)


def numbers(text: str) -> Iterator[Found]:
    """The account and telephone numbers in a text, which may be written with spaces."""
    if _DIGIT.search(text) is None:
        return
    rest, end = [], 0
    for match in _IBAN.finditer(text):
        if sum(map(str.isdigit, match[0])) >= _FEWEST_DIGITS:
            rest.append(text[end : match.start()])
            end = match.end()
            yield Found("iban", match[0], _compact(match[0].casefold()))
    for match in _PHONE.finditer(" ".join((*rest, text[end:]))):
        yield Found("phone", match[0], _compact(match[0]))


def apart(text: str) -> str:
    """`text` with a space before each sentence that begins right behind a full stop: `see example.com.They know`.

    For what people write, and never for a value that is compared with it: `kim@example.com.Me` is another address.
    """
    return _RUN_ON.sub(" ", text)


def written(value: Any) -> str:
    """A scalar of JSON as people would write it."""
    if isinstance(value, float) and abs(value) < _EXACT:
        return format(Decimal(repr(value)), "f")
    if isinstance(value, int) and value.bit_length() > _WIDEST:
        return hex(value)  # Python refuses to write thousands of digits
    return str(value)


def _cut(text: str) -> list[str]:
    return _TOKEN.findall(_SCHEME.sub(" ", text) if "://" in text else text)


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def _shown(text: str) -> str:
    """As a browser would follow it: nothing invisible in between, and the full stops that host names may have."""
    return unicodedata.normalize("NFKC", folding.folded(text).text).replace("\u3002", ".")


def _bare(raw: str) -> str:
    """Without what emphasises it in Markdown, and without the slashes of a link that names no scheme."""
    bare = raw.lstrip(_BEFORE + "*~!").rstrip(_AFTER + "*~")
    if bare[:1] == "_" == bare[-1:]:
        bare = bare.strip("_")
    return bare.lstrip("/\\") if bare[:2] in ("//", "\\\\") else bare


def _compact(text: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", text)


@functools.lru_cache(maxsize=16_384)
def _spelled(raw: str) -> str:
    """The one spelling of a token that was cut out of a folded text."""
    if raw.isalpha():
        return raw
    token = raw.lstrip(_BEFORE).rstrip(_AFTER)
    if "://" in token and not any(bracket in token for bracket in "([{"):
        token = token.rstrip(_AFTER + ")]}*")
    if len(token) > _LONGEST:
        return token
    for suffix in ("'s", "’s"):
        token = token.removesuffix(suffix)
    if token[:1].isdigit() or token[:1] == "-":
        return _number(token)
    if web := _WEB.match(token):
        token = token[web.end() :]
    for prefix in ("mailto:", "tel:", "www."):
        token = token.removeprefix(prefix)
    return token.rstrip("/") or token


def _number(token: str) -> str:
    if _THOUSANDS.fullmatch(token):
        plain = re.sub("[,'’]", "", token)
    elif _EUROPEAN.fullmatch(token):
        plain = token.replace(".", "").replace(",", ".")
    elif _PLAIN.fullmatch(token):
        plain = token
    else:
        return token  # a date, a version, an identifier with leading zeros
    whole, point, rest = plain.partition(".")
    rest = rest.rstrip("0")
    return whole + (point + rest if rest else "")


def _kind(raw: str, token: str) -> Kind | None:
    if "://" in raw:
        return "link"
    if "@" in token:
        name, _, host = token.rpartition("@")
        if name and "." in host:
            return "email"
    if raw.lstrip(_BEFORE).startswith("www."):
        return "link"
    behind = _REST.search(token)
    rest = token[behind.start() :] if behind is not None else ""
    host, port, _ = token.removesuffix(rest).partition(":")
    labels = host.split(".")
    leads = rest.startswith(("/", "\\"))
    if _NETWORK.fullmatch(host):
        return "link" if leads or port else None  # else it may be a version
    if len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):
        return None
    ending = labels[-1]
    if "_" in host and (any("_" in label for label in labels[-2:]) or not (leads or ending in _HOSTS)):
        return None  # a name in a program: `self_test.body`
    if ending in _NATIVE or ending.startswith("xn--"):
        return "link"
    if len(ending) < 2 or not ending.isascii() or not ending.isalpha():
        return None
    if ending not in _HOSTS:
        if not any(len(label) > 1 for label in labels[:-1]):
            return None
        if not leads and ending not in raw and ending.upper() not in raw:
            return None  # a sentence that begins without a space: `done.Then`
    return "link" if leads or ending not in _FILES else None
