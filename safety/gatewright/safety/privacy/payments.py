"""Numbers of payment cards and bank accounts: what tells them apart is prefix, length, grouping and checksum."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .nationalids import said_before

# ISO/IEC 7812 prefixes as the networks publish them: lowest, highest, and the lengths that they give out.
_NETWORKS: tuple[tuple[str, str, range], ...] = (
    ("51", "55", range(16, 17)),  # Mastercard
    ("2221", "2720", range(16, 17)),
    ("34", "34", range(15, 16)),  # American Express
    ("37", "37", range(15, 16)),
    ("300", "305", range(14, 20)),  # Diners Club
    ("3095", "3095", range(14, 20)),
    ("36", "36", range(14, 20)),
    ("38", "39", range(14, 20)),
    ("3528", "3589", range(16, 20)),  # JCB
    ("6011", "6011", range(16, 20)),  # Discover
    ("644", "659", range(16, 20)),
    ("62", "62", range(16, 20)),  # UnionPay
    ("5018", "5018", range(13, 20)),  # Maestro
    ("5020", "5020", range(13, 20)),
    ("5038", "5038", range(13, 20)),
    ("5893", "5893", range(13, 20)),
    ("6304", "6304", range(13, 20)),
    ("6759", "6763", range(13, 20)),
    ("2200", "2204", range(16, 20)),  # Mir
    ("508", "508", range(16, 17)),  # RuPay
    ("60", "60", range(16, 17)),
    ("81", "82", range(16, 17)),
)
_BY_DIGIT = {digit: [entry for entry in _NETWORKS if entry[0][0] <= digit <= entry[1][0]] for digit in "0123456789"}
_GROUPINGS = frozenset({(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 5), (4, 4, 4, 1), (6, 13), (8, 8)})
_RUN = re.compile(r"(?<![0-9A-Za-z])[0-9]++(?:[ \t\n./_-]{1,3}[0-9]++)*+")
_GROUP = re.compile(r"[0-9]+")
_WORDS = re.compile(r"\bcard\b|\bvisa\b|credit|debit|\bpan\b|kreditkart|\bcarte\b|tarjeta", re.IGNORECASE)
_VISA = frozenset({16, 19})
MIN_DIGITS, MAX_DIGITS = 13, 19  # ISO/IEC 7812-1 allows fewer; nobody gives them out any more


def cards(text: str, key: str) -> Iterator[tuple[int, int]]:
    """Where card numbers stand in folded text: in one piece, in the groups printed on cards, or digit by digit."""
    for run in _RUN.finditer(text):
        if len(run[0]) < 13 or text[run.end() : run.end() + 1].isalpha():
            continue
        groups = [group.span() for group in _GROUP.finditer(text, *run.span())]
        at = 0
        while at < len(groups):
            count = _card_groups(text, groups, at, key)
            if count:
                yield groups[at][0], groups[at + count - 1][1]
            at += count or 1


def _card_groups(text: str, groups: list[tuple[int, int]], at: int, key: str) -> int:
    """How many groups from `at` on make up a card number; 0 for none."""
    if text[groups[at][0]] in "0179":  # begin no card
        return 0
    sizes = tuple(end - start for start, end in groups[at : at + MAX_DIGITS])
    counts: Sequence[int] = [1, *(count for count in (2, 3, 4, 5) if sizes[:count] in _GROUPINGS)]
    if sizes[0] == 1:  # digit by digit
        counts = range(MIN_DIGITS, next((count for count, size in enumerate(sizes) if size > 1), len(sizes)) + 1)
    digits = "".join([text[start:end] for start, end in groups[at : at + max(counts, default=0)]])
    for count in counts:
        if is_card(digits[: sum(sizes[:count])]):
            return count
    if sizes[0] == MIN_DIGITS and digits[0] == "4" and said_before(_WORDS, text, groups[at][0], key):
        return int(luhn(digits))  # old Visa numbers, as long as tickets of airlines
    return 0


def _lengths(digits: str) -> frozenset[int]:
    """How long a card number that begins so can be."""
    if digits[:1] == "4":
        return _VISA
    known = _BY_DIGIT.get(digits[:1], ())
    return frozenset(size for low, high, sizes in known if low <= digits[: len(low)] <= high for size in sizes)


def is_card(digits: str) -> bool:
    """Whether a network gives out such numbers, and the last digit checks."""
    return len(digits) in _lengths(digits) and luhn(digits) and len(set(digits)) > 1


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    return (sum(map(int, digits[-1::-2])) + sum(map(int, digits[-2::-2].translate(_DOUBLED)))) % 10 == 0


_DOUBLED = str.maketrans("0123456789", "0246813579")  # twice the digit, and the sum of the digits of that


# ISO 13616: the length by country, from SWIFT's IBAN registry (release 99).
_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FK FI FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}
_IBAN = re.compile(r"(?<![0-9A-Za-z])[A-Z]{2}[ -]?[0-9](?:[ -]?[0-9A-Z]){12,31}", re.IGNORECASE)
_SEPARATORS = re.compile(r"[ -]")


def ibans(text: str) -> Iterator[tuple[int, int]]:
    """Where account numbers stand in folded text, with or without spaces; exactly as long as their country has them."""
    at = 0
    while match := _IBAN.search(text, at):
        at = match.start() + 2
        length = _LENGTHS.get(match[0][:2].upper())
        end = None if length is None else _after(text, match.start(), length)
        if end is None or text[end : end + 1].isalnum():
            continue
        if is_iban(_SEPARATORS.sub("", text[match.start() : end]).upper()):
            yield match.start(), end
            at = end


def is_iban(text: str) -> bool:
    """The check digits, ISO 7064 MOD 97-10; upper case, without spaces."""
    moved = text[4:] + text[:4]
    return moved.isascii() and moved.isalnum() and int("".join(str(int(digit, 36)) for digit in moved)) % 97 == 1


def _after(text: str, start: int, count: int) -> int | None:
    """The place behind the next `count` characters that are no separators; None where the text ends before."""
    for at in range(start, min(len(text), start + 2 * count)):
        count -= text[at] not in " -"
        if count == 0:
            return at + 1
    return None
