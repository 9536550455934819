"""Numbers that states give to people, told apart from other numbers by their check digits.

Each function takes the digits (and letters, upper case) without separators and says whether they can be such a
number. Sources: US SSA POMS RM 10201.035 (numbers never given out); UK HMRC NIM39110; DE Steueridentifikationsnummer,
ISO 7064 MOD 11,10 over BZSt's rules; FR NIR, INSEE; ES Real Decreto 1553/2005 (letter by remainder of 23); NL BSN,
"elfproef", RvIG; BE Koninklijk besluit of 3 April 1984; PL PESEL, Ministry of Digital Affairs; IT DM 23 December 1976.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple


def us_ssn(digits: str) -> bool:
    """Never given out: areas 000, 666 and 900-999, group 00, serial 0000, and two numbers of advertisements."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return (
        area not in ("000", "666")
        and area < "900"
        and group != "00"
        and serial != "0000"
        and digits not in ("078051120", "219099999")
    )


def uk_nino(text: str) -> bool:
    """Prefixes that are not given out are excluded; there is no check digit."""
    return text[0] not in "DFIQUV" and text[1] not in "DFIOQUV" and text[:2] not in _NO_NINO


def de_steuer_id(digits: str) -> bool:
    """Of the first ten digits one occurs twice or three times, the others once; the last checks."""
    counts = sorted(map(digits[:10].count, set(digits[:10])))
    if digits[0] == "0" or counts[-1] not in (2, 3) or counts[-2] != 1:
        return False
    product = 10
    for digit in digits[:10]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def fr_nir(text: str) -> bool:
    """Corsica's departments 2A and 2B count as 19 and 18."""
    month = int(text[3:5])
    body = text[:13].replace("2A", "19", 1) if text[5:7] == "2A" else text[:13].replace("2B", "18", 1)
    if text[0] not in "123478" or not (1 <= month <= 12 or 20 <= month <= 42 or month >= 50) or not body.isdigit():
        return False
    return 97 - int(body) % 97 == int(text[13:])


def es_dni(text: str) -> bool:
    """NIE begin with X, Y or Z, which count as 0, 1 and 2."""
    number = text[:-1].translate({ord("X"): "0", ord("Y"): "1", ord("Z"): "2"})
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == text[-1]


def nl_bsn(digits: str) -> bool:
    """The test by eleven, the last digit counted negative."""
    total = sum(weight * int(digit) for weight, digit in zip((9, 8, 7, 6, 5, 4, 3, 2, -1), digits, strict=True))
    return total % 11 == 0 and digits.strip("0") != ""


def be_national(digits: str) -> bool:
    """For people born from 2000 on, a 2 is put before. Month 00 and beyond 12: unknown, or a bis number."""
    month, day = int(digits[2:4]), int(digits[4:6])
    body, check = int(digits[:9]), int(digits[9:])
    if month > 52 or month % 20 > 12 or day > 31:
        return False
    return check in (97 - body % 97, 97 - (2_000_000_000 + body) % 97)


def pl_pesel(digits: str) -> bool:
    """The century is added to the month in steps of 20."""
    if not 1 <= int(digits[2:4]) % 20 <= 12 or not 1 <= int(digits[4:6]) <= 31:
        return False
    total = sum(weight * int(digit) for weight, digit in zip((1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), digits, strict=True))
    return total % 10 == 0


def it_codice_fiscale(text: str) -> bool:
    """Letters may stand for digits where two people would share a code."""
    total = 0
    for at, character in enumerate(text[:15]):
        value = int(character) if character.isdigit() else ord(character) - ord("A")
        total += value if at % 2 else _ODD[value]
    return total % 26 == ord(text[15]) - ord("A")


NEAR = 40  # characters before a number in which a word says what it is
_SEPARATORS = re.compile(r"[ .-]")
_NO_NINO = frozenset({"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"})
_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)


class Scheme(NamedTuple):
    """How numbers of one kind are written, and what tells them apart.

    `shape` matches a candidate with separators. `words`: what must stand before it (or be its key) where `check` alone
    would take one in ten or so of other numbers for one; None: the check is enough.
    """

    shape: re.Pattern[str]
    check: Callable[[str], bool]
    words: re.Pattern[str] | None = None


def _scheme(shape: str, check: Callable[[str], bool], words: str | None = None) -> Scheme:
    around = rf"(?<![0-9A-Za-z])(?<![0-9][-.])(?:{shape})(?![0-9A-Za-z]|[-.][0-9])"
    return Scheme(re.compile(around, re.IGNORECASE), check, None if words is None else re.compile(words, re.IGNORECASE))


_SSN_WORDS = r"\bssn\b|social.?security|\bitin\b"
_D = "[0-9LMNPQRSTUV]"

SCHEMES = (
    _scheme(r"\d{3}-\d{2}-\d{4}", us_ssn),
    _scheme(r"\d{3} ?\d{2} ?\d{4}", us_ssn, _SSN_WORDS),
    _scheme(r"[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]", uk_nino),
    _scheme(r"\d{2} ?\d{3} ?\d{3} ?\d{3}", de_steuer_id),
    _scheme(r"[1-478] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", fr_nir),
    _scheme(r"(?:\d{8}|[XYZ][- ]?\d{7})[- ]?[A-Z]", es_dni),
    _scheme(r"\d{9}|\d{4}[. ]\d{2}[. ]\d{3}|\d{3}[. ]\d{3}[. ]\d{3}", nl_bsn, r"\bbsn\b|burgerservice|sofi.?nummer"),
    _scheme(r"\d{2}\.?\d{2}\.?\d{2}[- ]?\d{3}[-. ]?\d{2}", be_national),
    _scheme(r"\d{11}", pl_pesel, r"pesel"),
    _scheme(rf"[A-Z]{{6}} ?{_D}{{2}}[ABCDEHLMPRST]{_D}{{2}} ?[A-Z]{_D}{{3}}[A-Z]", it_codice_fiscale),
)


def spans(text: str, key: str) -> Iterator[tuple[int, int]]:
    """Where such numbers stand in folded text; `key` names the value in the object it is from."""
    for scheme in SCHEMES:
        if scheme.words is not None and not (scheme.words.search(text) or scheme.words.search(key)):
            continue
        for match in scheme.shape.finditer(text):
            if scheme.check(_SEPARATORS.sub("", match[0]).upper()) and (
                scheme.words is None or said_before(scheme.words, text, match.start(), key)
            ):
                yield match.span()


def said_before(words: re.Pattern[str], text: str, at: int, key: str) -> bool:
    """Whether one of the words stands shortly before a place, or is in the key."""
    return words.search(text, max(0, at - NEAR), at) is not None or words.search(key) is not None
