"""What a step at the desk came to for those who tune: the reward, the minutes of people, and violations by kind."""

from __future__ import annotations

import numpy as np

from gatewright.environments.simulators import Moment

from .core import Step
from .model import COMPONENTS, Model

HUMAN = COMPONENTS.index("human")
CLOSED, PAID_WRONGLY, REFUSED_WRONGLY = VIOLATIONS = ("closed option", "paid wrongly", "refused wrongly")
"""A closed option was chosen · a claim that is not covered or fraudulent was paid · a legitimate one was refused."""


def moment(model: Model, step: Step) -> Moment:
    """The step of a model's desks."""
    settled = step.settled & ~step.refused
    violations = {
        CLOSED: step.refused.astype(np.int64),
        PAID_WRONGLY: (settled & step.paid & ~step.owed).astype(np.int64),
        REFUSED_WRONGLY: (settled & ~step.paid & step.owed).astype(np.int64),
    }
    load = -step.components[:, HUMAN] / model.parameters.minute
    return Moment(step.observations, step.rewards, load, violations, step.settled)
