"""Personal data and secrets in values: where they are, and the value without them.

Every detector takes time linear in the length of the text, and reads text as people do: digits of any script,
invisible characters, odd hyphens make no difference. What is not found: names and postal addresses, what is spelled
out in words, split over several values, or encoded (base64, percent signs); see `docs/privacy.md`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast, get_args

from gatewright.agents.errors import LimitError, UsageError
from gatewright.safety.canonical import MAX_DEPTH

from . import contacts, credentials, nationalids, payments
from .folding import folded

Kind = Literal["email", "phone", "card", "iban", "national_id", "ip", "secret"]
"""`national_id`: US SSN, UK NI number, DE Steuer-ID, FR NIR, ES DNI/NIE, NL BSN, BE national number, PL PESEL, IT
codice fiscale · `secret`: keys with known prefixes, private keys, JSON Web Tokens, what is assigned to a password."""

KINDS: frozenset[Kind] = frozenset(get_args(Kind))
LIMIT = 131_072  # characters of all texts in a value: what takes a third of a second at worst
MAX_KEY = 128  # characters of an object's key that are looked at
MAX_PASSES = 4  # over a text, until nothing is found in what is left


class Found(NamedTuple):
    """A place in a text: `text[start:end]`."""

    kind: Kind
    start: int
    end: int


# Numbers that mean something else, whatever their digits check to: UUIDs, dates, times.
_OTHERWISE = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
    r"|[0-9]{1,2}([./-])[0-9]{1,2}\1(?:19|20)[0-9]{2})(?![0-9A-Za-z]|[-./][0-9])"
)


def find(text: str, kinds: Collection[Kind] = KINDS, *, key: str = "") -> list[Found]:
    """What of these kinds is in `text`, in order, without overlaps: where several overlap, the longest names all.

    Args:
        key: the name that the text has in the object it is from; `bsn` or `phone` say what a bare number is.

    Raises:
        UsageError: an unknown kind.
    """
    if unknown := set(kinds) - KINDS:
        raise UsageError(f"unknown kind {min(unknown)!r} of personal data; known are {', '.join(sorted(KINDS))}")
    reads = folded(text)
    found = [Found(kind, *reads.span(start, end)) for kind, start, end in _spans(reads.text, kinds, key)]
    return list(_merged(sorted(found, key=lambda one: (one.start, -one.end))))


def kinds(value: Any) -> list[Kind]:
    """The kinds that occur anywhere in a JSON value, sorted.

    Raises:
        LimitError: more than 128 levels, or texts of more than `LIMIT` characters.
    """
    return sorted({found.kind for text, key in _checked(value) for found in find(text, key=key)})


def redact(value: Any, kinds: Collection[Kind] = KINDS) -> Any:
    """The JSON value with everything of these kinds replaced by `[kind]`, in texts at any depth, and in keys.

    Numbers that read as one become such a text. Keys that became alike are numbered: `[email]`, `[email] 2`.
    Redacting again changes nothing.

    Raises:
        UsageError: an unknown kind.
        LimitError: more than 128 levels, or texts of more than `LIMIT` characters.
    """
    _checked(value)
    return _redacted(value, kinds, "", 0)


def masked(text: str, kinds: Collection[Kind] = KINDS, *, key: str = "") -> str:
    """The text with everything of these kinds replaced by `[kind]`.

    >>> masked("write to kim@example.org or +49 30 901820")
    'write to [email] or [phone]'
    """
    for _ in range(MAX_PASSES):
        found = find(text, kinds, key=key)
        if not found:
            return text
        parts: list[str] = []
        end = 0
        for one in found:
            parts += [text[end : one.start], f"[{one.kind}]"]
            end = one.end
        text = "".join([*parts, text[end:]])
    return "[withheld]" if find(text, kinds, key=key) else text  # made to be found again and again: nothing of it


def _spans(text: str, kinds: Collection[Kind], key: str) -> Iterator[Found]:
    key = _TAG.sub("", key[:MAX_KEY]).replace("_", " ").replace("-", " ")
    if "secret" in kinds:
        if credentials.names_secret(key) and credentials.is_secret(text):
            yield Found("secret", 0, len(text))
        yield from _of("secret", credentials.spans(text))
    if "email" in kinds and "@" in text:
        yield from _of("email", contacts.emails(text))
    if "ip" in kinds:
        yield from _of("ip", contacts.ips(text))
    text = _OTHERWISE.sub(lambda match: "x" * len(match[0]), text)
    numbers: dict[Kind, Callable[[], Iterable[tuple[int, int]]]] = {
        "card": lambda: payments.cards(text, key),
        "iban": lambda: payments.ibans(text),
        "national_id": lambda: nationalids.spans(text, key),
        "phone": lambda: contacts.phones(text, key),
    }
    if _DIGITS.search(text):
        for kind, spans in numbers.items():
            if kind in kinds:
                yield from _of(kind, spans())


_TAG = re.compile(r"\[[a-z_]+\]")  # what `redact` has put there says nothing about the value
_DIGITS = re.compile(r"[0-9](?:[^0-9]{0,3}[0-9]){5}")  # fewer make up no number that is looked for


def _of(kind: Kind, spans: Iterable[tuple[int, int]]) -> Iterator[Found]:
    return (Found(kind, start, end) for start, end in spans)


def _merged(ordered: Iterable[Found]) -> Iterator[Found]:
    last: Found | None = None
    longest = 0
    for one in ordered:
        size = one.end - one.start
        if last is None or one.start >= last.end:
            if last is not None:
                yield last
            last, longest = one, size
        else:
            kind = one.kind if size > longest else last.kind
            last, longest = Found(kind, last.start, max(last.end, one.end)), max(longest, size)
    if last is not None:
        yield last


def _number(value: float) -> str:
    """A number as its digits; empty where it is none that somebody could be found by."""
    whole = not isinstance(value, float) or value.is_integer()
    return str(int(value)) if whole and abs(value) < 10**20 else ""


def _deeper(depth: int) -> int:
    if depth >= MAX_DEPTH:
        raise LimitError(f"a value is nested more than {MAX_DEPTH} levels deep; flatten it")
    return depth + 1


def _checked(value: Any) -> list[tuple[str, str]]:
    texts = list(_texts(value))
    if (size := sum(len(text) for text, _key in texts)) > LIMIT:
        raise LimitError(f"the value has {size} characters, personal data is looked for in {LIMIT} at most; cut it")
    return texts


def _texts(value: Any, key: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """All texts in a value with their keys, keys themselves and numbers among them."""
    if isinstance(value, str):
        yield value, key
    elif isinstance(value, Mapping):
        depth = _deeper(depth)
        for name, entry in cast("Mapping[str, Any]", value).items():
            yield name, ""
            yield from _texts(entry, name, depth)
    elif isinstance(value, (list, tuple)):
        depth = _deeper(depth)
        for entry in cast("Sequence[Any]", value):
            yield from _texts(entry, key, depth)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield _number(value), key


def _redacted(value: Any, kinds: Collection[Kind], key: str, depth: int) -> Any:
    if isinstance(value, str):
        return masked(value, kinds, key=key)
    if isinstance(value, Mapping):
        depth = _deeper(depth)
        entries = cast("Mapping[str, Any]", value)
        names: dict[str, str] = {}
        for name in sorted(entries):  # numbered the same in whatever order they come
            names[name] = _fresh(masked(name, kinds), names.values())
        return {names[name]: _redacted(entry, kinds, name, depth) for name, entry in entries.items()}
    if isinstance(value, (list, tuple)):
        depth = _deeper(depth)
        return [_redacted(entry, kinds, key, depth) for entry in cast("Sequence[Any]", value)]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        digits = _number(value)
        shown = masked(digits, kinds, key=key)
        return value if shown == digits else shown
    return value


def _fresh(name: str, taken: Collection[str]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name} {number}" in taken:
        number += 1
    return f"{name} {number}"
