"""Which process this is, and whether another one still lives: the one place that knows.

A process is named so exactly that another one on the same host can tell whether it still lives:
`host/boot_id/pid_namespace/pid/start_time`. On Linux the start time is in clock ticks since boot, as /proc has it:
psutil's moves with the wall clock, so that setting the clock would make a living process look dead, and importing it
costs a run with nothing to do a tenth of its time. This form is recorded in leases: processes of an older version that
are still at work during an upgrade read it too, so it stays as it is.
"""

from __future__ import annotations

import functools
import os
import socket
import sys
from pathlib import Path

_PROC = Path("/proc")
_GONE = ("Z", "X", "x")  # a zombie has let go of everything and waits for its parent


@functools.cache
def _identity_of(pid: int) -> str:
    return "/".join((socket.gethostname() or "-", _boot_id(), _pid_namespace(), str(pid), _start_time(pid) or "-"))


def own() -> str:
    """This process as `host/boot_id/pid_namespace/pid/start_time`."""
    return _identity_of(os.getpid())  # by pid: a forked child must not take itself for its parent


def is_alive(owner: str) -> bool | None:
    """Whether the process `owner` lives; None where it cannot be known from here.

    That is so for another host or pid namespace (a container), and for another boot of a host of this name, which may
    be another machine of the same name.
    """
    parts = owner.split("/")
    if len(parts) != 5 or not parts[3].isdecimal() or parts[:3] != own().split("/")[:3]:
        return None
    pid = int(parts[3])
    started = _start_time(pid)
    if started is None:
        return None if _is_hidden(pid) else False
    return started == parts[4]


def describe(owner: str) -> str:
    """An owner in words: `HOST pid N`."""
    parts = owner.split("/")
    return f"{parts[0]} pid {parts[3]}" if len(parts) == 5 else owner


def _boot_id() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil

        return f"boot-{int(psutil.boot_time())}"


def _pid_namespace() -> str:
    try:
        return (_PROC / "self/ns/pid").readlink().name
    except OSError:
        return sys.platform


def _start_time(pid: int) -> str | None:
    """When process `pid` began, in the system's own units; None where there is no such process, or only its remains."""
    if (_PROC / "self/stat").exists():
        try:
            text = (_PROC / str(pid) / "stat").read_text(errors="replace")
        except OSError:
            return None
        fields = text.rpartition(")")[2].split()  # the name before it may hold blanks; fields count from the third
        return None if fields[0] in _GONE else fields[19]
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return None


def _is_hidden(pid: int) -> bool:
    """Whether there is a process `pid` of another user, which /proc may be set to hide."""
    if os.name == "nt":
        return False  # os.kill would end the process there
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False  # gone
    return False  # ours, and only its remains
