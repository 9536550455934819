"""A PostgreSQL database by `--database` and by the variable, and the password that nobody is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Project

SECRET = "hunter2"


@pytest.fixture
def url(database_url: str) -> str:
    """With a password that the server does not ask for."""
    return database_url.replace("@", f":{SECRET}@")


def test_a_database_is_made_checked_and_worked_on_by_its_url(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = project("db", "check", "--database", url)
    made = project("db", "upgrade", "--database", url, "--json")
    monkeypatch.setenv("GATEWRIGHT_DATABASE", url)
    found = project("db", "check", "--json")
    runs = project("run", "list", "--json")
    assert (missing.code, made.code, found.code, runs.code) == (4, 0, 0, 0)
    assert found.json == {"schema": made.json["schema"], "head": made.json["schema"], "differences": [], "ok": True}
    assert runs.json == []
    assert not (project.path / ".gatewright" / "gatewright.sqlite").exists()
    assert SECRET not in f"{missing} {made} {found} {runs}"


def test_the_doctor_names_the_database_without_its_password(project: Project, url: str) -> None:
    empty = project("doctor", "--database", url)
    project("db", "upgrade", "--database", url)
    full = project("doctor", "--database", url)
    away = project("doctor", "--database", f"postgresql://kim:{SECRET}@127.0.0.1:1/name")
    wrong = project("doctor", "--database", f"mysql://kim:{SECRET}@127.0.0.1:1/name")
    assert (empty.code, full.code, away.code, wrong.code) == (0, 0, 4, 4)
    assert "none yet in PostgreSQL database" in empty.out
    assert "in PostgreSQL database" in full.out
    assert "check that the server runs" in away.out
    assert "write postgresql+psycopg://" in wrong.out
    assert SECRET not in f"{empty} {full} {away} {wrong}"
