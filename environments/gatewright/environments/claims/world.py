"""The claims desk as a world that a team is deployed in."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gatewright.agents import Conversation, current, idempotency_key
from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.environments.casestore import CaseOverlay, CaseStore, Written
from gatewright.environments.catalogue import catalogue_tools
from gatewright.environments.rows import Change, digest
from gatewright.environments.worlds import RecordedUser, User

from .case import TABLE, Claim, ClaimCase
from .model import default
from .tools import CATALOGUE, perform

BEGAN = datetime(2026, 1, 5, 9, tzinfo=UTC)
DRAWN = "drawn"  # the table that says which claim a case was reset to
SAMPLES = 12  # conversations that come along
CLAIM_ID = re.compile(r"C-(\d{1,39})-(\d{1,39})")


class Drawn(BaseModel):
    """Which claim a case is about: the number `claim` of the seed `seed`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(ge=0)
    claim: int = Field(ge=0)

    @classmethod
    def named(cls, claim_id: object) -> Drawn | None:
        """The claim of that id; None if it is none."""
        found = CLAIM_ID.fullmatch(claim_id) if isinstance(claim_id, str) else None
        return None if found is None else cls(seed=int(found[1]), claim=int(found[2]))


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


class ClaimsWorld:
    """Each case is about one claim of the model, and keeps what was done with it.

    The thread's setting `world` names the claim as `{"seed": 1, "claim": 7}`. Without it, it is the first claim of the
    seed that the case was `reset` to, or else the one whose id, `C-1-7`, the tools are called with.
    """

    def __init__(self, state: Path) -> None:
        """Keep what was done in `state`.

        Raises:
            UnavailableError: the state cannot be opened.
        """
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
        return self.generate(batch.seed, first=batch.first, count=batch.claims)

    def generate(self, seed: int, *, first: int, count: int) -> list[Conversation]:
        """One conversation for each claim of the seed, from the number `first` on."""
        return [conversation(seed, number) for number in range(first, first + count)]

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
        done = self._touched(case_id)
        return BEGAN if done is None else BEGAN + timedelta(days=self._open(case_id, done).days())

    def user(self, conversation: Conversation, seed: int) -> User:
        """The customer reports the claim, and has nothing else to say."""
        return RecordedUser(conversation)

    def close(self) -> None:
        """Close the state; no tool can be used afterwards."""
        self._store.close()

    def _open(self, case_id: str, drawn: Drawn) -> ClaimCase:
        return ClaimCase(_claim(drawn.seed, drawn.claim), CaseOverlay(self._store, case_id))

    def _touched(self, case_id: str) -> Drawn | None:
        """The claim that something was done with in the case."""
        return next((Drawn.named(row.key) for row in self._store.changes(case_id) if row.table == TABLE), None)

    def _about(self, case_id: str, settings: Mapping[str, Any], claim_id: object = None) -> Drawn | None:
        if (named := settings.get("world")) is not None:
            try:
                return Drawn.model_validate(named)
            except ValidationError as error:
                raise UsageError(
                    f"the thread's setting `world` is {named!r}; it must name a claim as {{'seed': 1, 'claim': 7}}"
                ) from error
        if (text := self._store.row(case_id, DRAWN, DRAWN)) is not None:
            return Drawn.model_validate_json(text)
        return self._touched(case_id) or Drawn.named(claim_id)

    def _case(self, case_id: str, settings: Mapping[str, Any]) -> ClaimCase:
        drawn = self._about(case_id, settings)
        if drawn is None:
            raise UsageError(f"the case {case_id!r} is about no claim: no setting names one, and no tool was called")
        return self._open(case_id, drawn)

    def _perform(self, tool: str, args: Mapping[str, Any]) -> str:
        context = current()
        drawn = self._about(context.case_id, context.settings, args.get("claim_id"))
        if drawn is None:
            return f"Error: there is no claim {args.get('claim_id')!r}; ids look like 'C-1-7'"
        if "reads" in CATALOGUE[tool].labels:
            return perform(self._open(context.case_id, drawn), tool, args)

        def operation() -> Written:
            case = self._open(context.case_id, drawn)
            return Written(perform(case, tool, args), case.changes())

        return self._store.write(context.case_id, idempotency_key(), operation)


def claims(state: Path, options: Mapping[str, Any]) -> ClaimsWorld:
    """Open the claims desk with its durable state in the folder `state`.

    Raises:
        UsageError: there are options; it has none.
        UnavailableError: the state cannot be opened.
    """
    if options:
        raise UsageError(f"the claims desk has no option {sorted(options)[0]!r}; it has none")
    return ClaimsWorld(state)
