"""What a candidate must fulfil to pass: the gate's file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from gatewright.agents.errors import NotFoundError, UsageError

from . import measures
from .comparison import Settings, Test

Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Limit = Annotated[float, Field(ge=0, allow_inf_nan=False)]

BLIND = 0.15
"""How large a drop of success a run may fail to see and still be called a pass, if nothing else is said."""


class Gate(BaseModel):
    """The rules of a gate. All must hold.

    `metrics`: each must not be shown to be worse than the baseline, at `alpha` over all of them (Holm).
    `margins`: a metric that is named here must be shown to be worse by less than this, in its own unit (success: 0.05
    is five points); that it merely is not shown to be worse is not enough.
    `detectable`: a metric without a margin passes only if the run could have shown (with chance `power`) a change of
    this size. `block`: cases that must not fail, beside those whose trials say so; `block_failures` failed trials of
    such a case are too many. `budgets`: limits on the candidate's mean, whatever the baseline has.
    `violations`: `strict`, no more a trial than the baseline, by count; `tested`, as one of the `metrics`; `ignored`.
    Without a word they are strict where either side records any, and left out where neither does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: tuple[str, ...] = ("success",)
    alpha: Share = 0.05
    power: Share = 0.8
    test: Test = "permutation"
    margins: dict[str, Positive] = {}
    detectable: dict[str, Positive] = {"success": BLIND}
    block: tuple[str, ...] = ()
    block_failures: Annotated[int, Field(ge=1)] = 1
    budgets: dict[str, Limit] = {}
    violations: Literal["strict", "tested", "ignored"] | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    @field_validator("metrics", "margins", "detectable", "budgets")
    @classmethod
    def _known(cls, value: tuple[str, ...] | dict[str, float]) -> tuple[str, ...] | dict[str, float]:
        for name in value:
            try:
                measures.check(name)
            except UsageError as error:
                raise ValueError(str(error)) from error
        return value

    def tested(self) -> tuple[str, ...]:
        """The metrics that are held against the baseline, each once."""
        more = ("violations",) if self.violations == "tested" else ()
        return tuple(dict.fromkeys([*self.metrics, *self.margins, *more]))

    def settings(self) -> Settings:
        """How the sides are compared for these rules."""
        return Settings(alpha=self.alpha, power=self.power, test=self.test, margins=dict(self.margins), seed=self.seed)


def read(path: Path) -> Gate:
    """The gate in a YAML file.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is not YAML, or says something that a gate does not know.
    """
    try:
        said = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no gate at {str(path)!r}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:  # the last: nested too deeply
        raise UsageError(f"cannot read a gate from {str(path)!r}: {error}") from error
    return parse({} if said is None else said, str(path))


def parse(said: object, source: str) -> Gate:
    """The gate that is written there.

    Raises:
        UsageError: it says something that a gate does not know; `source` is named.
    """
    try:
        return Gate.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"]) or "the top"
        raise UsageError(
            f"{source}: at {place}: {first['msg']}; a gate knows {', '.join(Gate.model_fields)}"
        ) from error
