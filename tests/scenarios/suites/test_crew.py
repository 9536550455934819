from __future__ import annotations

import multiprocessing
import signal

from gatewright.scenarios.suites import crew


def test_a_worker_does_not_hear_an_interrupt_even_before_its_own_code_begins() -> None:
    spawn = multiprocessing.get_context("spawn")
    deaf = spawn.Process(target=signal.raise_signal, args=(signal.SIGINT,))
    crew.start(deaf)
    deaf.join()
    assert deaf.exitcode == 0
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())
