"""The table that a comparison reads: one line for each trial of a case, of one release.

The file is JSON Lines. Its first line says what it is, `{"format": "gatewright.trials", "version": 1, "name": ...}`,
with whatever else is to be remembered under `about`; every other line is a `Trial`. A value that is not known is null
or left out. It is never 0: a cost of 0 says that the trial was free.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gatewright.agents.errors import NotFoundError, UsageError

FORMAT: Final = "gatewright.trials"

Severity = Literal["block", "warn"]
"""`block`: the case must not fail, whatever the averages say. `warn`: it counts in the averages."""

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Trial(BaseModel):
    """One trial of a case. None is "not known".

    `reward` is the case's own measure, higher is better. `cost` is in USD, `latency` in seconds, `human_load` how many
    questions people had to answer, `violations` how many rules were broken and not prevented.
    `group` joins cases that are not independent of each other (variants of one, one customer): they are drawn together.
    `note` says why it failed, `episode` names the record of the trial.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: str = Field(min_length=1)
    trial: int = Field(ge=0)
    success: bool | None = None
    reward: Annotated[float, Field(allow_inf_nan=False)] | None = None
    cost: Amount | None = None
    latency: Amount | None = None
    human_load: Amount | None = None
    violations: Annotated[int, Field(ge=0)] | None = None
    severity: Severity = "warn"
    tags: tuple[str, ...] = ()
    group: str | None = None
    note: str = ""
    episode: str = ""

    def line(self) -> str:
        """The trial as a line of the file, without the line end."""
        return self.model_dump_json(exclude_defaults=True)


class Header(BaseModel):
    """The first line of the file. `name` is what reports call this side; `about` is shown as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gatewright.trials"] = FORMAT
    version: Literal[1] = 1
    name: str
    about: dict[str, str] = {}


class Table(BaseModel):
    """All trials of one side of a comparison. No case has two trials of one number."""

    model_config = ConfigDict(frozen=True)

    name: str
    trials: tuple[Trial, ...]
    about: dict[str, str] = {}

    def cases(self) -> dict[str, list[Trial]]:
        """The trials of each case, both in the order of the table."""
        found: dict[str, list[Trial]] = {}
        for trial in self.trials:
            found.setdefault(trial.case, []).append(trial)
        return found


def table(name: str, trials: Iterable[Trial], about: dict[str, str] | None = None) -> Table:
    """A table of trials.

    Raises:
        UsageError: there are none, or one trial of a case is there twice.
    """
    kept = tuple(trials)
    if not kept:
        raise UsageError(f"{name!r} holds no trials; at least one is needed to compare anything")
    seen: set[tuple[str, int]] = set()
    for trial in kept:
        key = (trial.case, trial.trial)
        if key in seen:
            raise UsageError(
                f"{name!r} holds trial {trial.trial} of case {trial.case!r} twice; number the trials of a case apart"
            )
        seen.add(key)
    return Table(name=name, trials=kept, about=about or {})


def lines(table: Table) -> Iterator[str]:
    """The lines of the file, without line ends; a runner may append more with `Trial.line`."""
    yield Header(name=table.name, about=table.about).model_dump_json()
    for trial in table.trials:
        yield trial.line()


def write(path: Path, table: Table) -> None:
    """Write the table as JSON Lines."""
    path.write_text("".join(f"{line}\n" for line in lines(table)), "utf-8")


def read(path: Path) -> Table:
    """The table in a file of JSON Lines.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is not such a file, or a line of it is not a trial.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {str(path)!r} with trials") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read trials from {str(path)!r}: {error}") from error
    head, *rest = text.split("\n")
    try:
        header = Header.model_validate_json(head)
    except ValidationError as error:
        raise UsageError(
            f"{str(path)!r} is no table of trials: {first(error)}; its first line must be "
            f'{{"format": "{FORMAT}", "version": 1, "name": ...}}'
        ) from error
    found: dict[tuple[str, int], tuple[int, Trial]] = {}
    for number, line in enumerate(rest, start=2):
        if not line.strip():
            continue
        try:
            trial = Trial.model_validate_json(line)
        except ValidationError as error:
            raise UsageError(f"{str(path)!r}, line {number}: {first(error)}; every line must be a trial") from error
        before, same = found.setdefault((trial.case, trial.trial), (number, trial))
        if same is not trial:
            raise UsageError(
                f"{str(path)!r}, line {number}: trial {trial.trial} of case {trial.case!r} is in line {before} "
                "already; number the trials of a case apart"
            )
    if not found:
        raise UsageError(f"{str(path)!r} holds no trials after its first line; at least one is needed")
    return table(header.name, [trial for _, trial in found.values()], header.about)


def first(error: ValidationError) -> str:
    """Where the first mistake is, and what."""
    found = error.errors(include_url=False)[0]
    place = ".".join(str(step) for step in found["loc"])
    return f"{place}: {found['msg']}" if place else found["msg"]
