"""Whether a process of this machine is still there, where that can be told for certain."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

_PROC = Path("/proc")


@cache
def _here() -> str:
    """This boot of this kernel and this namespace of process numbers: where a number means the same process."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return ""


def _started(pid: int) -> str:
    """When a process was started, in ticks since the boot; empty where there is no such process."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(") ")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]  # proc(5): state is the 3rd field, starttime the 22nd


def this_process() -> str:
    """What tells this process from every other, empty where that is not known."""
    here = _here()
    return f"{here}/{os.getpid()}/{_started(os.getpid())}" if here else ""


def dead(process: str) -> bool:
    """Whether a process is certainly gone; false where it may be on another machine, or cannot be looked at."""
    here, pid, started = process.rsplit("/", 2) if process.count("/") >= 2 else ("", "", "")
    if not here or here != _here():
        return False
    return _started(int(pid)) != started and not _hidden(int(pid))


def _hidden(pid: int) -> bool:
    """Whether there is a process of that number that another user must not see (`hidepid` of proc(5))."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return not (_PROC / str(pid)).exists()
    except OSError:
        return False
    return False
