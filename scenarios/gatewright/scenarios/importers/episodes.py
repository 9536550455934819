"""Recordings of other harnesses as episodes of ours: what they say, and nothing that they do not.

Such an episode has no ledger: its records hold what was recorded, with salts made of its id, and their times count
microseconds from 1970, since none are known. It can be searched, exported and compared; a strict replay needs an
episode of our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, cast

import orjson

from gatewright.agents.effects import Effect, Kind
from gatewright.environments.recordings import Message, RecordedCall, Recording
from gatewright.runtime import journal
from gatewright.runtime.episodes import Entry, Episode, Run, Thread, Value
from gatewright.safety import canonical
from gatewright.safety.ledger import records
from gatewright.scenarios.episodes import Recorded

DEPLOYMENT = "imported"
_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)


def recorded(recording: Recording) -> Recorded:
    """The episode that a recording is, with its reward, and what else is known of it in `outcome`."""
    outcome: dict[str, Any] = {
        "source": recording.source,
        "domain": recording.domain,
        "task_id": recording.task_id,
        "trial": recording.trial,
        "model": recording.model,
        "cost": recording.cost,
        "ended": recording.ended,
    }
    if (failure := recording.failure) is not None:
        outcome["failure"] = {
            "agent": failure.agent,
            "step": failure.step,
            "reason": failure.reason,
            "finding": failure.finding,
        }
    known = {name: value for name, value in outcome.items() if value is not None}
    return Recorded(episode=_Import(recording).episode(), reward=recording.reward, outcome=known)


class _Import:
    """One recording on its way."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._salt = sha256(f"imported\n{recording.id}".encode()).digest()[:16]
        self._entries: list[Entry] = []
        self._runs: list[Run] = []

    def episode(self) -> Episode:
        said: list[dict[str, Any]] = []
        for message in self._recording.messages:
            if message.role == "user" and not message.calls:
                self._begin(message)
            elif not self._runs:
                self._begin(None)
            if message.role == "assistant":
                self._model(message, said)
            for call in message.calls:
                self._tool(call, message.agent)
            said += _shown(message)
        self._end()
        thread = Thread(self._recording.id, self._agent(None), DEPLOYMENT, {}, self._salt)
        return Episode(self._recording.id, [thread], self._runs, self._entries, [])

    def _agent(self, name: str | None) -> str:
        return name or self._recording.model or "agent"

    def _begin(self, message: Message | None) -> None:
        self._end()
        given = {"messages": [] if message is None else [{"role": "user", "content": message.text}]}
        number = len(self._runs)
        run = Run(
            f"{self._recording.id}/{number}",
            self._recording.id,
            self._agent(None),
            DEPLOYMENT,
            "succeeded",
            len(self._entries),
            orjson.dumps(given),
            None,
        )
        self._runs.append(run)

    def _end(self) -> None:
        if self._runs:
            record = self._record("run", "", outcome="ok", detail={"status": "succeeded"})
            self._entries.append(Entry(len(self._entries), record.encode()))

    def _model(self, message: Message, said: list[dict[str, Any]]) -> None:
        calls = [{"name": call.name, "args": dict(call.args), "id": call.id} for call in message.calls]
        answer: dict[str, Any] = {"type": "ai", "content": message.text, **({"tool_calls": calls} if calls else {})}
        usage = None
        if message.tokens is not None:
            cost = None if message.cost is None else round(message.cost * 1_000_000)
            usage = records.UsagePart(
                input_tokens=message.tokens.prompt, output_tokens=message.tokens.completion, cost_microusd=cost
            )
        self._effect("model", self._agent(message.agent), {"messages": list(said)}, answer, message.agent, usage=usage)

    def _tool(self, call: RecordedCall, agent: str | None) -> None:
        self._effect("tool", call.name, dict(call.args), call.result, agent, call_id=call.id)

    def _effect(
        self,
        kind: Kind,
        name: str,
        args: Mapping[str, Any],
        result: Any,
        agent: str | None,
        *,
        call_id: str | None = None,
        usage: records.UsagePart | None = None,
    ) -> None:
        plain = cast("Mapping[str, Any]", canonical.json_value(dict(args)))
        effect = Effect(kind=kind, name=name, args=plain, call_id=call_id)
        digest = journal.digest_of(effect, self._salt)
        step = f"turn@{len(self._entries)}"
        part = records.EffectPart(
            kind=kind, name=name, key=journal.key_of(step, effect, digest, 0), digest=digest, call_id=call_id
        )
        values = {"args": self._value(plain), "result": self._value(result)}
        record = self._record(
            "effect",
            step,
            agent=self._agent(agent),
            outcome="unknown" if result is None else "ok",
            effect=part,
            usage=usage,
            sealed={field: sha256(value.salt + value.data).hexdigest() for field, value in values.items()},
        )
        self._entries.append(Entry(len(self._entries), record.encode(), values))

    def _record(self, kind: records.Kind, step: str, agent: str | None = None, **more: Any) -> records.Record:
        return records.Record(
            kind=kind,
            time=records.timestamp(_UNKNOWN + timedelta(microseconds=len(self._entries))),
            deployment=DEPLOYMENT,
            run_id=self._runs[-1].id,
            thread_id=self._recording.id,
            case_id=self._recording.id,
            step=step,
            agent=agent or self._agent(None),
            **more,
        )

    def _value(self, value: Any) -> Value:
        return Value("json", orjson.dumps(canonical.json_value(value)), self._salt, trusted=False)


def _shown(message: Message) -> Iterator[dict[str, Any]]:
    """A message as those after it were asked with."""
    calls = [{"name": call.name, "args": dict(call.args), "id": call.id} for call in message.calls]
    yield {"type": message.role, "content": message.text, **({"tool_calls": calls} if calls else {})}
    for call in message.calls:
        if call.result is not None:
            yield {"type": "tool", "content": call.result, "tool_call_id": call.id}
