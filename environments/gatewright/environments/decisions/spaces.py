"""What a decision point is to Gymnasium: encoded features are observations, options are actions, closed ones masked."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, cast

import numpy as np
from gymnasium.spaces import Box, Discrete, Space
from numpy.typing import NDArray

from gatewright.agents.decisions import DecisionPoint
from gatewright.runtime.policies.encoding import Encoding, Vector


def observation_space(encoding: Encoding) -> Space[Vector]:
    """Encoded features, float32, shape `(n_columns,)`, as a `Box`; unbounded numbers have no limits."""
    return cast("Space[Vector]", Box(encoding.low, encoding.high, dtype=np.float32))


def action_space(point: DecisionPoint[Any]) -> Discrete:
    """The options of a decision point, by their position."""
    return Discrete(len(point.options))


def mask(point: DecisionPoint[Any], open_options: Container[str]) -> NDArray[np.bool_]:
    """Which options are open, bool, shape `(n_options,)`: what `action_masks()` of sb3-contrib gives."""
    return np.array([option in open_options for option in point.options], np.bool_)
