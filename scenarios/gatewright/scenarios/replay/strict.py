"""Strict replay: a release does an episode again, and every effect is answered from the record.

The graphs, the decision points' policies and the rules are those of the release, run for real; models, tools, messages
and people are the record. Nothing leaves the process. Each effect must leave the very bytes of its record, but for what
only happening can tell: time, duration, tries, usage, what people said, and the digest of the rule pack. It ends at the
first difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson
from langchain_core.runnables import RunnableConfig
from langgraph.pregel import Pregel
from langgraph.types import Command, Interrupt

from gatewright.agents.effects import ACTIVE, RunContext
from gatewright.agents.errors import UsageError
from gatewright.runtime import codec
from gatewright.runtime.episodes import Entry, Episode, Request, Run, Thread
from gatewright.runtime.identity import Steps

from .divergence import DivergedError, Divergence, Kind
from .player import Player
from .release import Release
from .rulings import Verdicts, verdicts
from .tape import Tape

RECURSION_LIMIT = 10_000  # the record ends a run, not the number of its steps
PATIENCE = 10.0  # seconds for a run that had not come to its end: it may have been stopped because it hung


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What came of an episode. `effects`: those that left the bytes of their record again, of `total`; `decisions` and
    `equal_decisions`: those at decision points among them. `rules`: whether they are those of the record."""

    episode: str
    effects: int
    total: int
    decisions: int
    equal_decisions: int
    rules: bool
    divergence: Divergence | None

    @property
    def equal(self) -> bool:
        """Whether all came out as recorded."""
        return self.divergence is None


async def replay(episode: Episode, release: Release) -> Replayed:
    """Do an episode again.

    Raises:
        UsageError: it is of a deployment or agent that the release does not have.
    """
    said, rules = verdicts(episode, release)
    equal = 0
    divergence: Divergence | None = None
    met = 0
    for thread in episode.threads:
        try:
            for run in episode.runs:
                if run.thread_id == thread.id and divergence is None:
                    one = _Run(episode, thread, run, release, said)
                    divergence = await one.play()
                    equal += one.player.equal
                    met += one.player.decisions
        finally:
            release.saver.delete_thread(thread.id)
    runs = {run.id for run in episode.runs}
    records = [e.record for e in episode.entries]
    effects = {(r.run_id, r.effect.key): r.effect.kind for r in records if r.effect is not None}
    return Replayed(
        episode=episode.id,
        effects=equal,
        total=sum(run_id in runs for run_id, _key in effects),
        decisions=sum(kind == "decision" for kind in effects.values()),
        equal_decisions=met,
        rules=rules,
        divergence=divergence,
    )


class _Run:
    """One run of an episode."""

    def __init__(self, episode: Episode, thread: Thread, run: Run, release: Release, verdicts: Verdicts) -> None:
        self._episode = episode
        self._thread = thread
        self._run = run
        self._release = release
        self._verdicts = verdicts
        self._deployment = release.deployment(run.deployment)
        agent = self._deployment.agents.get(run.agent)
        if agent is None:
            raise UsageError(
                f"the episode is of agent {run.agent!r} of deployment {run.deployment!r}, which this release does not "
                f"have; it has {sorted(self._deployment.agents)}"
            )
        self._graph = agent.graph
        self._complete = run.status == "succeeded"
        self.player = Player(
            episode.id,
            run.id,
            thread.salt,
            Tape(episode, run.id),
            release.around(self._deployment),
            verdicts,
            complete=self._complete,
        )

    async def play(self) -> Divergence | None:
        """Do it again; gives the first difference."""
        run, player = self._run, self.player
        given = self._episode.input_of(run)
        if given is None:
            return self._divergence("seal", "its input was erased, so it cannot be run again")
        if (said := self._verdicts.inputs.get(run.id)) is not None:
            return said
        value = self._verdicts.admitted.get(run.id, orjson.loads(given))
        if run.id in self._verdicts.refused:
            return None  # rules refused the input, and do so again
        if run.status == "cancelled" and not any(player.left()):
            return None  # nothing is known of how far it got
        token = ACTIVE.set(
            RunContext(
                run_id=run.id,
                thread_id=run.thread_id,
                case_id=self._episode.id,
                deployment=run.deployment,
                agent=run.agent,
                chain=player,
                settings=self._thread.settings,
                policies=self._deployment.policies,
            )
        )
        failure: Exception | None = None
        values: Any = None
        finished = False
        try:
            async with asyncio.timeout(None if self._complete else PATIENCE):
                questions = [each for each in self._episode.requests if each.run_id == run.id and each.answered]
                values, finished = await execute(self._graph, value, run.thread_id, player.steps, questions)
        except DivergedError:
            pass
        except Exception as error:
            failure = error
        finally:
            ACTIVE.reset(token)
        if player.diverged is not None:
            return player.diverged
        if player.cut_off:
            return None
        return self._outcome(values, failure, finished)

    def _outcome(self, values: Any, failure: Exception | None, finished: bool) -> Divergence | None:
        """Whether it ended as it had."""
        run = self._run
        ended = self._episode.ends.get(run.id)
        if failure is not None:
            if self._complete:
                return self._divergence("failure", f"it failed: {type(failure).__name__}: {failure}")
            return None
        if self._complete and not finished:
            return self._divergence("missing", "it waits for a person who was not asked in the record")
        if not self._complete:
            if run.status == "failed" and finished and self._verdicts.outputs.get(run.id) is None:
                return self._refused_output(ended)
            return None
        if (missing := self.player.missing()) is not None:
            return missing
        if (said := self._verdicts.outputs.get(run.id)) is not None:
            return said
        output = None if ended is None else ended.values.get("output")
        if output is None or run.id in self._verdicts.changed:
            return None
        now, then = orjson.loads(codec.shown(values)), orjson.loads(output.data)
        if not alike(now, then):
            return self._divergence("output", "it gives another output", _unnamed(then), _unnamed(now))
        return None

    def _refused_output(self, ended: Entry | None) -> Divergence | None:
        guard = None if ended is None else ended.record.guard
        if guard is not None and guard.after is not None and guard.after.verdict not in ("allow", "modify"):
            return None  # rules kept the answer back
        if (missing := self.player.missing()) is not None:
            return missing
        error = "" if ended is None else str(ended.record.error or "")
        return self._divergence("failure", f"it succeeds where it had failed {error}".rstrip())

    def _divergence(self, kind: Kind, what: str, then: Any = None, now: Any = None) -> Divergence:
        ended = self._episode.ends.get(self._run.id)
        position = None if ended is None else ended.position
        return Divergence(self._episode.id, self._run.id, position, kind, what, then, now)


async def execute(
    graph: Pregel[Any, Any, Any, Any], value: Any, thread_id: str, steps: Steps, questions: list[Request]
) -> tuple[Any, bool]:
    """The values of a graph, and whether it has come to its end; else it waits for what nobody has answered."""
    config: RunnableConfig = {
        "configurable": {"thread_id": thread_id},
        "callbacks": [steps],
        "recursion_limit": RECURSION_LIMIT,
    }
    payload: Any = value
    while True:
        values: Any = None
        interrupts: list[Interrupt] = []
        stream = graph.astream(payload, config, stream_mode=["updates", "values"], durability="exit")
        async for part in stream:
            mode, chunk = cast("tuple[str, Any]", part)
            if mode == "values":
                values = chunk
            elif "__interrupt__" in chunk:
                interrupts.extend(chunk["__interrupt__"])
        if not interrupts:
            return values, True
        answers = _answers(interrupts, questions)
        if not answers:
            return values, False
        payload = Command(resume=answers)


def _answers(interrupts: list[Interrupt], questions: list[Request]) -> dict[str, Any]:
    """What people answered to these questions; ids of interrupts are new in each execution, the questions are not."""
    found: dict[str, Any] = {}
    for interrupt in interrupts:
        asked = codec.plain(interrupt.value)
        match = next((each for each in questions if each.question == asked), None)
        if match is not None:
            questions.remove(match)
            found[interrupt.id] = match.answer
    return found


_MESSAGES = frozenset({"human", "ai", "system", "tool", "function", "developer"})


def alike(one: Any, other: Any) -> bool:
    """Whether two values are equal but for the ids of messages, see `_unnamed`; equal parts are not looked into."""
    if one == other:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        ours, theirs = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
        free = {"id"} if _is_message(ours) and _is_message(theirs) else set[str]()
        if ours.keys() - free != theirs.keys() - free:
            return False
        return all(name in free or alike(item, theirs[name]) for name, item in ours.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))  # pyright: ignore[reportUnknownArgumentType]
    return False


def _is_message(value: Mapping[str, Any]) -> bool:
    kind = value.get("type")
    return isinstance(kind, str) and kind in _MESSAGES and "content" in value


def _unnamed(value: Any) -> Any:
    """A value without the ids of messages: LangGraph gives a random one to each that has none."""
    if isinstance(value, dict):
        plain = {key: _unnamed(item) for key, item in cast("dict[str, Any]", value).items()}
        if _is_message(plain):
            plain.pop("id", None)
        return plain
    if isinstance(value, list):
        return [_unnamed(item) for item in value]
    return value
