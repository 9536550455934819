"""A service in a process of its own that never outlives the program which started it."""

from __future__ import annotations

import os
import pwd
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gatewright.agents.errors import UnavailableError

STOP = 30.0  # seconds a service may take to stop when asked
_POLL = 0.02  # seconds between two looks

# The watch gets the service's pid through a pipe and then waits for its end of file, which comes when the
# starting program closes its end or dies of whatever. (PR_SET_PDEATHSIG would fire when the starting *thread* ends.)
_WATCH = 'trap "" HUP INT TERM; read -r pid && { read -r _; kill -KILL "$pid" 2>/dev/null; }'
# The service's own process tells its pid before it becomes the service: there is no moment without a watch.
_SERVE = 'echo $$; log=$1; shift; exec "$@" >>"$log" 2>&1'


class Service:
    """One running process.

    Args:
        command: absolute program and its arguments; it may not go into the background by itself.
        log: file that its output is appended to; `user` must be able to write it.
        user: run it as this user instead of as the caller; only root may.

    Raises:
        UnavailableError: the program cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        environ: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self._name = Path(command[0]).name
        self._log = log
        self._start = log.stat().st_size if log.exists() else 0
        reading, writing = os.pipe()
        try:
            # Sessions of their own, for Ctrl-C reaches the whole foreground group and would end the services under us.
            self._watch = subprocess.Popen(["/bin/sh", "-c", _WATCH], stdin=reading, start_new_session=True)
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SERVE, "sh", str(log), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=writing,
                cwd=log.parent,
                env={**os.environ, **(environ or {})},
                start_new_session=True,
                user=user,
                group=_group(user),
                extra_groups=None if user is None else [],
            )
        except OSError as error:
            os.close(writing)
            raise UnavailableError(f"{command[0]!s} cannot be started: {error}") from error
        finally:
            os.close(reading)
        self._alarm = writing
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended (a paused one has not)."""
        return self._process.poll() is None

    def wait_until(self, answers: Callable[[], bool], *, seconds: float) -> None:
        """Look until the service answers.

        Raises:
            UnavailableError: it ended, or did not answer in time (then it is killed); with the end of its log.
        """
        limit = time.monotonic() + seconds
        try:
            while not answers():
                late = time.monotonic() > limit
                if late or not self.running:
                    fate = f"did not answer within {seconds:g} seconds" if late else "ended at once"
                    raise UnavailableError(f"{self._name} {fate}; the end of {self._log} is: {self.said()[-2000:]!r}")
                time.sleep(_POLL)
        except BaseException:  # Ctrl-C too: nobody else knows of the process yet
            self.kill()
            raise

    def said(self) -> str:
        """What it wrote since it was started."""
        if not self._log.exists():
            return ""
        with self._log.open("rb") as log:
            log.seek(self._start)
            return log.read().decode("utf-8", "replace")

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.running:
            self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end with this signal and wait; it is killed when it takes longer than `STOP`."""
        self.send(signal.SIGCONT)  # a paused process would not hear us
        self.send(number)
        try:
            self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def kill(self) -> None:
        """End it and the processes that it started, at once, as a machine does that dies; nothing is left after it."""
        family = [self.pid]
        if self.running:
            self._process.send_signal(signal.SIGSTOP)  # or it would start more while we count
            family += descendants(self.pid)
            for pid in family:
                _kill(pid)
        self._process.wait()
        while any(alive(pid) for pid in family[1:]):
            time.sleep(_POLL)
        if self._alarm >= 0:
            self._watch.kill()  # before the end of file: the pid is free for others now
            self._watch.wait()
            os.close(self._alarm)
            self._alarm = -1


class Server(ABC):
    """What all services share: a life of starts, stops and kills, with the same port and the same folder."""

    _service: Service | None = None
    _ending = signal.SIGTERM

    @abstractmethod
    def _launch(self) -> Service:
        """Start the process and wait until it answers; may raise `UnavailableError`."""

    def start(self) -> None:
        """Start it and wait until it answers; does nothing to one that runs.

        Raises:
            UnavailableError: it does not start; with the end of its log.
        """
        if not self.running:
            self._service = self._launch()

    def stop(self) -> None:
        """End it in good order; clients that are connected are broken off."""
        if self._service is not None:
            self._service.stop(self._ending)

    def kill(self) -> None:
        """SIGKILL for all its processes, as when the machine dies."""
        if self._service is not None:
            self._service.kill()

    def restart(self) -> None:
        """Start it again after `kill`, or stop it first."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: its connections stay open and it accepts and answers nothing."""
        if self._service is not None:
            self._service.send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT, after `pause`."""
        if self._service is not None:
            self._service.send(signal.SIGCONT)

    @property
    def running(self) -> bool:
        """Whether its process is there; a paused one is."""
        return self._service is not None and self._service.running

    @property
    def pid(self) -> int:
        """Its main process; only after `start`."""
        assert self._service is not None
        return self._service.pid


def descendants(pid: int) -> list[int]:
    """The children of a process, their children and so on, from /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (found := _stat(int(entry.name))) is not None:
            children.setdefault(int(found[1]), []).append(int(entry.name))
    family = [pid]
    for member in family:  # grows while it is read
        family += children.get(member, [])
    return family[1:]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    found = _stat(pid)
    return found is not None and found[0] not in "ZX"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on.

    It lies below the range that the kernel takes the ports of outgoing connections from. So a server that was
    killed finds its port free again, and a client that tries to reach it meanwhile cannot connect to itself.
    """
    for port in random.SystemRandom().sample(range(10_000, 30_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise UnavailableError("of 100 ports between 10000 and 30000 none is free; end what listens there")


def _group(user: str | None) -> int | None:
    return None if user is None else pwd.getpwnam(user).pw_gid


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _stat(pid: int) -> tuple[str, str] | None:
    """State and parent of a process, or nothing where there is none."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, parent, *_ = told.rpartition(")")[2].split()  # its name before may hold spaces and parentheses
    return state, parent
