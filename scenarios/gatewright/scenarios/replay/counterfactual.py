"""Counterfactual replay: what another policy or other rules would have made of an episode.

While the release asks for what the record holds, the record answers. Where it leaves the record (a decision comes out
otherwise, rules say something else, another effect is asked for) there are two ways: stop, or go on in the simulated
world, whose own tools then answer. Everything that is off the record is marked as such and nothing is made up: a
model, a person or a service that would have to be asked ends the replay. Nothing is executed outside of a simulated
world.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, NoReturn, cast

import orjson
from langchain_core.tools import BaseTool

from gatewright.agents import Conversation
from gatewright.agents.effects import ACTIVE, IDEMPOTENCY_KEY, Chain, Effect, RunContext
from gatewright.agents.errors import DeniedError, GatewrightError, TerminatedError, UsageError
from gatewright.environments.worlds import SimulatedWorld
from gatewright.runtime import codec, identifiers, journal, results
from gatewright.runtime.courses import Act, Course
from gatewright.runtime.deployments import LoadedDeployment
from gatewright.runtime.episodes import Entry, Episode
from gatewright.safety import canonical
from gatewright.safety.rules.events import BEFORE, Event, Past
from gatewright.safety.verdicts import Decision

from .divergence import Divergence
from .player import Player
from .release import Release
from .rulings import verdicts
from .strict import execute
from .tape import Tape, request_of

Answer = Literal["approve", "reject"]


class StoppedError(GatewrightError):
    """What comes next is not on record, and nobody here can say it."""


class Change(NamedTuple):
    """An effect that is off the record: `how` says what became of it (`decided`, `simulated`, `refused`, `told`)."""

    run_id: str
    kind: str
    name: str
    args: Any
    how: str
    result: Any = None


@dataclass(kw_only=True)
class Branch:
    """What came of an episode. `left`: where it left the record, None where it never did; `answered`: effects that the
    record answered; `changes`: those that are off the record, in their order; `stopped`: why it ended before its end.
    `reward` is the world's, for a case that came to its end off the record."""

    episode: str
    left: Divergence | None = None
    answered: int = 0
    changes: list[Change] = field(default_factory=list[Change])
    stopped: str = ""
    reward: float | None = None


async def replay(
    episode: Episode, release: Release, *, simulate: bool = False, approvals: Answer | None = None
) -> Branch:
    """What the release would have made of an episode.

    Args:
        simulate: go on in the deployment's world where the record ends.
        approvals: what people answer off the record; None stops there.

    Raises:
        UsageError: it is of a deployment that the release does not have, or there is no simulated world to go on in.
    """
    deployment = release.deployment(episode.root.deployment)
    world = deployment.world
    if simulate and not isinstance(world, SimulatedWorld):
        raise UsageError(
            f"deployment {deployment.name!r} works in no simulated world, so nothing can go on off the record; "
            "leave out --simulate"
        )
    course = _Course(episode, release, deployment, cast("SimulatedWorld", world) if simulate else None, approvals)
    await course.play()
    return course.branch


class _Course:
    """One episode, on the record and off it."""

    def __init__(
        self,
        episode: Episode,
        release: Release,
        deployment: LoadedDeployment,
        world: SimulatedWorld | None,
        approvals: Answer | None,
    ) -> None:
        self.episode = episode
        self.release = release
        self.deployment = deployment
        self.world = world
        self.approvals = approvals
        self.branch = Branch(episode=episode.id)
        self.verdicts = verdicts(episode, release)[0]
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        self._past: list[Past] = []

    async def play(self) -> None:
        """Run the root's runs again; those of agents that were asked, where the record does not answer for them."""
        replies: list[str] = []
        root = self.episode.root
        try:
            for run in self.episode.runs:
                if run.thread_id != root.id or self.branch.stopped:
                    continue
                given = self.episode.input_of(run)
                if given is None:
                    self.stop("an input was erased")
                player = Played(self, run.id, root.salt, Tape(self.episode, run.id))
                value = self.verdicts.admitted.get(run.id, orjson.loads(given or b"null"))
                values = await self.execute(run.agent, player, value, thread=root.id, run_id=run.id)
                replies.append(results.said(codec.plain(values)))
                await self.tell()
        except StoppedError as error:
            self.branch.stopped = self.branch.stopped or str(error)
        finally:
            self.release.saver.delete_thread(root.id)
        if self.branch.left is not None and not self.branch.stopped and self.world is not None:
            self._score(replies)

    async def execute(self, agent: str, player: Played, value: Any, *, thread: str, run_id: str) -> Any:
        """The values that an agent's graph ends with."""
        context = RunContext(
            run_id=run_id,
            thread_id=thread,
            case_id=self.episode.id,
            deployment=self.deployment.name,
            agent=agent,
            chain=player,
            settings=self.episode.root.settings,
            policies=self.deployment.policies,
        )
        token = ACTIVE.set(context)
        questions = [each for each in self.episode.requests if each.run_id == run_id and each.answered]
        try:
            values, finished = await execute(
                self.deployment.agents[agent].graph, value, thread, player.steps, questions
            )
        except Exception as error:
            if self.branch.stopped:
                raise StoppedError(self.branch.stopped) from error
            raise
        finally:
            ACTIVE.reset(token)
        if self.branch.stopped:
            raise StoppedError(self.branch.stopped)
        if not finished:
            self.stop("a person would be asked a question")
        return values

    async def tell(self) -> None:
        """Let the agents work that were only told something off the record."""
        while self.told:
            agent, payload = self.told.pop(0)
            await self.another(agent, payload)

    async def another(self, agent: str, payload: Any) -> Any:
        """Have another agent work off the record; gives its values."""
        name = f"{self.episode.id}.{len(self.branch.changes)}"
        player = Played(self, name, self.episode.root.salt, None)
        try:
            return await self.execute(agent, player, payload, thread=name, run_id=name)
        finally:
            self.release.saver.delete_thread(name)

    def leave(self, divergence: Divergence, before: int | None) -> None:
        """Leave the record: the world is brought to where it was before that record."""
        self.branch.left = divergence
        performed = [entry for entry in self.episode.entries if before is None or entry.position < before]
        for entry in performed:
            effect = entry.record.effect
            if effect is None:
                continue
            self._past.append(_past(entry))
            if self.world is not None and effect.kind == "tool" and entry.record.outcome in ("ok", "error"):
                self._repeat(entry)

    def _repeat(self, entry: Entry) -> None:
        """Perform a recorded call in the world, which must answer as it did."""
        effect = entry.record.effect
        assert effect is not None and self.world is not None
        tools: dict[str, BaseTool] = {tool.name: tool for tool in self.world.tools()}
        if effect.name not in tools or "args" not in entry.values:
            self.stop(f"the world has no tool {effect.name!r}, so it cannot be brought to where the record was left")
        context = ACTIVE.get()
        active, keyed = ACTIVE.set(None), IDEMPOTENCY_KEY.set(journal.idempotency_key(entry.record.run_id, effect.key))
        try:
            quiet = None if context is None else replace(context, chain=cast("Chain", _Open()))
            ACTIVE.set(quiet)
            try:
                said: Any = tools[effect.name].invoke(dict(entry.values["args"].decoded()))
            except Exception as error:
                said = results.failure(error)
        finally:
            IDEMPOTENCY_KEY.reset(keyed)
            ACTIVE.reset(active)
        then = results.judged(entry.values["result"].decoded()) if "result" in entry.values else None
        if results.judged(said) != then:
            self.stop(
                f"the world answers {effect.name!r} (record {entry.position}) otherwise than recorded, so it is not "
                "the one that the episode was in"
            )

    def stop(self, why: str) -> NoReturn:
        """Nothing more is known."""
        self.branch.stopped = self.branch.stopped or why
        raise StoppedError(why)

    def judge(self, effect: Effect, context: RunContext) -> Decision | None:
        """What rules say of an effect off the record; None where no rule is about such."""
        hook = BEFORE.get(effect.kind)
        guard = self.deployment.guard
        if hook is None or not guard.wants(hook, effect.name, effect.labels):
            return None
        args = cast("Mapping[str, Any]", canonical.json_value(dict(effect.args)))
        text = results.given(args) if effect.kind in ("model", "message") else ""
        event = Event(
            hook=hook,
            name=effect.name,
            agent=context.agent,
            deployment=context.deployment,
            run_id=context.run_id,
            thread_id=context.thread_id,
            labels=effect.labels,
            args=args,
            text=text,
            history=self._past,
            time=self._past[-1].time if self._past else datetime.now(UTC),
        )
        return guard.evaluate(event)

    def note(self, change: Change, *, ok: bool = True) -> None:
        """Take in what happened off the record."""
        self.branch.changes.append(change)
        time = self._past[-1].time if self._past else datetime.now(UTC)
        self._past.append(
            Past(
                kind=cast("Any", change.kind),
                name=change.name,
                args=change.args,
                result=results.judged(change.result),
                ok=ok,
                verdict="allow" if ok else "deny",
                time=time,
            )
        )

    def _score(self, replies: list[str]) -> None:
        assert self.world is not None
        conversation = Conversation(id=self.episode.id, customer=[], settings=dict(self.episode.root.settings))
        try:
            self.branch.reward = self.world.score(conversation, self.episode.id, replies)
        except GatewrightError:  # it needs a task, which the episode does not hold
            self.branch.reward = None


class _Open:
    """Lets a recorded call pass that is repeated in the world."""

    def perform(self, effect: Effect, action: Any) -> Any:
        return action(effect.args)


class Played(Player):
    """Answers from the record until it is left."""

    def __init__(self, course: _Course, run_id: str, salt: bytes, tape: Tape | None) -> None:
        around = course.release.around(course.deployment)
        empty = Tape(course.episode, "") if tape is None else tape
        super().__init__(course.episode.id, run_id, salt, empty, around, course.verdicts, complete=True)
        self._of = course

    def _course(self, effect: Effect) -> Course:
        if self._closed is not None:
            raise self._closed
        step, wanted, key = self._place(effect)
        if self._of.branch.left is None:
            with self._lock:
                entry = self._tape.take(key)
            if entry is not None and (yield from self._on_record(effect, entry, wanted.digest, key)):
                self._of.branch.answered += 1
                return self._answer(entry)
            if self._of.branch.left is None:
                self._leave(effect, entry, step)
            elif effect.kind == "decision":
                return self._of.branch.changes[-1].result
        return (yield from self._off(effect, key))

    def _on_record(self, effect: Effect, entry: Entry, digest: str, key: str) -> Course:
        """Whether the record answers; a decision that comes out otherwise leaves it."""
        assert entry.record.effect is not None
        said = self._verdicts
        if entry.record.effect.digest != digest or entry.position in said.effects.keys() - said.closed.keys():
            return False
        if effect.kind != "decision" or entry.record.outcome != "ok":
            return True
        args = self._open_to(effect, entry)
        made = yield Act(args, key, journal.idempotency_key(self._run_id, key))
        then = entry.values["result"].decoded()
        if made["option"] == then["option"]:
            return True
        what = f"decision {effect.name!r} comes out otherwise"
        self._of.leave(self._divergence("choice", entry, what, then, made), entry.position)
        self._of.note(Change(self._run_id, "decision", effect.name, dict(args), "decided", made))
        return False

    def _leave(self, effect: Effect, entry: Entry | None, step: str) -> None:
        asked = {"kind": effect.kind, "name": effect.name, "step": step, "args": dict(effect.args)}
        if entry is not None and (said := self._verdicts.effects.get(entry.position)) is not None:
            self._of.leave(said, entry.position)
            return
        following = entry or next(self._tape.left(), None)
        then = None if following is None else request_of(following)
        what = f"{effect.kind} {effect.name!r} is asked for, which is not on record here"
        divergence = self._divergence("request", following, what, then, asked)
        self._of.leave(divergence, None if following is None else following.position)

    def _off(self, effect: Effect, key: str) -> Course:
        """An effect that is not on record."""
        context = ACTIVE.get()
        assert context is not None
        args: Mapping[str, Any] = effect.args
        if (decision := self._of.judge(effect, context)) is not None:
            if decision.verdict in ("deny", "terminate"):
                self._refuse(effect, decision.reason, ends=decision.verdict == "terminate")
            if decision.verdict == "ask" and self._of.approvals is None:
                self._of.stop(f"a person would be asked about {effect.kind} {effect.name!r}")
            if decision.verdict == "ask" and self._of.approvals == "reject":
                self._refuse(effect, f"refused by a person: {decision.reason}", ends=False)
            args = effect.args if decision.args is None else decision.args
        if effect.kind == "decision":
            made = yield Act(args, key, journal.idempotency_key(self._run_id, key))
            self._of.note(Change(self._run_id, "decision", effect.name, dict(args), "decided", made))
            return made
        if effect.kind not in ("tool", "message") or self._of.world is None:
            self._of.stop(f"{effect.kind} {effect.name!r} is not on record")
        if effect.kind == "message":
            return self._message_off(effect, args)
        try:
            value = yield Act(args, key, journal.idempotency_key(self._run_id, key))
        except Exception as error:
            self._of.note(
                Change(self._run_id, "tool", effect.name, dict(args), "simulated", results.failure(error)), ok=False
            )
            raise
        self._of.note(Change(self._run_id, "tool", effect.name, dict(args), "simulated", codec.plain(value)))
        return value

    def _message_off(self, effect: Effect, args: Mapping[str, Any]) -> Any:
        self._of.note(Change(self._run_id, "message", effect.name, dict(args), "told"))
        name = identifiers.derived("run", self._run_id, str(len(self._of.branch.changes)))
        if "reply" not in args:
            return name  # published, for which there are no readers here
        if not args["reply"]:
            self._of.told.append((effect.name, args["payload"]))
            return name
        return orjson.loads(codec.shown(_awaited(self._of.another(effect.name, args["payload"]))))

    def _refuse(self, effect: Effect, reason: str, *, ends: bool) -> NoReturn:
        self._of.note(Change(self._run_id, effect.kind, effect.name, dict(effect.args), "refused", reason), ok=False)
        if ends:
            self._closed = TerminatedError(reason)
            raise self._closed
        raise DeniedError(reason or "a rule refused this")


def _awaited(coroutine: Any) -> Any:
    """The result of a coroutine, for code that blocks: an agent that asks another."""
    found: list[Any] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            found.append(asyncio.run(coroutine))
        except BaseException as error:
            failed.append(error)

    worker = threading.Thread(target=copy_context().run, args=(work,))
    worker.start()
    worker.join()
    if failed:
        raise failed[0]
    return found[0]


def _past(entry: Entry) -> Past:
    record, effect = entry.record, entry.record.effect
    assert effect is not None
    value = entry.values["result"].decoded() if "result" in entry.values else None
    args: Mapping[str, Any] = entry.values["args"].decoded() if "args" in entry.values else {}
    guard = record.guard
    return Past(
        kind=effect.kind,
        name=effect.name,
        args=args,
        result=results.judged(value),
        ok=record.outcome == "ok",
        verdict="allow" if guard is None or guard.before is None else guard.before.verdict,
        labels=effect.labels,
        time=datetime.fromisoformat(record.time),
    )
