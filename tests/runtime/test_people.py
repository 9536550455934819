"""Who is who: tokens, names, and what each may do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.agents.errors import DeniedError, UsageError
from gatewright.runtime.config import AUDITOR, OPERATOR, SERVICE, Config, Person, Server
from gatewright.runtime.people import ANYONE, Identity, Roster, digest, new_token

ADA = Person(roles=("treasury", OPERATOR), token_sha256=digest("token of ada"))
BOB = Person(roles=(AUDITOR,), token_sha256=digest("token of bob"))
PEOPLE = {"ada": ADA, "bob": BOB}


def identified(roster: Roster, token: str) -> Identity:
    found = roster.identify(token)
    assert found is not None
    return found[1]


def test_a_token_identifies_its_person_and_nobody_else() -> None:
    roster = Roster(PEOPLE, "")

    assert identified(roster, "token of ada") == Identity(kind="person", name="ada", roles=frozenset(ADA.roles))
    assert identified(roster, "token of bob").name == "bob"


@given(st.text())
def test_what_is_nobodys_token_identifies_nobody(token: str) -> None:
    known = ("token of ada", "token of bob", "token of the service")

    assert (Roster(PEOPLE, known[2]).identify(token) is None) is (token not in known)


def test_the_digest_in_the_configuration_is_no_token() -> None:
    assert Roster(PEOPLE, "").identify(ADA.token_sha256) is None


def test_beside_people_the_services_token_is_a_service_account_without_roles() -> None:
    service = identified(Roster(PEOPLE, "secret"), "secret")

    assert (service.kind, service.name, service.roles, service.operates) == ("service", SERVICE, frozenset(), True)


def test_without_people_the_services_token_names_nobody() -> None:
    assert identified(Roster({}, "secret"), "secret") is ANYONE


def test_only_a_service_without_people_and_token_is_open() -> None:
    configs = [Config(), Config(server=Server(token="t")), Config(people=PEOPLE)]

    assert [Roster.of(config).open for config in configs] == [True, False, False]


@pytest.mark.parametrize("by", [None, "", " ", "ada", " ada "])
def test_a_person_signs_with_their_own_name(by: str | None) -> None:
    assert identified(Roster(PEOPLE, ""), "token of ada").sign(by) == "ada"


@pytest.mark.parametrize("by", ["bob", "Ada", "service", "ada\u200b"])
def test_a_person_signs_with_no_other_name(by: str) -> None:
    with pytest.raises(DeniedError, match="the token is that of 'ada'"):
        identified(Roster(PEOPLE, ""), "token of ada").sign(by)


def test_whoever_is_not_known_must_give_a_name() -> None:
    assert ANYONE.sign("kim") == "kim"
    with pytest.raises(UsageError, match="say who you are"):
        ANYONE.sign(" ")


def test_operating_needs_the_role() -> None:
    identified(Roster(PEOPLE, ""), "token of ada").operate("pausing")
    ANYONE.operate("pausing")
    with pytest.raises(DeniedError, match=r"pausing needs the role 'operator', 'bob' has \['auditor'\]"):
        identified(Roster(PEOPLE, ""), "token of bob").operate("pausing")


def test_tokens_are_new_each_time_and_long() -> None:
    made = {new_token() for _ in range(100)}

    assert len(made) == 100
    assert all(token.startswith("gw_") and len(token) == 46 for token in made)
