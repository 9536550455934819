"""Values that are typed on the command line."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from gatewright.runtime import jsontext

SPAN = re.compile(r"(\d+)\s*([smhd])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class JSONText(click.ParamType[Any]):
    """A JSON value: written out, `@FILE`, or `-` for stdin."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        text = self._text(value, param, ctx)
        try:
            return jsontext.parse(text)
        except ValueError as error:
            self.fail(f"{_short(text)} is not JSON: {error}; a text needs quotes: '\"yes\"'", param, ctx)

    def _text(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value == "-":
            return sys.stdin.read()
        if not value.startswith("@"):
            return value
        try:
            return Path(value[1:]).read_text("utf-8")
        except OSError as error:
            self.fail(f"cannot read {value[1:]!r}: {error.strerror}", param, ctx)


class Time(click.ParamType[datetime]):
    """A time to come: in so long (`90s`, `15m`, `4h`, `2d`), or as ISO 8601, local where it names no time zone."""

    name = "time"
    direction = 1

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        span = SPAN.fullmatch(value.strip())
        try:
            if span:
                return datetime.now(UTC) + self.direction * timedelta(**{UNITS[span[2]]: int(span[1])})
            return datetime.fromisoformat(value.strip()).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time; write for example 4h, 2d or 2027-01-31T18:00", param, ctx)


class Since(Time):
    """A time that has passed: so long ago, or as ISO 8601."""

    direction = -1


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:59]}…")
