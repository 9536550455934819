"""The shape of a rule pack's file: what may be written where."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from gatewright.agents.effects import Kind
from gatewright.safety import limits
from gatewright.safety.approvals.terms import Approval
from gatewright.safety.limits.breakers import Breaker
from gatewright.safety.limits.budgets import Budget
from gatewright.safety.verdicts import Mode, Verdict

from .events import Hook
from .fields import Names, Part, Text, near
from .sources import Path
from .tools import ToolText


class Defaults(Part):
    unlabelled: Literal["allow", "ask", "deny"] = "allow"
    approval: Approval | None = None


class On(Part):
    hook: Hook
    name: Text | None = None
    names: Names | None = None
    labels: Names | None = None


class Earlier(Part):
    kind: Kind = "tool"
    name: str = ""
    args: dict[str, Any] = {}
    result: Any = None
    ok: bool = True
    verdict: Verdict = "allow"
    labels: list[str] = []
    seconds_ago: float = 60.0

    @model_validator(mode="after")
    def _named(self) -> Earlier:
        if not self.name and self.kind != "human":
            raise ValueError(f"an effect of the kind {self.kind!r} has a name; add `name:`")
        return self


class Example(Part):
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
    sender: str = ""
    scores: dict[str, float] = {}
    history: list[Earlier] = []
    time: str = "2026-01-01T12:00:00Z"


class EventText(Example):
    """An event by itself, written like an example."""

    hook: Hook


class Examples(Part):
    match: list[Example] = []
    passes: list[Example] = Field(default=[], alias="pass")


class RuleText(Part):
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    on: On
    when: Text | None = None
    unless: Text | None = None
    then: Verdict
    mode: Mode = "enforce"
    sets: dict[str, Any] | None = Field(default=None, alias="set")
    closes: list[Text] | None = Field(default=None, alias="close")
    approval: Approval | None = None
    reason: Text
    examples: Examples = Examples()


class PackText(Part):
    api: Literal["gatewright/v1"] = Field(alias="apiVersion")
    kind: Literal["RulePack"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", coerce_numbers_to_str=True)]
    description: str = ""
    mode: Mode = "enforce"
    tools: dict[str, ToolText] = {}
    definitions: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], Text] = {}
    defaults: Defaults = Defaults()
    rules: list[RuleText] = []
    budgets: list[Budget] = []
    breakers: list[Breaker] = []


_PARTS: dict[str, type[Part]] = {
    "rules": RuleText,
    "on": On,
    "approval": Approval,
    "defaults": Defaults,
    "examples": Examples,
    "match": Example,
    "pass": Example,
    "history": Earlier,
    "tools": ToolText,
    "budgets": Budget,
    "breakers": Breaker,
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


def _fields(path: Path) -> str:
    around = [part for part in path[:-1] if part in _PARTS]
    part = _PARTS[str(around[-1])] if around else PackText
    if part is On and path[0] != "rules":
        part = limits.On
    return near(str(path[-1]), [field.alias or name for name, field in part.model_fields.items()])
