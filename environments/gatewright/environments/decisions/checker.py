"""A checker of environments: what Gymnasium's and stable-baselines3's own let pass, beside what they find.

Every check is against a rule that training relies on: the same seed gives the same episode, whatever else goes on in
the process; what was observed stays as it was; masks are true.
"""

from __future__ import annotations

import contextlib
import random
import threading
import uuid
import warnings
from collections.abc import Callable, Generator, Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete

Rule = Literal[
    "gymnasium", "stable-baselines3", "observation", "reward", "mask", "refusal", "seed", "isolation", "random", "close"
]
"""`gymnasium`, `stable-baselines3`: their own checkers · `observation`: in the space, finite, and left as it was ·
`reward`: a finite number · `mask`: bool, one for each action, at least one open · `refusal`: a closed action raises an
error or is answered with `info["refused"]` · `seed`: determines all · `isolation`: instances have nothing in common ·
`random`: the process's random numbers do not matter · `close`: no threads stay behind."""

AnyEnv: TypeAlias = gymnasium.Env[Any, Any]
Factory: TypeAlias = Callable[[], AnyEnv]

STEPS = 200
SEED = 20_240
PATIENCE = 1.0  # seconds a thread may take to end


class Finding(NamedTuple):
    """Something that is wrong with an environment."""

    rule: Rule
    message: str


class _Moment(NamedTuple):
    """What an environment said after a reset or a step, copied; `parts` are compared, `mask` is None without masks."""

    parts: tuple[Any, ...]
    mask: Any


def check(environment: str | Factory, *, steps: int = STEPS) -> list[Finding]:
    """What is wrong with an environment; nothing where it is as training needs it.

    Args:
        environment: an id that is registered with Gymnasium (`module:id` imports the module first), or what makes
            environments, each with nothing that another has.
        steps: how far to go each time.

    Raises:
        gymnasium.error.Error, ImportError: there is no environment of this id.
    """
    factory = _made(environment) if isinstance(environment, str) else environment
    threads = set(threading.enumerate())
    findings: dict[tuple[Rule, str], Finding] = {}

    def find(rule: Rule, message: str) -> None:
        findings.setdefault((rule, message.partition(":")[0]), Finding(rule, message))

    with _own_randomness(), warnings.catch_warnings(action="ignore"):
        try:
            _walked(factory, steps, find)
            _repeated(factory, steps, find)
            _refused(factory, steps, find)
        except Exception as error:  # an environment may fail in any way: that is a finding
            find("gymnasium", f"it fails: {type(error).__name__}: {error}")
        for rule, problem in _stock(environment, factory):
            find(rule, problem)
    for thread in set(threading.enumerate()) - threads:
        thread.join(PATIENCE)
        if thread.is_alive():
            find("close", f"a thread is left after close: {thread.name!r}")
    return list(findings.values())


Find: TypeAlias = Callable[[Rule, str], None]


def _made(id: str) -> Factory:
    def make() -> AnyEnv:
        return gymnasium.make(id, disable_env_checker=True).unwrapped

    make().close()
    return make


@contextlib.contextmanager
def _opened(factory: Factory) -> Generator[AnyEnv]:
    env = factory()
    try:
        yield env
    finally:
        env.close()


# What one environment says


def _walked(factory: Factory, steps: int, find: Find) -> None:
    """One walk, with everything looked at that is said on it."""
    kept: list[tuple[Any, Any]] = []
    with _opened(factory) as env:
        for number, moment in enumerate(_walk(env, SEED, steps, kept)):
            where = f"at step {number}" if number else "after reset"
            _look(env, moment, where, find)
    if any(not _equal(array, copy) for array, copy in kept):
        find("observation", "what was returned is changed later: return a copy, so that what was observed stays so")


def _look(env: AnyEnv, moment: _Moment, where: str, find: Find) -> None:
    observation, *rest = moment.parts
    numbers = isinstance(observation, np.ndarray) and np.issubdtype(observation.dtype, np.number)
    if numbers and not np.isfinite(observation).all():
        find("observation", f"it is not finite: {observation} {where}")
    elif observation not in env.observation_space:
        find("observation", f"it is not in the space: {observation!r} {where}; the space is {env.observation_space}")
    if rest and not _finite(rest[0]):
        find("reward", f"it is no finite number: {rest[0]!r} {where}")
    ended = bool(rest) and (rest[1] or rest[2])
    if moment.mask is None or ended:
        return
    count = int(env.action_space.n) if isinstance(env.action_space, Discrete) else None
    if not isinstance(moment.mask, np.ndarray) or moment.mask.dtype != np.bool_:
        find("mask", f"it is no array of bool: {moment.mask!r} {where}")
    elif count is not None and moment.mask.shape != (count,):
        find("mask", f"its shape is {moment.mask.shape}: not {(count,)}, {where}; give one value for each action")
    elif not moment.mask.any():
        find("mask", f"no action is open: {where}; end the episode before, or leave one open")


def _finite(reward: Any) -> bool:
    return isinstance(reward, int | float | np.number) and bool(np.isfinite(float(reward)))


# What several have to say alike


def _repeated(factory: Factory, steps: int, find: Find) -> None:
    with _opened(factory) as env:
        alone = _walked_all(env, SEED, steps)
        _walked_all(env, SEED + 1, steps // 2)
        if at := _differ(alone, _walked_all(env, SEED, steps)):
            find("seed", f"the same seed on the same instance gives something else: {at}")
    with _opened(factory) as env:
        if at := _differ(alone, _walked_all(env, SEED, steps)):
            find("seed", f"the same seed on another instance gives something else: {at}")
            return
    for module, seeds in {"random": (SEED + 1, SEED), "numpy.random": (SEED, SEED + 1)}.items():
        with _opened(factory) as env:
            if at := _differ(alone, _walked_all(env, SEED, steps, seeds)):
                find("random", f"the seed of the process's `{module}` matters: {at}; use `self.np_random`")
                return
    with _opened(factory) as one, _opened(factory) as other, _own_randomness():
        between = _walk(other, SEED + 2, 2 * steps)
        beside: list[_Moment] = []
        for moment in _walk(one, SEED, steps):
            beside.append(moment)
            next(between, None)
        if at := _differ(alone, beside):
            find("isolation", f"an instance gives something else when another is used beside it: {at}")


def _walked_all(env: AnyEnv, seed: int, steps: int, process: tuple[int, int] = (SEED, SEED)) -> list[_Moment]:
    """A whole walk, with the process's random numbers begun anew at the seeds `process`."""
    with _own_randomness(*process):
        return list(_walk(env, seed, steps))


def _differ(one: list[_Moment], other: list[_Moment]) -> str:
    """Where two walks differ first, empty where they do not."""
    for number, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if not _equal(mine, theirs):
            return f"{mine.parts} and {theirs.parts}, {f'at step {number}' if number else 'after reset'}"
    return "" if len(one) == len(other) else f"it ends after {len(one)} and {len(other)} steps"


def _refused(factory: Factory, steps: int, find: Find) -> None:
    """Choose what is closed, at the first moment at which something is."""
    with _opened(factory) as env:
        if not isinstance(env.action_space, Discrete):
            return
        for number, moment in enumerate(_walk(env, SEED, steps)):
            ended = len(moment.parts) > 1 and (moment.parts[2] or moment.parts[3])
            mask = moment.mask
            if ended or not isinstance(mask, np.ndarray) or mask.ndim != 1 or not mask.any() or mask.all():
                continue
            closed = int(np.flatnonzero(~mask.astype(bool))[0])
            try:
                *_, info = env.step(np.int64(closed))
            except Exception:
                return  # said clearly
            if not info.get("refused"):
                find("refusal", f"a closed action is carried out: {closed} at step {number}; refuse it, and say so")
            return


# Walking


def _walk(env: AnyEnv, seed: int, steps: int, kept: list[tuple[Any, Any]] | None = None) -> Iterator[_Moment]:
    """What an environment says on a way that its masks and a seed determine, over several episodes.

    `kept`: is given what was returned, with copies.
    """
    chance = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    moment = _moment(env, (observation,), kept)
    yield moment
    for _ in range(steps):
        ended = len(moment.parts) > 1 and (moment.parts[2] or moment.parts[3])
        if ended:
            said: tuple[Any, ...] = (env.reset()[0],)
        else:
            said = tuple(env.step(_action(env, moment.mask, chance))[:4])
        moment = _moment(env, said, kept)
        yield moment


def _moment(env: AnyEnv, said: tuple[Any, ...], kept: list[tuple[Any, Any]] | None) -> _Moment:
    masks = getattr(env, "action_masks", None)
    mask = masks() if callable(masks) else None
    moment = _Moment(tuple(_copied(part) for part in said), _copied(mask))
    if kept is not None:
        kept += [(said[0], moment.parts[0]), (mask, moment.mask)]
    return moment


def _action(env: AnyEnv, mask: Any, chance: np.random.Generator) -> Any:
    space = env.action_space
    if not isinstance(space, Discrete):
        space.seed(int(chance.integers(2**31)))
        return space.sample()
    fits = isinstance(mask, np.ndarray) and mask.shape == (space.n,) and mask.any()
    open_actions = np.flatnonzero(mask) if fits else np.arange(space.n)
    return space.start + chance.choice(open_actions)


def _copied(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _copied(value) for name, value in part.items()}
    if isinstance(part, tuple):
        return tuple(_copied(value) for value in part)
    return part.copy() if isinstance(part, np.ndarray) else part


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        mine, theirs = np.asarray(one), np.asarray(other)
        return np.array_equal(mine, theirs, equal_nan=np.issubdtype(mine.dtype, np.inexact))
    return bool(one == other) or (one != one and other != other)


@contextlib.contextmanager
def _own_randomness(python: int = SEED, numpy: int = SEED) -> Generator[None]:
    """Begin the process's random numbers anew at these seeds, and leave them as they were."""
    before = random.getstate(), np.random.get_state()
    random.seed(python)
    np.random.seed(numpy)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


# The others' checkers


def _stock(environment: str | Factory, factory: Factory) -> Iterator[tuple[Rule, str]]:
    """What the stock checkers say; they look closer at an environment that is registered."""
    from gymnasium.utils.env_checker import check_env as by_gymnasium
    from stable_baselines3.common.env_checker import check_env as by_stable_baselines3

    id = environment if isinstance(environment, str) else f"checked/Environment{uuid.uuid4().hex}-v0"
    if not isinstance(environment, str):
        gymnasium.register(id, entry_point=lambda **kwargs: factory())
    try:
        checkers: dict[Rule, Callable[[AnyEnv], None]] = {
            "gymnasium": lambda env: by_gymnasium(env, skip_render_check=True),
            "stable-baselines3": lambda env: by_stable_baselines3(env, warn=False),
        }
        for rule, checker in checkers.items():
            with _own_randomness(), _opened(lambda: gymnasium.make(id, disable_env_checker=True)) as env:
                try:
                    checker(env.unwrapped)
                except Exception as error:
                    yield rule, str(error).strip() or type(error).__name__
    finally:
        if not isinstance(environment, str):
            gymnasium.registry.pop(id, None)
