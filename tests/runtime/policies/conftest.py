"""A small decision point, and a policy for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pytest
from pydantic import BaseModel, Field

from gatewright.agents import Choice, DecisionPoint
from gatewright.runtime.policies.artefact import Artefact, Data, Origin, Serving, compose
from gatewright.runtime.policies.encoding import Encoding
from gatewright.runtime.policies.networks import Mlp


class Claim(BaseModel):
    amount: float = Field(ge=0, le=1000)
    kind: Literal["car", "home"]


def pays(features: Claim, open_options: Sequence[str]) -> Choice:
    return Choice(option="pay" if "pay" in open_options else open_options[0], policy="pays@1", reason="always")


POINT = DecisionPoint(name="triage", features=Claim, options=("pay", "inspect", "refuse"), policy=pays)
ORIGIN = Origin(
    algorithm="ppo",
    seeds=(1, 2, 3),
    threads=1,
    versions={"numpy": "2.4"},
    settings={"steps": 4096},
    data=Data(source="claims", decisions=2000, ledger_size=10, ledger_root="0" * 64),
    metrics={"reward": 0.93},
)

Make = Callable[..., Artefact]


@pytest.fixture
def make() -> Make:
    """Makes an artefact of an MLP with random weights, the same for the same `seed`."""

    def compose_one(serving: Serving | None = None, seed: int = 0) -> Artefact:
        random = np.random.default_rng(seed)
        shapes = [(3, 8), (8, 8), (8, 3)]
        network = Mlp(
            tuple(random.normal(size=shape).astype(np.float32) for shape in shapes),
            tuple(random.normal(size=shape[1]).astype(np.float32) for shape in shapes),
        )
        encoding = Encoding.of(Claim)
        return compose(
            network, point="triage", options=POINT.options, encoding=encoding, origin=ORIGIN, serving=serving
        )

    return compose_one
