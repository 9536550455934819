"""What the runtime shows to the rules: one event for every hook, and the variables that each hook offers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import orjson

from gatewright.agents.effects import Kind
from gatewright.agents.errors import LimitError, UsageError
from gatewright.safety import canonical, verdicts
from gatewright.safety.verdicts import Change, Verdict

from .functions import Type

if TYPE_CHECKING:
    from .provenance import Index

Hook = Literal[
    "input",
    "output",
    "tool.before",
    "tool.after",
    "model.before",
    "model.after",
    "decision.before",
    "decision",
    "message.send",
    "message.receive",
    "handoff",
    "function.before",
    "function.after",
    "thread.start",
    "thread.end",
]
"""`input`/`output`: what a run is given and what it answers · `x.before`: an effect is wished, nothing has happened ·
`x.after`: its result is there, the agent has not seen it · `decision`: an option was picked at a decision point ·
`message.send`: one agent is about to write to another · `message.receive`: what was written arrives there · `handoff`:
an agent gives the conversation to another · `thread.start`/`thread.end`: a case begins and is over."""

MAX_PASSES = 4  # how often a changed event is judged before its rules are called unstable
HISTORY_LIMIT = 200  # entries offered to the rules, the newest
PAST_LIMIT = 65_536  # bytes of JSON: larger arguments or results of earlier effects are left out of `history`
MAX_DEPTH = canonical.MAX_DEPTH  # levels of nesting in a value
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
MAX_VALUES = 262_144  # texts, numbers, lists and so on within one value
_TOO_DEEP = f"rules look at {MAX_DEPTH} levels of nesting at most; flatten the value"
EVENT_LIMIT = 4_194_304  # bytes of JSON: a larger event is refused

_PAST_FIELDS = frozenset({"kind", "name", "args", "result", "ok", "verdict", "text"})

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
    "scores": "map(string, double)",
    "tainted": "bool",
}
_ARGS: dict[str, Type] = {"args": "map(string, dyn)"}
_RESULT: dict[str, Type] = {"result": "dyn"}
_OUTCOME: dict[str, Type] = {"result": "dyn", "error": "string"}
_TEXT: dict[str, Type] = {"text": "string"}
_TOOL: dict[str, Type] = {"tool.name": "string"}
_MODEL: dict[str, Type] = {"model.name": "string"}
_POINT: dict[str, Type] = {"point.name": "string"}
_TO: dict[str, Type] = {"message.to": "string"}
_FROM: dict[str, Type] = {"message.from": "string"}
_HANDOFF: dict[str, Type] = {"handoff.to": "string"}
_TARGETS: dict[str, Type] = {"targets": "list(map(string, dyn))"}
_LINKS: dict[str, Type] = {"payload.links": "list(map(string, dyn))"}

VARIABLES: Mapping[Hook, Mapping[str, Type]] = {
    "input": _COMMON | _ARGS | _TEXT,
    "output": _COMMON | _TEXT | _RESULT | _LINKS,
    "tool.before": _COMMON | _ARGS | _TOOL | _TARGETS | _LINKS,
    "tool.after": _COMMON | _ARGS | _OUTCOME | _TOOL | _TARGETS | _LINKS,
    "model.before": _COMMON | _ARGS | _TEXT | _MODEL,
    "model.after": _COMMON | _ARGS | _OUTCOME | _TEXT | _MODEL,
    "decision.before": _COMMON | _ARGS | _POINT,
    "decision": _COMMON | _ARGS | _RESULT | _POINT,
    "message.send": _COMMON | _ARGS | _TEXT | _TO | _LINKS,
    "message.receive": _COMMON | _ARGS | _TEXT | _FROM,
    "handoff": _COMMON | _ARGS | _HANDOFF,
    "function.before": _COMMON | _ARGS | _TARGETS | _LINKS,
    "function.after": _COMMON | _ARGS | _OUTCOME | _TARGETS | _LINKS,
    "thread.start": _COMMON | _ARGS,
    "thread.end": _COMMON,
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
    "message.receive": "args",
    "function.before": "args",
    "function.after": "result",
}
"""What a `modify` rule may set at each hook. Hand-offs and threads are not changed: refuse them; nor are decisions, of
which options are closed."""

CLOSES: Hook = "decision.before"
"""Where a `modify` rule may close options."""

BEFORE: Mapping[Kind, Hook] = {
    "tool": "tool.before",
    "model": "model.before",
    "function": "function.before",
    "message": "message.send",
    "decision": "decision.before",
}
AFTER: Mapping[Kind, Hook] = {
    "tool": "tool.after",
    "model": "model.after",
    "function": "function.after",
    "decision": "decision",
}
"""The hooks at which rules are asked about an effect before it is performed, and about its result."""

ASKS: frozenset[Hook] = frozenset({"tool.before", "model.before", "function.before", "message.send"})
"""Where an `ask` rule can hold something up until people have decided."""

_NAMED: Mapping[Hook, str] = {
    "tool.before": "tool.name",
    "tool.after": "tool.name",
    "model.before": "model.name",
    "model.after": "model.name",
    "decision.before": "point.name",
    "decision": "point.name",
    "message.send": "message.to",
    "handoff": "handoff.to",
}


class _View(NamedTuple):
    """A value as rules may see it, with its size in bytes of JSON."""

    value: Any
    size: int


@dataclass(frozen=True, kw_only=True)
class Past:
    """An effect that the case has already seen, or what people said in it. Keep the object: what rules see of it is
    prepared once.

    `result` is a JSON value; text that parses as JSON is offered parsed. `ok` is false where it failed or was refused.
    `labels` are the effect's own, those of rule packs need not be among them. With `kind="human"`, `result` is what was
    said: the input of the case's root runs and every answer of a person.
    """

    kind: Kind
    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    result: Any = None
    ok: bool = True
    verdict: Verdict = "allow"
    labels: frozenset[str] = frozenset()
    time: datetime

    @cached_property
    def _args(self) -> _View | None:
        return _remembered(dict(self.args))

    @cached_property
    def _result(self) -> _View | None:
        return _remembered(self.result)

    @cached_property
    def _shown(self) -> tuple[int, dict[frozenset[str], _View]]:
        return _microseconds(self.time), {}

    def view(self, fields: frozenset[str]) -> _View:
        """What rules see of it, as far as they name it; `seconds_ago` changes all the time and is left out."""
        entry: dict[str, Any] = {"kind": self.kind, "name": clean(self.name), "ok": self.ok, "verdict": self.verdict}
        entry = {name: value for name, value in entry.items() if name in fields}
        size = 0
        if "args" in fields and (args := self._args) is not None:
            entry["args"] = args.value
            size += args.size
        if "result" in fields and (result := self._result) is not None:
            entry["result"] = result.value
            size += result.size
        if "text" in fields and self.kind == "human" and isinstance(self.result, str):
            entry["text"] = clean(self.result)
            size += len(self.result)
        return _View(entry, size)


@dataclass(frozen=True, kw_only=True)
class Event:
    """A moment at which rules are asked.

    `name` is the tool, model, decision point, addressed agent or function; the agent itself at `input`, `output`,
    `message.receive`, `thread.start` and `thread.end`. `sender` is the agent that a message came from. `text` is what
    people or models said here, concatenated (input, output, model and message hooks). `error` is the failure's text,
    empty where there was none. `scores` are those of external guards, by their names. `history` holds the earlier
    effects of the whole case, newest last. `index` has taken in all of the case, see `Guard.index`; without one, what
    rules need of it is read from `history` whenever they are asked.
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
    sender: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    history: Sequence[Past] = ()
    index: Index | None = None
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
    if SETS.get(event.hook, "args") == "args":
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
        LimitError: arguments, result, text and the part of the history that is shown exceed `limit`, or one of them
            holds more than `MAX_VALUES`.
        UsageError: a value is not JSON (NaN, an object of some class).
    """
    found: dict[str, Any] = {
        "hook": event.hook,
        "name": clean(event.name),
        "agent": clean(event.agent),
        "deployment": clean(event.deployment),
        "labels": sorted(labels),
        "run.id": event.run_id,
        "thread.id": event.thread_id,
        "time": aware(event.time),
    }
    if event.hook in _NAMED:
        found[_NAMED[event.hook]] = found["name"]
    if event.hook == "message.receive":
        found["message.from"] = clean(event.sender)
    if "scores" in words:
        found["scores"] = _scores(event.scores)
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


def _scores(scores: Mapping[str, float]) -> dict[str, float]:
    for guard, score in scores.items():
        if not math.isfinite(score):  # NaN would be below every limit
            raise UsageError(f"the guard {guard!r} gave the score {score!r}; a score is a finite number")
    return {clean(guard): float(score) for guard, score in scores.items()}


def _history(event: Event, words: frozenset[str]) -> tuple[list[dict[str, Any]], int]:
    # What is left out (not mentioned, too large, not JSON) is an error in a rule that reads it, not an empty value.
    fields = words & _PAST_FIELDS  # the binding converts whole entries: what no rule names would only cost time
    entries: list[dict[str, Any]] = []
    size = 0
    now = _microseconds(event.time) if "seconds_ago" in words else None
    for past in event.history[-HISTORY_LIMIT:]:
        time, views = past._shown  # pyright: ignore[reportPrivateUsage]  # of this module
        entry, more = views.get(fields) or views.setdefault(fields, past.view(fields))
        size += more
        entries.append(entry if now is None else {**entry, "seconds_ago": (now - time) / 1_000_000})
    return entries, size


def _remembered(value: Any) -> _View | None:
    """What rules see of a value of an earlier effect; None if it is too large, or cannot be shown to them at all."""
    try:
        view = _presentable(parsed(value))
    except (UsageError, LimitError):  # one odd result must not deny everything that follows it in the case
        return None
    return view if view.size <= PAST_LIMIT else None


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def aware(time: datetime) -> datetime:
    """`time` with a time zone: UTC where it had none."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _microseconds(time: datetime) -> int:
    return (aware(time) - _EPOCH) // timedelta(microseconds=1)


def clean(text: str) -> str:
    """`text` as the binding can hold it, see `_presentable`."""
    return _replaced(text) if "\0" in text or not text.isascii() else text


def presentable(value: Any) -> Any:
    """A JSON value as expressions can be given it, text without NUL characters.

    Raises:
        UsageError: it is no JSON value, or nested too deeply.
        LimitError: it holds more than `MAX_VALUES` others.
    """
    return _presentable(value).value


def _presentable(value: Any) -> _View:
    """`value` as CEL can hold it without losing any of it, and its size in bytes of JSON.

    The binding cuts text at a NUL character, which would hide what follows it from a rule, and NaN compares false
    with every limit: the first is replaced by U+FFFD, the second refused.
    """
    _check_shape(value)
    try:
        text = _JSON.encode(value)
        encoded = text.encode()
    except UnicodeEncodeError:
        return _presentable(_replaced(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"rules see JSON values only: {error}") from error
    if "\\u0000" in text and (clean := _replaced(value)) != value:
        return _presentable(clean)
    return _View(value, len(encoded))


def _check_shape(value: Any) -> None:
    """By levels and not by recursion: the binding converts recursively and would take the process down."""
    level: list[Any] = [value] if isinstance(value, (dict, list, tuple)) else []
    count = 0
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return
        count += sum(map(len, level))
        if count > MAX_VALUES:
            raise LimitError(f"a value holds more than {MAX_VALUES} others, rules look at no more; pass on less of it")
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
