"""Delegations: given by who holds the right, for a while, for some requests."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gatewright.agents.errors import UsageError
from gatewright.safety.approvals.ballots import Action, Voter
from gatewright.safety.approvals.delegations import Delegation, Scope, delegated, standing_in
from gatewright.safety.approvals.entitlement import NotEntitledError

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ACTION = Action(kind="tool", name="pay", args={}, agent="clerk", deployment="x", pack="")
ADA = Voter(name="ada", roles=frozenset({"ops", "treasury"}), authenticated=True)
BOB = Voter(name="bob", authenticated=True)


def given(to: str = "bob", voter: Voter = ADA, **fields: Any) -> Delegation:
    values: dict[str, Any] = {"scope": Scope(), "now": NOW, "until": NOW + HOUR} | fields
    return delegated("d1", voter, to, **values)


def test_a_delegate_stands_in_for_the_roles_that_were_handed_over() -> None:
    assert standing_in([given(roles=["ops"])], BOB, "ada", ACTION, NOW).roles == {"ops"}
    assert standing_in([given()], BOB, "ada", ACTION, NOW).roles == ADA.roles


@pytest.mark.parametrize(
    ("scope", "takes"),
    [
        (Scope(), True),
        (Scope(deployment="x", agent="clerk", name="pay"), True),
        (Scope(deployment="y"), False),
        (Scope(agent="boss"), False),
        (Scope(name="refund"), False),
    ],
)
def test_a_scope_takes_what_it_names(scope: Scope, takes: bool) -> None:
    assert scope.takes(ACTION) is takes


def test_a_delegation_holds_from_its_beginning_until_its_end_or_its_revocation() -> None:
    revoked = Delegation(
        id="d1", by="ada", to="bob", roles=ADA.roles, since=NOW, until=NOW + HOUR, revoked=NOW + HOUR / 2
    )

    assert [given().holds(NOW + wait) for wait in (-HOUR, 0 * HOUR, HOUR)] == [False, True, False]
    assert [revoked.holds(NOW + wait) for wait in (HOUR / 4, HOUR / 2)] == [True, False]


@pytest.mark.parametrize(
    ("held", "voter", "by", "now"),
    [
        ([], BOB, "ada", NOW),
        ([given()], Voter(name="eve"), "ada", NOW),
        ([given()], BOB, "zoe", NOW),
        ([given()], BOB, "ada", NOW + HOUR),
        ([given(scope=Scope(name="refund"))], BOB, "ada", NOW),
    ],
    ids=["none", "another delegate", "another delegator", "over", "another action"],
)
def test_nobody_stands_in_without_one_in_force(held: list[Delegation], voter: Voter, by: str, now: datetime) -> None:
    with pytest.raises(NotEntitledError, match=f"holds no delegation of '{by}'"):
        standing_in(held, voter, by, ACTION, now)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"to": "ada"}, "name somebody else"),
        ({"to": " "}, "name somebody else"),
        ({"until": NOW}, "is over before it begins"),
        ({"roles": ["lead"]}, "does not hold the role 'lead'"),
        ({"voter": Voter(name="ada", roles=ADA.roles)}, "nothing proves that this is 'ada'"),
    ],
)
def test_what_cannot_be_handed_over_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        given(**fields)
