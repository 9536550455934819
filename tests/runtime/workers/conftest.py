"""Writers on databases of both kinds, and what several processes would have of their own on one of them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TypeVar

import pytest

from gatewright.runtime.store.database import Database, of
from gatewright.runtime.store.writer import Transaction, Writer

T = TypeVar("T")
PATIENCE = 30.0  # seconds to wait for the database


class Office:
    """A database, and a writer on it for each process there would be: of a SQLite file, one for all."""

    def __init__(self, database: Database, stack: ExitStack) -> None:
        self.database = database
        self._stack = stack
        self._own: list[Writer] = []

    def writer(self) -> Writer:
        """The writer of one more process."""
        if self.database.shared or not self._own:
            self._own.append(self._stack.enter_context(closing(Writer(self.database))))
        return self._own[-1]

    def write(self, operation: Callable[[Transaction], T]) -> T:
        """Carry out an operation, and wait for it."""
        writer = self._own[0] if self._own else self.writer()
        return writer.submit(operation).result(PATIENCE)


@pytest.fixture(params=["sqlite", "postgresql"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Office]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("database_url")
    database = of(url, tmp_path)
    database.hold()
    database.prepare()
    with ExitStack() as stack:
        yield Office(database, stack)
    database.release()
