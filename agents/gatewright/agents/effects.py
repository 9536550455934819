"""Effects: the moments at which an agent touches anything outside itself.

Graph authors write plain LangGraph and need none of this. It is the vocabulary in which the runtime sees a
tool call, a model call, a message, a decision or a marked function, and the way to mark one's own.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypeVar, cast, overload

from .errors import OutsideRunError

if TYPE_CHECKING:
    from .decisions import PointPolicy

P = ParamSpec("P")
R = TypeVar("R")

Kind = Literal["tool", "model", "message", "decision", "function", "human"]
"""`tool`: a LangChain tool runs · `model`: a chat model is asked · `message`: one agent sends to or asks another, or
publishes on a topic · `decision`: a policy picks an option · `function`: a plain function marked with `effect` ·
`human`: a person answers."""

Label = Literal["reads", "idempotent", "egress", "irreversible", "trusted", "untrusted"]
"""`reads`: changes nothing outside · `idempotent`: may be repeated with the same idempotency key · `egress`:
carries data out · `irreversible`: cannot be undone · `trusted`/`untrusted`: whether its results may steer the
agent."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One wish to touch the world, before anything has happened.

    `args` is what the rules see and what approvals are bound to: JSON values only. `call_id` tells parallel calls
    of one tool apart (LangChain's tool-call id); without it, calls are told apart by their order in the step.
    `schema` gives the JSON Schema of `args`, for people who edit them; None takes any.
    """

    kind: Kind
    name: str
    args: Mapping[str, Any]
    labels: frozenset[str] = frozenset()
    call_id: str | None = None
    schema: Callable[[], Mapping[str, Any]] | None = field(default=None, compare=False, repr=False)


class Chain(Protocol):
    """The one chain that every effect of a run passes; the runtime implements it."""

    def perform(self, effect: Effect, action: Callable[[Mapping[str, Any]], R]) -> R:
        """Give the effect's recorded result, or perform `action` with the (possibly modified) arguments.

        Raises:
            DeniedError: a rule or a person refused.
            TerminatedError: a rule ended the run.
            DivergenceError: the journal holds another effect at this place.
        """
        ...

    async def aperform(self, effect: Effect, action: Callable[[Mapping[str, Any]], Awaitable[R]]) -> R:
        """`perform`, for asynchronous actions."""
        ...

    def ask(self, agent: str, payload: Mapping[str, Any], *, topic: str, timeout: float | None) -> Any:
        """Send a request to an agent of this team and give its reply; the run parks until it is there."""
        ...

    def send(self, agent: str, payload: Mapping[str, Any], *, topic: str) -> str:
        """Send a message to an agent of this team without waiting; gives the message id."""
        ...

    def publish(self, topic: str, payload: Any, *, key: str | None, type: str | None, timeout: float | None) -> str:
        """Publish a message on a topic; gives its id."""
        ...


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """Where the code that is running now belongs to.

    `case_id` is the thread at the root: the customer's conversation, also for agents that were asked over the bus.
    `settings` are the thread's (for example a recording to play); read-only. `policies` choose at the decision points
    that they are named by, in place of the points' own rules.
    """

    run_id: str
    thread_id: str
    case_id: str
    deployment: str
    agent: str
    chain: Chain
    settings: Mapping[str, Any] = field(default_factory=dict)
    policies: Mapping[str, PointPolicy] = field(default_factory=dict)


ACTIVE: ContextVar[RunContext | None] = ContextVar("gatewright_run", default=None)
IDEMPOTENCY_KEY: ContextVar[str | None] = ContextVar("gatewright_idempotency_key", default=None)


def current() -> RunContext:
    """The run that this code is part of.

    Raises:
        OutsideRunError: no run is active here.
    """
    context = ACTIVE.get()
    if context is None:
        raise OutsideRunError("no run is active here; call this from a graph that Gatewright executes")
    return context


def idempotency_key() -> str | None:
    """The key of the effect being performed now, the same when it is retried; None outside of one.

    Hand it to whatever you call (a payment provider's `Idempotency-Key` header), and label the tool `idempotent`.
    """
    return IDEMPOTENCY_KEY.get()


@overload
def effect(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def effect(
    *, name: str | None = None, labels: frozenset[Label] | set[Label] = frozenset()
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def effect(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    labels: frozenset[Label] | set[Label] = frozenset(),
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a plain function (or coroutine function) as an effect, so that it passes the chain.

    Its arguments and its result must be JSON values. Outside a run the function is called as it is.

    >>> @effect(labels={"reads"})
    ... def exchange_rate(currency: str) -> float:
    ...     return 1.08
    >>> exchange_rate("EUR")
    1.08
    """

    def mark(plain: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(plain)
        title = name or plain.__name__

        def wish(*args: P.args, **kwargs: P.kwargs) -> Effect:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return Effect(kind="function", name=title, args=dict(bound.arguments), labels=frozenset(labels))

        def call(arguments: Mapping[str, Any]) -> Any:
            bound = inspect.BoundArguments(signature, dict(arguments))
            return plain(*bound.args, **bound.kwargs)

        if inspect.iscoroutinefunction(plain):

            @functools.wraps(plain)
            async def asynchronous(*args: P.args, **kwargs: P.kwargs) -> Any:
                context = ACTIVE.get()
                if context is None:
                    return await plain(*args, **kwargs)
                return await context.chain.aperform(wish(*args, **kwargs), call)

            return cast("Callable[P, R]", asynchronous)

        @functools.wraps(plain)
        def synchronous(*args: P.args, **kwargs: P.kwargs) -> R:
            context = ACTIVE.get()
            if context is None:
                return plain(*args, **kwargs)
            return cast("R", context.chain.perform(wish(*args, **kwargs), call))

        return synchronous

    return mark if function is None else mark(function)
