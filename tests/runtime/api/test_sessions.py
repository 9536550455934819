"""Sessions: whose they are, how they end, and that nobody else can make one."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.api.sessions import FILE, SECONDS, Sessions, key_of
from gatewright.runtime.config import Person
from gatewright.runtime.people import Roster, digest

KEY = b"k" * 32
PEOPLE = {
    "Ädä L.": Person(roles=("treasury",), token_sha256=digest("token of ada")),
    "bob": Person(token_sha256=digest("token of bob")),
}


def sessions(key: bytes = KEY, **tokens: str) -> Sessions:
    people = {name: Person(token_sha256=digest(token)) for name, token in tokens.items()} or PEOPLE
    return Sessions(Roster(people, ""), key)


def test_a_session_carries_the_person_with_their_roles() -> None:
    held = sessions().holder(sessions().begin("Ädä L."))

    assert held is not None
    assert (held.name, held.roles, held.authenticated) == ("Ädä L.", frozenset({"treasury"}), True)


def test_a_session_runs_out() -> None:
    value = sessions().begin("bob", now=1000.0)

    assert sessions().holder(value, now=1000.0 + SECONDS - 1)
    assert sessions().holder(value, now=1000.0 + SECONDS) is None


def test_a_session_ends_when_the_persons_token_changes() -> None:
    assert sessions(bob="new").holder(sessions(bob="old").begin("bob")) is None


def test_a_session_ends_when_the_person_leaves() -> None:
    assert sessions(carol="x").holder(sessions(bob="old").begin("bob")) is None


def test_the_configuration_alone_makes_no_session() -> None:
    assert sessions().holder(sessions(key=b"guess" * 8).begin("bob")) is None


@pytest.mark.parametrize(
    "value", ["", ".", "...", "9999999999.Ym9i.00.", "x.Ym9i.00.00", "\u00ff.\u00ff.\u00ff.\u00ff"]
)
def test_what_is_no_session_is_nobodys(value: str) -> None:
    assert sessions().holder(value) is None


@given(st.data())
def test_a_session_that_was_altered_does_not_hold(data: st.DataObject) -> None:
    value = sessions().begin("bob")
    place = data.draw(st.integers(0, len(value) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda character: character != value[place]))

    assert sessions().holder(value[:place] + other + value[place + 1 :]) is None


def test_the_key_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    first, second = key_of(tmp_path), key_of(tmp_path)

    assert (first, len(first)) == (second, 32)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_a_key_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"short")

    with pytest.raises(UnavailableError, match="5 bytes instead of 32"):
        key_of(tmp_path)
