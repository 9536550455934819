"""The shape of a rule pack's file: what may be written where."""

from __future__ import annotations

import difflib
import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gatewright.agents.effects import Kind

from .events import Hook
from .sources import Path
from .verdicts import Verdict

_DURATION = re.compile(r"(\d+)\s*([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _seconds(value: Any) -> Any:
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        if found is None:
            raise ValueError(f"{value!r} is not a duration; write for example 90s, 15m, 4h or 2d")
        return timedelta(**{_UNITS[found[2]]: int(found[1])}).total_seconds()
    return value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty")
    return value


Duration = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]
Names = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
Text = Annotated[str, AfterValidator(_filled)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tool(_Part):
    labels: list[Text] = []


class Approval(_Part):
    roles: Names | None = None
    excluded: Names | None = None
    expires: Duration | None = None


class Defaults(_Part):
    unlabelled: Literal["allow", "ask", "deny"] = "allow"
    approval: Approval | None = None


class On(_Part):
    hook: Hook
    name: Text | None = None
    names: Names | None = None
    labels: Names | None = None


class Earlier(_Part):
    kind: Kind = "tool"
    name: str
    args: dict[str, Any] = {}
    result: Any = None
    ok: bool = True
    verdict: Verdict = "allow"
    seconds_ago: float = 60.0


class Example(_Part):
    name: str | None = None
    agent: str = ""
    deployment: str = ""
    run_id: str = ""
    thread_id: str = ""
    labels: list[str] = []
    args: dict[str, Any] = {}
    result: Any = None
    error: str = ""
    text: str = ""
    history: list[Earlier] = []
    time: str = "2026-01-01T12:00:00Z"


class Examples(_Part):
    match: list[Example] = []
    passes: list[Example] = Field(default=[], alias="pass")


class RuleText(_Part):
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    on: On
    when: Text | None = None
    unless: Text | None = None
    then: Verdict
    sets: dict[str, Any] | None = Field(default=None, alias="set")
    approval: Approval | None = None
    reason: Text
    examples: Examples = Examples()


class PackText(_Part):
    api: Literal["gatewright/v1"] = Field(alias="apiVersion")
    kind: Literal["RulePack"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", coerce_numbers_to_str=True)]
    description: str = ""
    tools: dict[str, Tool] = {}
    defaults: Defaults = Defaults()
    rules: list[RuleText] = []


_PARTS: dict[str, type[_Part]] = {
    "rules": RuleText,
    "on": On,
    "approval": Approval,
    "defaults": Defaults,
    "examples": Examples,
    "match": Example,
    "pass": Example,
    "history": Earlier,
    "tools": Tool,
}


def complaints(error: ValidationError) -> list[tuple[Path, str]]:
    """What is wrong with a file, by place, in words; a misspelt field is answered with the nearest one."""
    found: list[tuple[Path, str]] = []
    for entry in error.errors(include_url=False):
        path: Path = tuple(entry["loc"])
        place = ".".join(map(str, path))
        match entry["type"]:
            case "extra_forbidden":
                message = f"unknown field {str(path[-1])!r}; {_fields(path)}"
            case "missing":
                message = f"the field {str(path[-1])!r} is missing; add it"
            case "literal_error":
                known = re.findall(r"'([^']+)'", entry.get("ctx", {}).get("expected", ""))
                message = f"{place}: {entry['input']!r} is not known; {near(str(entry['input']), known)}"
            case _:
                message = f"{place}: {entry['msg'].removeprefix('Value error, ')} (got {entry['input']!r:.80})"
        found.append((path, message))
    return found


def near(word: str, known: list[str]) -> str:
    """A remedy for an unknown word: the nearest known one, or all of them."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(sorted(known))}"


def _fields(path: Path) -> str:
    around = [part for part in path[:-1] if part in _PARTS]
    part = _PARTS[str(around[-1])] if around else PackText
    return near(str(path[-1]), [field.alias or name for name, field in part.model_fields.items()])
