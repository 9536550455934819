"""The chain of a replayed run: every effect is answered from the record, and nothing is performed."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple, NoReturn, TypeVar, cast

import orjson

from gatewright.agents.effects import Effect
from gatewright.agents.errors import IntegrityError, TerminatedError
from gatewright.runtime import codec, exchange, journal, results
from gatewright.runtime.courses import Act, Course, adrive, drive
from gatewright.runtime.episodes import Entry, Value
from gatewright.runtime.identity import Steps
from gatewright.runtime.journal import Wanted
from gatewright.safety import canonical

from .divergence import DivergedError, Divergence, Kind, nearest
from .rulings import Verdicts
from .tape import Tape, check_seals, request_of

R = TypeVar("R")

Shape = Callable[[str, Any, str | None], tuple[str, Any]]
"""The type and the JSON form in which a topic takes a payload."""


class Surroundings(NamedTuple):
    """What a player knows of the release that it plays. `colleagues`: the agents of the team."""

    colleagues: frozenset[str]
    shape: Shape


class Player:
    """Answers the effects of one run. The first divergence ends it, and is kept, whatever the agent makes of it."""

    def __init__(
        self,
        episode: str,
        run_id: str,
        salt: bytes,
        tape: Tape,
        around: Surroundings,
        verdicts: Verdicts,
        *,
        complete: bool,
    ) -> None:
        """`verdicts`: what rules say of the episode now; `complete`: whether the run had come to its end."""
        self._episode = episode
        self._run_id = run_id
        self._salt = salt
        self._tape = tape
        self._around = around
        self._verdicts = verdicts
        self._complete = complete
        self._lock = threading.Lock()
        self._closed: BaseException | None = None
        self.diverged: Divergence | None = None
        self.cut_off = False
        self.equal = 0
        self.decisions = 0
        self.steps = Steps(self)

    # what agents call

    def perform(self, effect: Effect, action: Callable[[Mapping[str, Any]], R]) -> R:
        """See `gatewright.agents.Chain.perform`."""
        return cast("R", drive(self._course(effect), action))

    async def aperform(self, effect: Effect, action: Callable[[Mapping[str, Any]], Awaitable[R]]) -> R:
        """See `gatewright.agents.Chain.aperform`."""
        return cast("R", await adrive(self._course(effect), action))

    def ask(self, agent: str, payload: Mapping[str, Any], *, topic: str, timeout: float | None) -> Any:
        """See `gatewright.agents.ask`."""
        return drive(self._course(self._message(agent, payload, topic, reply=True, timeout=timeout)))

    def send(self, agent: str, payload: Mapping[str, Any], *, topic: str) -> str:
        """See `gatewright.agents.send`."""
        return str(drive(self._course(self._message(agent, payload, topic, reply=False, timeout=None))))

    def publish(self, topic: str, payload: Any, *, key: str | None, type: str | None, timeout: float | None) -> str:
        """See `gatewright.agents.publish`."""
        type_, data = self._around.shape(topic, payload, type)
        return str(drive(self._course(exchange.publication(topic, type_, data, key=key, timeout=timeout))))

    def _message(
        self, agent: str, payload: Mapping[str, Any], topic: str, *, reply: bool, timeout: float | None
    ) -> Effect:
        colleagues = self._around.colleagues
        return exchange.message(agent, payload, topic, colleagues=colleagues, reply=reply, timeout=timeout)

    # what steps tell

    def begun(self, step: str) -> None:
        """Nothing depends on it: answers are found by their place."""

    def ended(self, step: str) -> None:
        """Nothing depends on it."""

    def failed(self, step: str, error: BaseException) -> None:
        """Nothing depends on it: of several tries the record has the last."""

    # the answers

    def _course(self, effect: Effect) -> Course:
        if self._closed is not None:
            raise self._closed
        step, wanted, key = self._place(effect)
        digest = wanted.digest
        with self._lock:
            entry = self._tape.take(key)
        if entry is None:
            self._unknown(effect, step)
        record = entry.record
        assert record.effect is not None
        try:
            check_seals(entry)
        except IntegrityError as error:
            self._diverge("seal", entry, f"{_title(effect)}: {error}")
        if record.effect.digest != digest:
            self._diverge(
                "request", entry, f"{_title(effect)} with other arguments", request_of(entry), _asked(effect, step)
            )
        if (said := self._verdicts.effects.get(entry.position)) is not None:
            self._end(said)
        if (closed := self._closed_otherwise(effect, entry)) is not None:
            self._end(closed)
        if self._was_chosen(effect, entry):
            made = yield Act(self._open_to(effect, entry), key, journal.idempotency_key(self._run_id, key))
            self._compare_choice(effect, entry, made)
        self._compare_record(effect, entry, step, wanted)
        with self._lock:
            self.equal += 1
            self.decisions += effect.kind == "decision"
        return self._answer(entry)

    def _place(self, effect: Effect) -> tuple[str, Wanted, str]:
        """The step that asks, what it asks for, and the key of that."""
        wanted = journal.wanted(effect, self._salt)
        step = self.steps.here()
        occurrence = self.steps.occurrence(step, effect.kind, f"{effect.name}:{effect.call_id or wanted.digest}")
        return step, wanted, journal.key_of(step, effect, wanted.digest, occurrence)

    def _answer(self, entry: Entry) -> Any:
        value = entry.values["result"].decoded() if "result" in entry.values else None
        if entry.record.outcome == "ok":
            if "result" not in entry.values:
                self._diverge("seal", entry, "its result was erased, so nothing can be run again from here on")
            return value
        error = results.revive(value if isinstance(value, Mapping) else {"type": "DeniedError", "message": "erased"})
        if isinstance(error, TerminatedError):
            self._closed = error
        raise error

    def _was_chosen(self, effect: Effect, entry: Entry) -> bool:
        """Whether a policy made this decision, and no person in its place."""
        approval = entry.record.approval
        answered = approval is not None and approval.verdict == "answer"
        return effect.kind == "decision" and entry.record.outcome == "ok" and not answered

    def _open_to(self, effect: Effect, entry: Entry) -> Mapping[str, Any]:
        """What a policy is given at a decision point: rules may have closed options, or a person written all of it."""
        approval = entry.record.approval
        if approval is not None and approval.verdict == "edit" and "args" in entry.values:
            return cast("Mapping[str, Any]", entry.values["args"].decoded())
        closed = self._verdicts.closed.get(entry.position)
        return effect.args if closed is None else {**effect.args, "closed": closed}

    def _closed_otherwise(self, effect: Effect, entry: Entry) -> Divergence | None:
        """The difference, where rules close other options now than when something chose, or had none to choose."""
        if effect.kind != "decision" or entry.record.duration_ms is None or "args" not in entry.values:
            return None
        then, now = entry.values["args"].decoded()["closed"], self._open_to(effect, entry)["closed"]
        what = f"rules close other options of {_title(effect)}"
        return None if then == now else self._divergence("verdict", entry, what, then, now)

    def _compare_choice(self, effect: Effect, entry: Entry, made: Any) -> None:
        recorded = entry.values.get("result")
        if recorded is None or codec.encode(made).value != recorded.data:
            then = None if recorded is None else recorded.decoded()
            self._diverge("choice", entry, f"{_title(effect)} comes out otherwise", then, made)

    def _compare_record(self, effect: Effect, entry: Entry, step: str, wanted: Wanted) -> None:
        """Whether what is asked for now leaves the bytes of the record; what only happening can tell is taken from it.

        A record that could be read is the one spelling of its fields, and its values are those that it commits to,
        both checked before: where fields and values are equal, so are the bytes, and they need not be made again.
        """
        then = entry.record
        assert then.effect is not None
        asked = dataclasses.replace(
            then.effect,
            kind=effect.kind,
            name=effect.name,
            digest=wanted.digest,
            call_id=effect.call_id,
            labels=effect.labels,
        )
        name = "wished" if "wished" in entry.values else "args"
        value, data = entry.values.get(name), orjson.dumps(wanted.args)
        if step == then.step and asked == then.effect and (value is None or data == value.data):
            return
        sealed = then.sealed if value is None else {**then.sealed, name: _commitment(value, data)}
        now = dataclasses.replace(then, step=step, effect=asked, sealed=sealed)
        self._diverge(
            "request",
            entry,
            f"{_title(effect)} leaves another record",
            orjson.loads(entry.body),
            orjson.loads(now.encode()),
        )

    # divergence

    def _unknown(self, effect: Effect, step: str) -> NoReturn:
        asked = _asked(effect, step)
        left = list(self._tape.left())
        if not self._complete and not left:
            self.cut_off = True
            error = DivergedError(self._divergence("missing", None, "the record ends here: the run was cut off"))
            self._closed = error
            raise error
        expected = left[0] if left else None
        same = [entry for entry in left if entry.record.effect is not None and entry.record.effect.kind == effect.kind]
        like = nearest(asked, map(request_of, same or left))
        if expected is None:
            self._diverge("request", None, f"{_title(effect)} was asked for after all that the record has", None, asked)
        there = request_of(expected)
        what = f"{_title(effect)} was asked for where the record has {there['kind']} {there['name']!r}"
        self._diverge("request", expected, what, like, asked)

    def _diverge(
        self, kind: Kind, entry: Entry | None, what: str, recorded: Any = None, replayed: Any = None
    ) -> NoReturn:
        self._end(self._divergence(kind, entry, what, recorded, replayed))

    def _divergence(
        self, kind: Kind, entry: Entry | None, what: str, recorded: Any = None, replayed: Any = None
    ) -> Divergence:
        position = None if entry is None else entry.position
        return Divergence(self._episode, self._run_id, position, kind, what, recorded, replayed)

    def _end(self, divergence: Divergence) -> NoReturn:
        with self._lock:
            first = self.diverged
            if first is None:
                self.diverged = divergence
            self._closed = DivergedError(first or divergence)
        raise self._closed

    def left(self) -> Iterator[Entry]:
        """What the record has, and the run has not asked for."""
        return self._tape.left()

    def missing(self) -> Divergence | None:
        """What the record has, and the run did not ask for."""
        left = list(self._tape.left())
        if not left:
            return None
        there = request_of(left[0])
        what = f"{there['kind']} {there['name']!r} was not asked for, nor were {len(left) - 1} others of the record"
        return self._divergence("missing", left[0], what, there, None)


def _title(effect: Effect) -> str:
    return f"{effect.kind} {effect.name!r}"


def _asked(effect: Effect, step: str) -> dict[str, Any]:
    args = canonical.json_value(dict(effect.args))
    return {"kind": effect.kind, "name": effect.name, "step": step, "args": args}


def _commitment(value: Value, data: bytes) -> str:
    return sha256(value.salt + data).hexdigest()
