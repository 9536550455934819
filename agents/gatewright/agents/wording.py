"""Words for people."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """How many there are of something whose plural ends in s.

    >>> counted(1, "case"), counted(2, "case")
    ('1 case', '2 cases')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"
