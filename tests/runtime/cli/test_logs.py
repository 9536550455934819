"""The log of a process that stays."""

import io
import logging
import re
import time

import pytest

from gatewright.runtime.cli import logs

LOG = logging.Logger("gatewright.test")  # without a parent, so that it has no handler here either


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a process that has set up no other log writes."""
    stream = io.StringIO()
    monkeypatch.setattr(logging, "lastResort", logging.StreamHandler(stream))
    logs.begin()
    return stream


def test_a_line_has_its_time_and_level(written: io.StringIO) -> None:
    LOG.warning("no broker answers at %s", "b:1")

    line = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} WARNING gatewright.test: no broker answers at b:1\n"
    assert re.fullmatch(line, written.getvalue())


def test_the_same_is_said_once_a_minute_and_how_often_it_was_meant(
    written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for _ in range(30):
        LOG.warning("the database %s is away", "a")
        LOG.warning("the database %s is away", "b")
        now += 1.0
    assert written.getvalue().count("is away") == 2

    now += logs.QUIET
    LOG.warning("the database %s is away", "a")

    assert written.getvalue().endswith("the database a is away (29 times more since it was last written)\n")


def test_lines_that_all_differ_are_all_written_and_none_is_remembered_for_ever(written: io.StringIO) -> None:
    sparing = logs.Sparing()
    lines = [LOG.makeRecord("a", logging.WARNING, "", 0, f"message {n}", (), None) for n in range(logs.MOST + 1)]

    assert all(sparing.filter(line) for line in lines)
    assert sparing.filter(lines[0])
