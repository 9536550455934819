"""What the runtime shows to the rules: one event for every hook, and the variables that each hook offers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal, NamedTuple

import orjson

from gatewright.agents.effects import Kind
from gatewright.agents.errors import LimitError, UsageError

from . import canonical, verdicts
from .expressions import Type
from .verdicts import Change, Verdict

Hook = Literal[
    "input",
    "output",
    "tool.before",
    "tool.after",
    "model.before",
    "model.after",
    "decision",
    "message.send",
    "function.before",
    "function.after",
]
"""`input`/`output`: what a run is given and what it answers · `x.before`: an effect is wished, nothing has happened ·
`x.after`: its result is there, the agent has not seen it · `decision`: an option was picked at a decision point ·
`message.send`: one agent is about to write to another."""

MAX_PASSES = 4  # how often a changed event is judged before its rules are called unstable
HISTORY_LIMIT = 200  # entries offered to the rules, the newest
PAST_LIMIT = 65_536  # bytes of JSON: larger arguments or results of earlier effects are left out of `history`
MAX_DEPTH = canonical.MAX_DEPTH  # levels of nesting in a value
_TOO_DEEP = f"rules look at {MAX_DEPTH} levels of nesting at most; flatten the value"
EVENT_LIMIT = 4_194_304  # bytes of JSON: a larger event is refused

_COMMON: dict[str, Type] = {
    "hook": "string",
    "name": "string",
    "agent": "string",
    "deployment": "string",
    "labels": "list(string)",
    "history": "list(map(string, dyn))",
    "run.id": "string",
    "thread.id": "string",
    "time": "timestamp",
}
_ARGS: dict[str, Type] = {"args": "map(string, dyn)"}
_RESULT: dict[str, Type] = {"result": "dyn"}
_OUTCOME: dict[str, Type] = {"result": "dyn", "error": "string"}
_TEXT: dict[str, Type] = {"text": "string"}
_TOOL: dict[str, Type] = {"tool.name": "string"}
_MODEL: dict[str, Type] = {"model.name": "string"}
_POINT: dict[str, Type] = {"point.name": "string"}
_MESSAGE: dict[str, Type] = {"message.to": "string"}

VARIABLES: Mapping[Hook, Mapping[str, Type]] = {
    "input": _COMMON | _ARGS | _TEXT,
    "output": _COMMON | _TEXT | _RESULT,
    "tool.before": _COMMON | _ARGS | _TOOL,
    "tool.after": _COMMON | _ARGS | _OUTCOME | _TOOL,
    "model.before": _COMMON | _ARGS | _TEXT | _MODEL,
    "model.after": _COMMON | _ARGS | _OUTCOME | _TEXT | _MODEL,
    "decision": _COMMON | _ARGS | _RESULT | _POINT,
    "message.send": _COMMON | _ARGS | _TEXT | _MESSAGE,
    "function.before": _COMMON | _ARGS,
    "function.after": _COMMON | _ARGS | _OUTCOME,
}
"""The variables of each hook with their CEL types; a rule that uses another one is refused when it is loaded.

Functions have `name` only: `function` is a reserved word of CEL.
"""

SETS: Mapping[Hook, Literal["args", "result"]] = {
    "input": "args",
    "output": "result",
    "tool.before": "args",
    "tool.after": "result",
    "model.before": "args",
    "model.after": "result",
    "message.send": "args",
    "function.before": "args",
    "function.after": "result",
}
"""What a `modify` rule may change at each hook. A decision is not changed: deny it, or ask."""

ASKS: frozenset[Hook] = frozenset({"tool.before", "model.before", "function.before", "message.send"})
"""Where an `ask` rule can hold something up until people have decided."""

_NAMED: Mapping[str, str] = {
    "tool": "tool.name",
    "model": "model.name",
    "decision": "point.name",
    "message": "message.to",
}


class _View(NamedTuple):
    """A value as rules may see it, with its size in bytes of JSON."""

    value: Any
    size: int


@dataclass(frozen=True, kw_only=True)
class Past:
    """An effect that the case has already seen. Keep the object: what rules see of it is prepared once.

    `result` is a JSON value; text that parses as JSON is offered parsed. `ok` is false where it failed or was refused.
    """

    kind: Kind
    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    result: Any = None
    ok: bool = True
    verdict: Verdict = "allow"
    time: datetime

    @cached_property
    def _args(self) -> _View | None:
        return _remembered(dict(self.args))

    @cached_property
    def _result(self) -> _View | None:
        return _remembered(self.result)

    def _shown(self, words: frozenset[str], now: datetime) -> _View:
        entry: dict[str, Any] = {
            "kind": self.kind,
            "name": _clean(self.name),
            "ok": self.ok,
            "verdict": self.verdict,
            "seconds_ago": (now - _aware(self.time)).total_seconds(),
        }
        size = 0
        if "args" in words and (args := self._args) is not None:
            entry["args"] = args.value
            size += args.size
        if "result" in words and (result := self._result) is not None:
            entry["result"] = result.value
            size += result.size
        return _View(entry, size)


@dataclass(frozen=True, kw_only=True)
class Event:
    """A moment at which rules are asked.

    `name` is the tool, model, decision point, addressed agent or function; the agent itself at `input` and `output`.
    `text` is what people or models said here, concatenated (input, output, model and message hooks). `error` is the
    failure's text, empty where there was none. `history` holds the earlier effects of the whole case, newest last.
    """

    hook: Hook
    name: str
    agent: str = ""
    deployment: str = ""
    run_id: str = ""
    thread_id: str = ""
    labels: frozenset[str] = frozenset()
    args: Mapping[str, Any] = field(default_factory=dict)
    result: Any = None
    error: str = ""
    text: str = ""
    history: Sequence[Past] = ()
    time: datetime


def parsed(value: Any) -> Any:
    """`value`, but text that is a JSON object or array as what it says.

    Raises:
        UsageError: the text is nested so deeply that the parser gives up.
    """
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        if "depth limit" in error.msg:  # not to be told from text by a rule, and a way around it if it were
            raise UsageError(_TOO_DEEP) from error
        return value


def changed(event: Event, changes: Sequence[Change]) -> Event | None:
    """The event with changes made that do not conflict; None if it is as they want it already.

    Raises:
        TypeError: a change cannot be made, see `verdicts.changed`.
    """
    if SETS[event.hook] == "args":
        args = verdicts.changed(event.args, changes)
        return None if _same(args, event.args) else replace(event, args=args)
    current = parsed(event.result)
    result = verdicts.changed(current, changes)
    return None if _same(result, current) else replace(event, result=result)


def values(event: Event, labels: frozenset[str], words: frozenset[str], *, limit: int = EVENT_LIMIT) -> dict[str, Any]:
    """What the variables of the event's hook stand for.

    Args:
        labels: all labels known for the event's name, those of rule packs included.
        words: what the expressions mention; the costly variables among the others are left out.
        limit: bytes of JSON.

    Raises:
        LimitError: arguments, result, text and the part of the history that is shown exceed `limit`.
        UsageError: a value is not JSON (NaN, an object of some class).
    """
    kind = event.hook.partition(".")[0]
    found: dict[str, Any] = {
        "hook": event.hook,
        "name": _clean(event.name),
        "agent": _clean(event.agent),
        "deployment": _clean(event.deployment),
        "labels": sorted(labels),
        "run.id": event.run_id,
        "thread.id": event.thread_id,
        "time": _aware(event.time),
    }
    if kind in _NAMED:
        found[_NAMED[kind]] = found["name"]
    size = 0
    for variable in VARIABLES[event.hook].keys() & words & {"args", "result", "error", "text"}:
        value = getattr(event, variable)
        view = _presentable(dict(value) if variable == "args" else parsed(value) if variable == "result" else value)
        found[variable] = view.value
        size += view.size
    if "history" in words:
        found["history"], more = _history(event, words)
        size += more
    if size > limit:
        raise LimitError(f"the event has {size} bytes of JSON, rules look at {limit} at most")
    return found


def _history(event: Event, words: frozenset[str]) -> tuple[list[dict[str, Any]], int]:
    # What is left out (not mentioned, too large, not JSON) is an error in a rule that reads it, not an empty value.
    now = _aware(event.time)
    shown = [
        past._shown(words, now)  # pyright: ignore[reportPrivateUsage]  # of this module
        for past in event.history[-HISTORY_LIMIT:]
    ]
    return [view.value for view in shown], sum(view.size for view in shown)


def _remembered(value: Any) -> _View | None:
    """What rules see of a value of an earlier effect; None if it is too large, or cannot be shown to them at all."""
    try:
        view = _presentable(parsed(value))
    except UsageError:  # one odd result must not deny everything that follows it in the case
        return None
    return view if view.size <= PAST_LIMIT else None


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _clean(text: str) -> str:
    return _replaced(text) if "\0" in text or not text.isascii() else text


def _presentable(value: Any) -> _View:
    """`value` as CEL can hold it without losing any of it, and its size in bytes of JSON.

    The binding cuts text at a NUL character, which would hide what follows it from a rule, and NaN compares false
    with every limit: the first is replaced by U+FFFD, the second refused.
    """
    _check_depth(value)
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        encoded = text.encode()
    except UnicodeEncodeError:
        return _presentable(_replaced(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"rules see JSON values only: {error}") from error
    if "\\u0000" in text and (clean := _replaced(value)) != value:
        return _presentable(clean)
    return _View(value, len(encoded))


def _check_depth(value: Any) -> None:
    """By levels and not by recursion: the binding converts recursively and would take the process down."""
    level: list[Any] = [value] if isinstance(value, (dict, list, tuple)) else []
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list, tuple))
        ]
    raise UsageError(_TOO_DEEP)


def _replaced(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    if isinstance(value, Mapping):
        return {_replaced(key): _replaced(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replaced(item) for item in value]
    return value
