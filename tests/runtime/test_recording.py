"""What an execution did is written without waiting, and never given up."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, cast

import pytest

from gatewright.agents.errors import UnavailableError
from gatewright.runtime.courses import drive
from gatewright.runtime.recording import Execution, Office, Recorder


class _Ending(Future[Any]):
    """A write that ends well in the very moment in which somebody looks."""

    def __init__(self) -> None:
        super().__init__()
        self._looks = 0

    def done(self) -> bool:
        self._looks += 1
        if self._looks == 1:
            return False
        if self._looks == 2:
            self.set_result(None)
        return True


class _Writer:
    def __init__(self, *futures: Future[Any]) -> None:
        self._futures = list(futures)
        self.submitted = 0

    def submit(self, work: Any, *, urgent: bool = True) -> Future[Any]:
        self.submitted += 1
        return self._futures.pop(0)


class _Desk:
    def __init__(self, writer: _Writer) -> None:
        self.writer = writer


def recorder(writer: _Writer) -> Recorder:
    run = Execution(run_id="r", thread_id="t", case_id="t", deployment="d", agent="a", epoch=1, salt=b"")
    return Recorder(run, cast("Office", _Desk(writer)))


def failed(error: Exception) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def written() -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(None)
    return future


def test_a_write_that_ends_while_it_is_looked_at_is_no_failure() -> None:
    writes = recorder(_Writer(_Ending()))
    writes.write(lambda _tx: None)

    for _ in range(3):
        drive(writes.settle(insist=lambda: True))


def test_what_the_disk_refused_is_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewright.runtime.recording.RETRY", 0.0)
    writer = _Writer(failed(UnavailableError("disk full")), written())
    writes = recorder(writer)
    writes.write(lambda _tx: None)

    drive(writes.settle(insist=lambda: True))

    assert writer.submitted == 2


def test_what_cannot_be_written_is_raised_where_nobody_insists() -> None:
    writes = recorder(_Writer(failed(UnavailableError("disk full"))))
    writes.write(lambda _tx: None)

    with pytest.raises(UnavailableError, match="disk full"):
        drive(writes.settle(insist=lambda: False))
