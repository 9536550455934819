"""The claims desk as a world that a team is deployed in."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from langchain_core.tools import BaseTool
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gatewright.agents import Conversation, current, idempotency_key
from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.environments.casestore import CaseStore, Written
from gatewright.environments.catalogue import catalogue_tools
from gatewright.environments.rows import Change, digest
from gatewright.environments.worlds import RecordedUser, User

from .case import TABLE, Claim, ClaimCase
from .model import default
from .tools import CATALOGUE, perform

BEGAN = datetime(2026, 1, 5, 9, tzinfo=UTC)
DRAWN = "drawn"  # the table that says which claim a case was reset to
SAMPLES = 12  # conversations that come along
NUMBERS = 2**48  # a case that names no claim has one of the first so many


class Drawn(BaseModel):
    """Which claim a case is about: the number `claim` of the seed `seed`; without it, one by the case's id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(default=0, ge=0)
    claim: int | None = Field(default=None, ge=0)


class Batch(BaseModel):
    """A file of claims: the numbers from `first` on of the seed `seed`."""

    model_config = ConfigDict(extra="forbid")

    seed: int = Field(ge=0)
    first: int = Field(default=0, ge=0)
    claims: int = Field(ge=1)


@functools.lru_cache(maxsize=4096)
def _claim(seed: int, number: int) -> Claim:
    return Claim.of(default(), seed, number)


def conversation(seed: int, number: int) -> Conversation:
    """The conversation in which the claim of that number is reported."""
    claim = _claim(seed, number)
    text = (
        f"I want to report the {claim.features.claim_type} claim {claim.id}, over {claim.features.amount:,.0f} euros."
    )
    settings = {"world": {"seed": seed, "claim": number}}
    return Conversation(id=claim.id, customer=[text], settings=settings)


class _CaseOverlay:
    def __init__(self, store: CaseStore, case_id: str) -> None:
        self._store = store
        self._case_id = case_id

    def fetch(self, table: str, key: str) -> str | None:
        return self._store.row(self._case_id, table, key)


class ClaimsWorld:
    """Each case is about one claim of the model, and keeps what was done with it.

    The thread's setting `world` names the claim as `{"seed": 1, "claim": 7}`. Without `claim` it is the first of the
    seed that the case was `reset` to, or else one of `seed` that the case's id stands for.
    """

    def __init__(self, state: Path, seed: int = 0) -> None:
        """Keep what was done in `state`; `seed` is for threads that name none.

        Raises:
            UnavailableError: the state cannot be opened.
        """
        self._seed = seed
        self._store = CaseStore(state / "world.sqlite")
        self._tools: Sequence[BaseTool] = catalogue_tools(CATALOGUE, self._perform)

    def tools(self) -> Sequence[BaseTool]:
        """The nine tools."""
        return self._tools

    def conversations(self, path: Path | None) -> list[Conversation]:
        """One conversation for each claim of a batch: a JSON file `{"seed": 7, "first": 0, "claims": 100}`.

        Without a file, the first twelve claims of the seed 1.

        Raises:
            UsageError: the file does not hold a batch.
            UnavailableError: it cannot be read.
        """
        batch = Batch(seed=1, claims=SAMPLES)
        if path is not None:
            try:
                batch = Batch.model_validate_json(path.read_text("utf-8"))
            except OSError as error:
                raise UnavailableError(f"cannot read the batch {str(path)!r}: {error.strerror}") from error
            except ValidationError as error:
                wrong = error.errors()[0]
                raise UsageError(f"{str(path)!r} is no batch of claims: {wrong['loc']!r}: {wrong['msg']}") from error
        return [conversation(batch.seed, number) for number in range(batch.first, batch.first + batch.claims)]

    def score(self, conversation: Conversation, case_id: str, replies: Sequence[str]) -> float:
        """The reward, in thousands of euros: what the desk has earned with the claim so far."""
        return self._case(case_id, conversation.settings).reward()

    def components(self, case_id: str, settings: Mapping[str, Any]) -> dict[str, float]:
        """The parts of the reward so far, by `model.COMPONENTS`, in thousands of euros."""
        return self._case(case_id, settings).components()

    def reset(self, case_id: str, seed: int) -> None:
        """Make the case as if nothing had happened in it; it is about the first claim of the seed."""
        self._store.forget(case_id)
        drawn = Change(DRAWN, DRAWN, Drawn(seed=seed, claim=0).model_dump_json())
        self._store.write(case_id, None, lambda: Written("", [drawn]))

    def digest(self, case_id: str) -> str:
        """SHA-256 (hex) of what was done with the claim; see `rows.digest`."""
        return digest(change for change in self._store.changes(case_id) if change.table == TABLE)

    def now(self, case_id: str) -> datetime:
        """The time in the case: it goes on while the customer waits."""
        done = [change for change in self._store.changes(case_id) if change.table == TABLE]
        if not done:
            return BEGAN
        seed, number = (int(part) for part in done[0].key.removeprefix("C-").split("-"))
        case = ClaimCase(_claim(seed, number), _CaseOverlay(self._store, case_id))
        return BEGAN + timedelta(days=case.days())

    def user(self, conversation: Conversation, seed: int) -> User:
        """The customer reports the claim, and has nothing else to say."""
        return RecordedUser(conversation)

    def close(self) -> None:
        """Close the state; no tool can be used afterwards."""
        self._store.close()

    def _case(self, case_id: str, settings: Mapping[str, Any]) -> ClaimCase:
        named: object = settings.get("world") or {}
        try:
            drawn = Drawn.model_validate({"seed": self._seed} | dict(cast("Mapping[str, Any]", named)))
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"the thread's setting `world` is {named!r}; it must name a claim as {{'seed': 1, 'claim': 7}}"
            ) from error
        if drawn.claim is None and (text := self._store.row(case_id, DRAWN, DRAWN)) is not None:
            drawn = Drawn.model_validate(json.loads(text))
        number = drawn.claim
        if number is None:
            number = int.from_bytes(hashlib.sha256(case_id.encode()).digest()) % NUMBERS
        return ClaimCase(_claim(drawn.seed, number), _CaseOverlay(self._store, case_id))

    def _perform(self, tool: str, args: Mapping[str, Any]) -> str:
        context = current()
        if "reads" in CATALOGUE[tool].labels:
            return perform(self._case(context.case_id, context.settings), tool, args)

        def operation() -> Written:
            case = self._case(context.case_id, context.settings)
            return Written(perform(case, tool, args), case.changes())

        return self._store.write(context.case_id, idempotency_key(), operation)


def claims(state: Path, options: Mapping[str, Any]) -> ClaimsWorld:
    """Open the claims desk with its durable state in the folder `state`.

    Args:
        options: `seed`, a number whose claims threads are about that name no other.

    Raises:
        UsageError: an option is unknown, or the seed is not such a number.
        UnavailableError: the state cannot be opened.
    """
    unknown = sorted(set(options) - {"seed"})
    if unknown:
        raise UsageError(f"the claims desk has no option {unknown[0]!r}; it has ['seed']")
    seed = options.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UsageError(f"the claims desk's seed is {seed!r}; it must be a whole number from 0 on")
    return ClaimsWorld(state, seed)
