"""Where people can be reached: e-mail addresses, telephone numbers, addresses on the Internet."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

# RFC 5321 without quoted local parts. Possessive, and begun only where a run of characters begins: linear in the text.
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]++(?:'[\w.+%-]++){0,2}+@([\w-]++(?:\.[\w-]++)++)")
_FILES = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "ts", "html", "json", "md", "yaml"})


def emails(text: str) -> Iterator[tuple[int, int]]:
    """Where e-mail addresses stand in folded text; of any script (RFC 6531)."""
    for match in _EMAIL.finditer(text):
        last = match[1].rpartition(".")[2].lower()
        if len(last) >= 2 and not last[0].isdigit() and last not in _FILES:
            yield match.span()


# ITU-T E.164 country codes, of which none begins another.
_COUNTRY = re.compile(
    r"1[2-9][0-9]{2}[2-9][0-9]{6}$|7[0-9]{10}$|(?:2(?:0|7|1[1-368]|[2346][0-9]|5[0-8]|9[01789])|3(?:[0-469]|5[0-9]|7[0-8]|8[0-35-79])"
    r"|4(?:[013-9]|2[013])|5(?:[1-8]|0[0-9]|9[0-9])|6(?:[0-6]|7[02-9]|8[0-35-9]|9[0-2])|8(?:[1246]|0[08]|5[02356]|7[08]|8[0-368])"
    r"|9(?:[0-58]|6[0-8]|7[0-79]|9[2-8]))[0-9]{5,}$"
)
_BODY = r"[0-9](?:[ ()./\u2011-]{0,3}[0-9]){%d,14}(?![0-9A-Za-z])"
_INTERNATIONAL = re.compile(rf"(?<![\w+])(?<![0-9][ .-])\(?(?P<sign>\+ ?|00[ .-]?)(?P<number>\(?(?=[1-9]){_BODY % 6})")
_AMERICAN = re.compile(
    r"(?<![\w+.-])(?:1[-. ])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[-.])[2-9][0-9]{2}[-. ][0-9]{4}(?!\w|[-.][0-9])"
)
_TRUNK = re.compile(r"(?<![\w+.,/-])(?<![0-9] )\(?0[1-9][0-9]{0,4}\)?(?:[ ./-]{1,2}[0-9]{2,8}){1,5}(?!\w|[-./][0-9])")
_NAMED = re.compile(
    r"\b(?:(?:tele)?(?:phone|fax|fon|f[oó]no)|t[ée]l(?:[ée]phone)?|mobile|cell|whatsapp|sms|handy|cellulare"
    r"|m[óo]vil|gsm|(?:call|ring|reach) (?:me|us|him|her|them))\b"
    rf"(?:\b(?:number|no|nr|num|is|on|at|to|the|my|under)\b|[\s:.#=-]){{0,12}}(?P<number>\(?{_BODY % 6})",
    re.IGNORECASE,
)
_STEMS = (
    "phone",
    "fax",
    "fon",
    "fón",
    "tel",
    "tél",
    "mobile",
    "cell",
    "sapp",
    "sms",
    "handy",
    "vil",
    "gsm",
    "all ",
    "ring",
    "reach",
)
_KEY = re.compile(r"\b(?:tele)?(?:phone|fax|fon)\b|\b(?:tel|mobile|cell|msisdn|whatsapp)\b", re.IGNORECASE)
_ANY = re.compile(rf"(?<![0-9A-Za-z])\(?{_BODY % 6}")
_DIGITS = re.compile(r"[0-9]+")


def phones(text: str, key: str) -> Iterator[tuple[int, int]]:
    """Where telephone numbers stand in folded text.

    With a country code; as Americans write them; with a leading 0 in groups, as most others do; and any number that
    follows a word such as `phone`. Not found: national numbers without a leading 0, groups or such a word.
    """
    for match in _INTERNATIONAL.finditer(text):
        digits = "".join(_DIGITS.findall(match["number"]))
        if len(digits) >= 8 and _COUNTRY.match(digits) and (match["sign"][0] == "+" or digits != match["number"]):
            yield match.span()
    yield from (match.span() for match in _AMERICAN.finditer(text))
    for match in _TRUNK.finditer(text):
        sizes = [len(group) for group in _DIGITS.findall(match[0])]
        if 9 <= sum(sizes) <= 12 and set(sizes) != {4} and sum(sizes) - sizes[0] >= 5:
            yield match.span()
    lowered = text.lower()
    if any(stem in lowered for stem in _STEMS):  # by far the slowest pattern
        yield from (match.span("number") for match in _NAMED.finditer(text))
    if _KEY.search(key):
        yield from (match.span() for match in _ANY.finditer(text))


_V4 = re.compile(r"(?<![\w.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![\w-]|\.[0-9])")
_V6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|)(?![\w:])")
_VERSION = re.compile(r"(?:\bv|version|release|build)[ :=]{0,3}\Z", re.IGNORECASE)


def ips(text: str) -> Iterator[tuple[int, int]]:
    """Where IPv4 and IPv6 addresses stand; not loopback or unspecified ones, not what is called a version."""
    for pattern in (_V4, _V6):
        for match in pattern.finditer(text):
            try:
                address = ipaddress.ip_address(match[0])
            except ValueError:
                continue
            before = text[max(0, match.start() - 16) : match.start()]
            named = not any(map(str.isdigit, match[0]))  # `a::b` of a programming language
            if not (named or address.is_loopback or address.is_unspecified or _VERSION.search(before)):
                yield match.span()
