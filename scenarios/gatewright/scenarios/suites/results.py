"""A result file that grows by a line for each trial: one that was broken off is gone on with."""

from __future__ import annotations

import fcntl
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

from pydantic import ValidationError

from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.runtime.files import replacing
from gatewright.scenarios.gate import trials
from gatewright.scenarios.gate.trials import Header, Table, Trial

IDENTITY = ("suite", "release")
"""What trials of one file have in common, as digests in its header."""

BEGINNING = f'{{"format":"{trials.FORMAT}"'.encode()


class ResultFile:
    """Trials of one suite by one release, written one after the other.

    A line is written at once and whole; a process that is killed loses no more than the trials at hand. A line that
    a crash of the machine has torn is dropped when the file is opened again. One process writes at a time.
    """

    def __init__(self, path: Path, header: Header) -> None:
        """Open or begin the file.

        Raises:
            UnavailableError: another process writes to it.
            UsageError: it cannot be written, or holds trials of another suite or release, or something else.
        """
        self._path = path
        self._header = header
        try:
            self._file: IO[bytes] = path.open("a+b")
        except OSError as error:
            raise UsageError(f"cannot write trials to {str(path)!r}: {error.strerror}") from error
        try:
            self.done = self._taken_up()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, trial: Trial) -> None:
        """Append a trial."""
        self.done.append(trial)
        self._append(trial.line())

    def finish(self, order: Sequence[str]) -> Table:
        """Put the trials in the order of the cases, in one step; gives them."""
        places = {case: place for place, case in enumerate(order)}
        kept = sorted(self.done, key=lambda trial: (places.get(trial.case, len(places)), trial.trial))
        table = trials.table(self._header.name, kept, self._header.about)
        with replacing(self._path) as draft:
            trials.write(draft, table)
        return table

    def _append(self, line: str) -> None:
        self._file.write(line.encode() + b"\n")
        self._file.flush()

    def _taken_up(self) -> list[Trial]:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UnavailableError(
                f"another process writes trials to {str(self._path)!r}; wait for it, or name another file"
            ) from error
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        if content and not content.startswith(BEGINNING):
            raise UsageError(f"{str(self._path)!r} holds no trials, and nothing was changed in it; name another file")
        self._file.truncate(whole)
        if whole == 0:
            self._append(self._header.model_dump_json())
            return []
        first, *rest = content[:whole].splitlines()
        try:
            self._check(Header.model_validate_json(first).about)
        except ValidationError as error:
            raise UsageError(f"{str(self._path)!r} holds trials of another format; name another file") from error
        return list(trials.read(self._path).trials) if rest else []

    def _check(self, about: dict[str, str]) -> None:
        for name in IDENTITY:
            if about.get(name) != self._header.about[name]:
                raise UsageError(
                    f"{str(self._path)!r} holds trials of another {name}: {about.get(name, 'unknown')[:12]}, this one "
                    f"is {self._header.about[name][:12]}; name another file with -o, or remove it"
                )
