"""The cases of a suite: recorded, generated and written ones, each with all that its trials need."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gatewright.agents import Conversation
from gatewright.agents.errors import NotFoundError, UsageError
from gatewright.agents.worlds import World
from gatewright.environments.worlds import Generator, SimulatedWorld
from gatewright.safety import canonical
from gatewright.safety.rules.fields import near

from . import checks
from .documents import BUILT_IN, Answered, Approvals, Cases, Read, Users
from .seeds import words


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case with its place in the suite. `inputs` are those of its runs, None where a user talks with the team.

    `scored`: whether the world is to say what it is worth; `task`: whether it must be able to.
    """

    id: str
    conversation: Conversation
    inputs: tuple[Any, ...] | None
    users: Users
    approvals: Approvals
    answers: tuple[Answered, ...]
    checks: Mapping[str, str]
    severity: Any
    tags: tuple[str, ...]
    group: str | None
    trials: int
    seconds: float
    seed: int

    def seeds(self, trial: int) -> np.random.SeedSequence:
        """Where all that is drawn in a trial comes from; no other trial of any case has the same."""
        return np.random.SeedSequence([self.seed, *words(self.id), trial])


def resolved(read: Read, world: World | None, *, only: Collection[str] = (), trials: int | None = None) -> list[Case]:
    """The cases in the order of the suite.

    Args:
        only: the ids to take; empty for all.
        trials: of each case, whatever the suite says.

    Raises:
        NotFoundError: one of `only` is not there, or a file is not.
        UsageError: two cases have one id, or the world has nothing of what the suite asks for.
    """
    found: dict[str, Case] = {}
    for number, cases in enumerate(read.suite.cases):
        for conversation, inputs in _conversations(read, cases, world, number):
            case = _case(read, cases, conversation, inputs, trials)
            if case.id in found:
                raise UsageError(
                    f"{str(read.path)!r}: cases.{number}: there is a case {case.id!r} already; give each an id of its "
                    "own, or take it out with `only`"
                )
            found[case.id] = case
    if unknown := [case_id for case_id in only if case_id not in found]:
        raise NotFoundError(f"the suite has no case {unknown[0]!r}; {near(unknown[0], sorted(found)[:20])}")
    return [case for case in found.values() if not only or case.id in only]


def _conversations(
    read: Read, cases: Cases, world: World | None, number: int
) -> Iterator[tuple[Conversation, tuple[Any, ...] | None]]:
    if cases.inputs is not None or "input" in cases.model_fields_set:
        inputs = tuple(cases.inputs) if cases.inputs is not None else (cases.input,)
        yield (
            Conversation(id=cases.id or "", customer=[], settings=cases.settings, task=cases.task),
            inputs,
        )
        return
    place = f"{str(read.path)!r}: cases.{number}"
    if world is None:
        raise UsageError(
            f"{place}: the deployment {read.suite.deployment!r} has no world, so it has no conversations; write cases "
            "with `input`"
        )
    if cases.generate is not None:
        if not isinstance(world, Generator):
            raise UsageError(f"{place}: the world {type(world).__name__} generates no cases; name recorded ones")
        seed = read.suite.seed if cases.generate.seed is None else cases.generate.seed
        conversations = world.generate(seed, first=cases.generate.first, count=cases.generate.count)
    else:
        assert cases.conversations is not None
        file = None if cases.conversations == BUILT_IN else read.file(cases.conversations)
        conversations = world.conversations(file)
    for conversation in _chosen(conversations, cases.only, place):
        yield conversation, None


def _chosen(conversations: Sequence[Conversation], only: list[str] | None, place: str) -> Sequence[Conversation]:
    if only is None:
        return conversations
    known = {conversation.id: conversation for conversation in conversations}
    if unknown := [each for each in only if each not in known]:
        raise NotFoundError(f"{place}: there is no conversation {unknown[0]!r}; {near(unknown[0], sorted(known)[:20])}")
    return [known[each] for each in only]


def _case(
    read: Read, cases: Cases, conversation: Conversation, inputs: tuple[Any, ...] | None, trials: int | None
) -> Case:
    suite = read.suite
    return Case(
        id=conversation.id,
        conversation=conversation,
        inputs=inputs,
        users=cases.users or suite.users,
        approvals=cases.approvals or suite.approvals,
        answers=tuple(cases.answers),
        checks={**checks.DEFAULT, **suite.checks, **cases.checks},
        severity=cases.severity or suite.severity,
        tags=tuple(dict.fromkeys([*suite.tags, *(cases.tags or ())])),
        group=cases.group or _task(conversation),
        trials=trials or cases.trials or suite.trials,
        seconds=cases.seconds or suite.limits.seconds,
        seed=suite.seed,
    )


def _task(conversation: Conversation) -> str | None:
    """Recordings of one task are not independent of each other."""
    if not conversation.task:
        return None
    return canonical.digest(json.loads(json.dumps(conversation.task)))[:16]


def simulated(world: World | None, deployment: str) -> SimulatedWorld | None:
    """The world of a deployment, if its cases can be made and thrown away.

    Raises:
        UsageError: it is one that a trial would act on for good.
    """
    if world is None or isinstance(world, SimulatedWorld):
        return world
    raise UsageError(
        f"the world {type(world).__name__} of deployment {deployment!r} is not a simulated one, and trials would act "
        "on it for good; try the team in a world that implements gatewright.environments.worlds.SimulatedWorld"
    )
