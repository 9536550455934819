"""Values that are typed on the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from gatewright.runtime import jsontext


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


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:59]}…")
