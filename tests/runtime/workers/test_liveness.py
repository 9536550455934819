"""A process is called dead only where that is certain."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from gatewright.runtime.workers import liveness

TELL = "from gatewright.runtime.workers import liveness; print(liveness.this_process(), flush=True); input()"


def test_this_process_is_not_dead() -> None:
    assert not liveness.dead(liveness.this_process())


def test_a_process_is_dead_when_it_has_ended_even_if_nobody_has_collected_it() -> None:
    with subprocess.Popen([sys.executable, "-c", TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        told = other.stdout.readline().decode().strip()
        before = liveness.dead(told)
        other.kill()
        while not liveness.dead(told):  # the test ends by its time-out if that never comes
            pass
        collected = other.returncode

    assert told
    assert (before, collected) == (False, None)
    assert liveness.dead(told)


def test_a_number_that_was_given_to_another_process_tells_nothing_about_it() -> None:
    place, pid, started = liveness.this_process().rsplit("/", 2)

    assert liveness.dead(f"{place}/{pid}/{int(started) - 1}")


def test_a_process_of_another_machine_boot_or_container_is_not_called_dead() -> None:
    boot, space, _pid, _started = liveness.this_process().rsplit("/", 3)

    assert not liveness.dead(f"another-boot/{space}/999999999/1")
    assert not liveness.dead(f"{boot}/pid:[1]/999999999/1")


@given(st.text())
def test_what_tells_nothing_calls_nobody_dead(process: str) -> None:
    assert not liveness.dead(process)
