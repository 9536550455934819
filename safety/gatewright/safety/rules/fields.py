"""Fields that files share: texts, lists that may be one name, durations."""

from __future__ import annotations

import difflib
import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

_DURATION = re.compile(r"(\d+)\s*([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _seconds(value: Any) -> Any:
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        if found is None:
            raise ValueError(f"{value!r} is not a duration; write for example 90s, 15m, 4h or 2d")
        return timedelta(**{_UNITS[found[2]]: int(found[1])}).total_seconds()
    return value


def listed(value: Any) -> Any:
    """One alone as a list of one."""
    return [value] if isinstance(value, str) else value


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty")
    return value


Duration = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]
"""Seconds, written as a number or as `90s`, `15m`, `4h`, `2d`."""

Text = Annotated[str, AfterValidator(_filled)]

Names = Annotated[list[str], BeforeValidator(listed), Field(min_length=1)]
"""Names; one alone need not be a list."""


class Part(BaseModel):
    """A part of a file; unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def near(word: str, known: list[str]) -> str:
    """A remedy for an unknown word: the nearest known one, or all of them."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(sorted(known))}"
