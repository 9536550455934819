"""Text of agents and people as it is shown to whoever decides: nothing in it may rewrite, reorder or hide the rest."""

from __future__ import annotations

_CONTROL = (*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
_REORDERING = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_INVISIBLE = (0x00AD, 0x180E, 0x200B, *range(0x2060, 0x2065), *range(0x206A, 0x2070), 0xFEFF, *range(0xE0000, 0xE0080))
# U+200C and U+200D stay: Persian, Indic scripts and emoji need them.

MISLEADING = dict.fromkeys((*_CONTROL, *_REORDERING, *_INVISIBLE), "�")
"""For `str.translate`: control characters but tabs and line ends (a terminal obeys them), characters that reorder what
stands around them (an account number could be read backwards; CVE-2021-42574), and characters that nobody sees."""


def clean(text: str) -> str:
    """Text in which what misleads is shown as what it is not."""
    return text.translate(MISLEADING)
