"""The shape of a suite's file, and reading it: what may be written where, and what is wrong with what was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema, model_validator

from gatewright.agents.errors import NotFoundError, UsageError
from gatewright.safety import canonical
from gatewright.safety.rules import sources
from gatewright.safety.rules.expressions import ExpressionError
from gatewright.safety.rules.fields import Duration, Names, Part, Text, near

from . import checks

BUILT_IN = "built-in"
"""Instead of a file: the recorded conversations that come with the world."""

KINDS = ("conversations", "generate", "input", "inputs")
MOST = 1_000_000  # cases and trials; more is a slip of the pen

Users = Literal["recorded", "world"]
"""`recorded`: says what was recorded, whatever the team replies · `world`: the user whom the world simulates."""

Answer = Literal["approve", "reject", "recorded"]
"""`recorded`: what was answered in the recording; what nobody was asked there is rejected."""

Metric = Literal["success", "reward", "pass^k", "cost", "latency", "human_load", "violations"]
METRICS: Final[tuple[Metric, ...]] = ("success", "reward", "pass^k", "cost", "latency", "human_load", "violations")

_TEXT = {"type": "string"}
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
Checks = dict[Name, Text]
SomeNames = Annotated[
    Names, WithJsonSchema({"anyOf": [_TEXT, {"type": "array", "items": {"type": "string"}, "minItems": 1}]})
]
Seconds = Annotated[
    Duration,
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, _TEXT | {"pattern": r"^\d+\s*[smhd]$"}]}),
]
Version = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", coerce_numbers_to_str=True),
    WithJsonSchema({"type": ["string", "number"]}),
]


class Approvals(Part):
    """Who answers what people are asked: `default`, unless one of the roles that a request needs says otherwise."""

    default: Answer = "approve"
    roles: dict[str, Answer] = {}


def _for_all(value: Any) -> Any:
    return {"default": value} if isinstance(value, str) else value


ApprovalsField = Annotated[Approvals, BeforeValidator(_for_all, json_schema_input_type=Answer | Approvals)]


class Limits(Part):
    """When a trial is ended: `steps` are effects of one run and words of the user, `seconds` are of the whole trial."""

    steps: Annotated[int, Field(ge=1)] = 1_000
    seconds: Seconds = 120.0


class Answered(Part):
    """What people answered in a recording: to the action `name` with `args`, or to a question (`name` is empty)."""

    name: str = ""
    args: dict[str, Any] = {}
    verdict: Literal["approve", "reject", "edit", "answer"]
    reason: str = ""
    value: Any = None


class Generate(Part):
    """Cases that the world draws: those numbered from `first` on of the seed; without, of the suite's."""

    count: Annotated[int, Field(ge=1, le=MOST)]
    first: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None


class Cases(Part):
    """Cases of one kind: `conversations` of a file, those that the world can `generate`, or one that is written here.

    `only` takes those ids out of a file. `input` is what one run is given, `inputs` what several are, one after the
    other on one thread; `settings` are the thread's, and `task` is what the world's reward needs. `group` joins cases
    that are not independent of each other. `answers` are what `approvals: recorded` goes by. `episode` names the
    recording that the case was made from. Everything else is as the suite says unless it is said here; checks of both
    must hold.
    """

    id: Name | None = None
    conversations: Text | None = None
    generate: Generate | None = None
    input: Any = None
    inputs: Annotated[list[Any], Field(min_length=1)] | None = None
    only: SomeNames | None = None
    settings: dict[str, Any] = {}
    task: dict[str, Any] = {}
    users: Users | None = None
    approvals: ApprovalsField | None = None
    answers: list[Answered] = []
    checks: Checks = {}
    severity: Literal["block", "warn"] | None = None
    tags: SomeNames | None = None
    group: str | None = None
    trials: Annotated[int, Field(ge=1, le=MOST)] | None = None
    seconds: Seconds | None = None
    episode: str = ""

    @model_validator(mode="after")
    def _one_kind(self) -> Cases:
        given = [kind for kind in KINDS if kind in self.model_fields_set]
        if len(given) != 1:
            raise ValueError(f"has {given or 'none'} of {', '.join(KINDS)}; it needs exactly one of them")
        written = given[0] in ("input", "inputs")
        if written and self.id is None:
            raise ValueError("a case that is written here needs an `id`")
        odd = {"id", "settings", "task", "answers", "episode"} if not written else {"only", "users"}
        if found := sorted(odd & self.model_fields_set):
            raise ValueError(f"{found[0]!r} does not go with {given[0]!r}; take it out")
        if self.only is not None and self.generate is not None:
            raise ValueError("'only' does not go with 'generate'; give `first` and `count`")
        return self


class Suite(Part):
    """A suite: what a deployment of the configuration is tried with, and what must come of it.

    `world` are options of the deployment's world, over those of the configuration. `violations` are the rules whose
    matches count as violations; without, every effect that was denied or ended a run counts. What is not among
    `metrics` is not recorded.
    """

    suite: Name
    version: Version
    description: str = ""
    deployment: Text
    world: dict[str, Any] = {}
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    trials: Annotated[int, Field(ge=1, le=MOST)] = 1
    cases: Annotated[list[Cases], Field(min_length=1)]
    users: Users = "recorded"
    approvals: ApprovalsField = Approvals()
    checks: Checks = {}
    metrics: Annotated[list[Metric], Field(min_length=1)] = list(METRICS)
    violations: SomeNames | None = None
    severity: Literal["block", "warn"] = "warn"
    tags: list[str] = []
    limits: Limits = Limits()


@dataclass(frozen=True, kw_only=True)
class Read:
    """A suite with the file that it was read from; paths in it are relative to its folder."""

    suite: Suite
    path: Path

    def file(self, named: str) -> Path:
        """A file that the suite names."""
        return (self.path.parent / named).resolve()

    def digest(self) -> str:
        """SHA-256 of all that decides what a trial is: the suite and the files it names, but not how many trials."""
        plain = self.suite.model_dump(mode="json", exclude={"trials", "description"})
        for cases in plain["cases"]:
            cases.pop("trials")
        named = {cases.conversations for cases in self.suite.cases if cases.conversations not in (None, BUILT_IN)}
        files = {name: sha256(_bytes(self.file(name))).hexdigest() for name in sorted(filter(None, named))}
        return canonical.digest(canonical.json_value({"suite": plain, "files": files}))


def read(path: Path) -> Read:
    """The suite in a YAML file.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is not YAML, or says what no suite says; names every place with its line, and the remedy.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no suite at {str(path)!r}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the suite {str(path)!r}: {error}") from error
    source = sources.parse(text, str(path))
    try:
        suite = Suite.model_validate(source.data)
    except ValidationError as error:
        raise UsageError("\n".join(_complaints(error, source))) from None
    if wrong := list(_unfit_checks(suite, source)):
        raise UsageError("\n".join(wrong))
    return Read(suite=suite, path=path.resolve())


def schema() -> dict[str, Any]:
    """The JSON Schema of a suite's file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Suite.model_json_schema()}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"the suite names the file {str(path)!r}, which cannot be read: {error.strerror}") from error


def _complaints(error: ValidationError, source: sources.Source) -> Iterator[str]:
    for entry in error.errors(include_url=False):
        place = ".".join(str(part) for part in entry["loc"]) or "the top"
        match entry["type"]:
            case "extra_forbidden":
                part = Cases if "cases" in entry["loc"] else Suite
                message = f"unknown field; {near(str(entry['loc'][-1]), list(part.model_fields))}"
            case "missing":
                message = "is missing; add it"
            case _:
                message = f"{entry['msg'].removeprefix('Value error, ')} (it is {_shown(entry['input'])})"
        yield f"{source.file}:{source.line(tuple(entry['loc']))}: {place}: {message}"


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _unfit_checks(suite: Suite, source: sources.Source) -> Iterator[str]:
    places: list[tuple[sources.Path, Mapping[str, str]]] = [(("checks",), suite.checks)]
    places += [(("cases", number, "checks"), cases.checks) for number, cases in enumerate(suite.cases)]
    for path, texts in places:
        for name, text in texts.items():
            try:
                checks.compiled(text)
            except ExpressionError as error:
                place = ".".join(map(str, (*path, name)))
                yield f"{source.file}:{source.line((*path, name)) + error.line - 1}: {place}: {error}"
