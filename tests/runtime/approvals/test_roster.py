"""Whom rules and deployments name must be there: a misspelt name would exclude nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gatewright.agents.errors import UsageError
from gatewright.runtime.service import Service

if TYPE_CHECKING:
    from tests.runtime.conftest import Staffed


async def test_a_rule_that_excludes_somebody_unknown_is_refused_at_start(staffed: Staffed) -> None:
    config = staffed({"excluded": ["name:bbo"]}, bob=["ops"], kim=["ops"])

    with pytest.raises(UsageError, match=r"names 'bbo', who is not among \[people\]; did you mean 'bob'\?"):
        await Service.open(config)


async def test_an_owner_who_is_unknown_is_refused_at_start(staffed: Staffed) -> None:
    config = staffed(None, kim=["ops"])
    owned = {name: each.model_copy(update={"owner": "kin"}) for name, each in config.deployments.items()}

    with pytest.raises(UsageError, match=r"`owner` of deployment 'clerk' names 'kin'.*did you mean 'kim'\?"):
        await Service.open(config.model_copy(update={"deployments": owned}))


async def test_names_that_are_known_and_any_where_nobody_is_configured_are_fine(staffed: Staffed) -> None:
    for config in (staffed({"excluded": ["name:bob"]}, bob=["ops"]), staffed({"excluded": ["name:bob"]})):
        async with await Service.open(config) as service:
            assert service.deployments() == ["clerk"]
