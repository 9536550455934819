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
from collections.abc import Coroutine, Mapping
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
from gatewright.runtime.episodes import Entry, Episode, Run
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
    """An effect that is off the record: `how` says what became of it (`decided`, `simulated`, `refused`, `asked`,
    `told`).

    Of kind `input` is what a run was given and rules do not let in, of kind `run` a run that `failed`.
    """

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
        self.told_on_record: list[Run] = []
        self._tapes: dict[str, Tape] = {}  # of the runs that were begun again
        self._past: list[Past] = []

    async def play(self) -> None:
        """Run the root's runs again, and with them those of the agents that are asked or told something."""
        replies: list[str] = []
        root = self.episode.root
        try:
            for run in self.episode.runs:
                if run.thread_id != root.id:
                    continue
                values = await self._spared(run.id, run.agent, self.again(run))
                if values is not None:
                    replies.append(results.said(codec.plain(values)))
                await self.tell()
        except StoppedError as error:
            self.branch.stopped = self.branch.stopped or str(error)
        finally:
            for thread in self.episode.threads:
                self.release.saver.delete_thread(thread.id)
        if self.branch.left is not None and not self.branch.stopped and self.world is not None:
            self._score(replies)

    async def again(self, run: Run) -> Any:
        """The values that a recorded run ends with, on the record or off it; None where rules do not let it begin.

        Raises:
            Exception: what its agent fails with.
        """
        said, first = self.verdicts, self.branch.left is None
        given = self.episode.input_of(run)
        if given is None:
            self.stop("an input was erased")
        if run.agent not in self.deployment.agents:
            self.stop(f"this release has no agent {run.agent!r}")
        tape = self._tapes[run.id] = Tape(self.episode, run.id)
        if first and (otherwise := said.inputs.get(run.id)) is not None:
            self.leave(otherwise, next((entry.position for entry in tape.left()), None))
            if run.id in said.refused:
                reason = (otherwise.replayed or {}).get("reason")
                self.note(Change(run.id, "input", run.agent, orjson.loads(given), "refused", reason), ok=False)
        if run.id in said.refused:
            return None
        salt = next(thread.salt for thread in self.episode.threads if thread.id == run.thread_id)
        player = Played(self, run.id, salt, tape, complete=run.status == "succeeded")
        value = said.admitted.get(run.id, orjson.loads(given))
        ended = self.episode.ends.get(run.id)
        position = None if ended is None else ended.position
        try:
            values = await self.execute(run.agent, player, value, thread=run.thread_id, run_id=run.id)
        except Exception as error:
            if player.cut_off:
                return None
            if self.branch.left is None and run.status == "succeeded" and not isinstance(error, StoppedError):
                what = f"it failed: {type(error).__name__}: {error}"
                self.leave(Divergence(self.episode.id, run.id, position, "failure", what, None, None), position)
            raise
        if self.branch.left is None and (otherwise := said.outputs.get(run.id)) is not None:
            self.leave(otherwise, position)
        return values

    def child(self, run_id: str, key: str) -> Run | None:
        """The recorded run of the agent that a message was written to; None where the message is on no agent's way."""
        name = identifiers.derived("run", run_id, key)
        return next((run for run in self.episode.runs if run.id == name), None)

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
        """Let the agents work that were only told something."""
        while self.told_on_record:
            await self.tell_on_record(self.told_on_record[0].thread_id)
        while self.told:
            agent, payload = self.told.pop(0)
            await self._spared(self.episode.id, agent, self.another(agent, payload))

    async def tell_on_record(self, thread_id: str) -> None:
        """Let an agent do again what it was told on this thread."""
        for run in [run for run in self.told_on_record if run.thread_id == thread_id]:
            self.told_on_record.remove(run)
            if self.branch.left is None:
                await self._spared(run.id, run.agent, self.again(run))

    async def _spared(self, run_id: str, agent: str, working: Coroutine[Any, Any, Any]) -> Any:
        """What a run gives of which nobody waits for the failure; None where it failed."""
        try:
            return await working
        except StoppedError:
            raise
        except Exception as error:
            if self.branch.left is not None:
                self.note(Change(run_id, "run", agent, None, "failed", results.failure(error)), ok=False)
            return None

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
        for entry in self.episode.entries:
            effect = entry.record.effect
            if effect is None or not self._has_happened(entry, before):
                continue
            self._past.append(_past(entry))
            if self.world is not None and effect.kind == "tool" and entry.record.outcome in ("ok", "error"):
                self._repeat(entry)

    def _has_happened(self, entry: Entry, before: int | None) -> bool:
        effect, tape = entry.record.effect, self._tapes.get(entry.record.run_id)
        if tape is None or effect is None:  # nobody here does it again
            told = any(run.id == entry.record.run_id for run in self.told_on_record)
            return told or before is None or entry.position < before
        return entry.position != before and tape.met(effect.key)

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

    def __init__(self, course: _Course, run_id: str, salt: bytes, tape: Tape | None, *, complete: bool = True) -> None:
        around = course.release.around(course.deployment)
        empty = Tape(course.episode, "") if tape is None else tape
        super().__init__(course.episode.id, run_id, salt, empty, around, course.verdicts, complete=complete)
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
                return self._followed(effect, entry, key)
            if entry is None and not self._complete and not any(self._tape.left()):
                self.cut_off = True
                self._closed = StoppedError("the record ends here: the run was cut off")
                raise self._closed
            if self._of.branch.left is None:
                self._leave(effect, entry, step)
            elif effect.kind == "decision":
                return self._of.branch.changes[-1].result
        return (yield from self._off(effect, key))

    def _followed(self, effect: Effect, entry: Entry, key: str) -> Any:
        """What the record answers; an agent that was written to does again what it did, and may leave the record."""
        child = self._of.child(self._run_id, key) if effect.kind == "message" else None
        if child is None:
            return self._answer(entry)
        if not effect.args.get("reply"):
            self._of.told_on_record.append(child)
            return self._answer(entry)
        try:
            _awaited(self._of.tell_on_record(child.thread_id))  # on a thread, one run follows the other
            replied = self._replied(effect, self._of.again(child))
        except results.RecordedError:
            if self._of.branch.left is not None:
                raise
            replied = None
        return self._answer(entry) if self._of.branch.left is None else replied

    def _replied(self, effect: Effect, working: Coroutine[Any, Any, Any]) -> Any:
        """What another agent replies.

        Raises:
            RecordedError: it failed.
        """
        try:
            return orjson.loads(codec.shown(_awaited(working)))
        except StoppedError:
            raise
        except Exception as error:
            raise results.RecordedError(f"agent {effect.name!r} could not answer: its run failed: {error}") from error

    def _on_record(self, effect: Effect, entry: Entry, digest: str, key: str) -> Course:
        """Whether the record answers; a decision that comes out otherwise leaves it."""
        assert entry.record.effect is not None
        said, chosen = self._verdicts, self._was_chosen(effect, entry)
        unlike = said.effects.keys() - said.closed.keys() if chosen else said.effects.keys()
        if entry.record.effect.digest != digest or entry.position in unlike:
            return False
        if not chosen:
            return self._closed_otherwise(effect, entry) is None
        args, then = self._open_to(effect, entry), entry.values["result"].decoded()
        what = f"decision {effect.name!r} comes out otherwise"
        try:
            made = yield Act(args, key, journal.idempotency_key(self._run_id, key))
        except DeniedError as error:
            if self._of.branch.left is None:
                rules = said.effects.get(entry.position) or self._closed_otherwise(effect, entry)
                self._of.leave(rules or self._divergence("choice", entry, what, then, str(error)), entry.position)
                self._refused(effect, args, error)
            raise
        if made["option"] == then["option"]:
            return True
        self._of.leave(self._divergence("choice", entry, what, then, made), entry.position)
        self._of.note(Change(self._run_id, "decision", effect.name, dict(args), "decided", made))
        return False

    def _leave(self, effect: Effect, entry: Entry | None, step: str) -> None:
        asked = {"kind": effect.kind, "name": effect.name, "step": step, "args": dict(effect.args)}
        if entry is not None:
            said = self._verdicts.effects.get(entry.position) or self._closed_otherwise(effect, entry)
            if said is not None:
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
            try:
                made = yield Act(args, key, journal.idempotency_key(self._run_id, key))
            except DeniedError as error:
                self._refused(effect, args, error)
                raise
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
        how = "asked" if args.get("reply") else "told"
        self._of.note(Change(self._run_id, "message", effect.name, dict(args), how))
        name = identifiers.derived("run", self._run_id, str(len(self._of.branch.changes)))
        if "reply" not in args:
            return name  # published, for which there are no readers here
        if not args["reply"]:
            self._of.told.append((effect.name, args["payload"]))
            return name
        return self._replied(effect, self._of.another(effect.name, args["payload"]))

    def _refused(self, effect: Effect, args: Mapping[str, Any], error: DeniedError) -> None:
        """Note a decision that nothing was left to choose for."""
        self._of.note(Change(self._run_id, "decision", effect.name, dict(args), "refused", str(error)), ok=False)

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
