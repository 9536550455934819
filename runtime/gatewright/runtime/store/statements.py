"""SQL compiled once: SQLAlchemy writes it, the driver runs it without SQLAlchemy's cost for each call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Executable

_PARAMETER = r"(?:\?|%s(?:::[A-Za-z ]+)?)"
_VALUES = re.compile(rf"VALUES (\((?:{_PARAMETER}, )*{_PARAMETER}\))")


class Compiled(NamedTuple):
    """SQL text, the names of its parameters in order, and the values that the clause itself fixes."""

    clause: Executable
    text: str
    names: tuple[str, ...]
    fixed: Mapping[str, Any]

    def of_rows(self, count: int) -> str:
        """The text that inserts `count` rows at once."""
        found = _VALUES.search(self.text)
        if found is None:
            raise ValueError(f"{self.text!r} inserts no rows by parameters")
        return f"{self.text[: found.end()]}{f', {found[1]}' * (count - 1)}{self.text[found.end() :]}"

    @property
    def table(self) -> str:
        """The table that it inserts into."""
        return self.text.split(maxsplit=3)[2]


class Statements:
    """Statements of one dialect. Clauses must live as long as the process: module-level constants."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self._dialect = dialect
        self._returns_numbers = dialect.name == "postgresql"
        self._compiled: dict[int, Compiled] = {}
        self._numbered: dict[int, Compiled] = {}
        self._of_rows: dict[tuple[int, int], str] = {}

    def compile(self, clause: Executable) -> Compiled:
        """The SQL of a clause."""
        found = self._compiled.get(id(clause))
        if found is None:
            found = self._compiled[id(clause)] = self._compile(clause)
        return found

    def numbered(self, clause: Executable) -> Compiled:
        """The SQL of a clause that inserts a row; it gives the row's number, where the driver does not tell it."""
        if not self._returns_numbers:
            return self.compile(clause)
        found = self._numbered.get(id(clause))
        if found is None:
            (number,) = clause.table.primary_key  # type: ignore[attr-defined]  # an insert has a table
            found = self._numbered[id(clause)] = self._compile(clause.returning(number))  # type: ignore[attr-defined]
        return found

    def of_rows(self, compiled: Compiled, count: int) -> str:
        """The SQL that inserts `count` rows at once."""
        key = (id(compiled.clause), count)
        found = self._of_rows.get(key)
        if found is None:
            found = self._of_rows[key] = compiled.of_rows(count)
        return found

    def _compile(self, clause: Executable) -> Compiled:
        compiled = clause.compile(dialect=self._dialect)  # type: ignore[attr-defined]  # every Core clause has it
        names = tuple(compiled.positiontup or compiled.params)
        fixed = {name: value for name, value in compiled.params.items() if value is not None}
        return Compiled(clause, str(compiled), names, fixed)
