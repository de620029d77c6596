"""Leases: the right to work on a component or a run until a time, with a token that only grows.

Time is the database's. An owner names its process so exactly that another one on the same host can tell whether it
still lives: a dead holder is taken over at once, one elsewhere when its lease ends.
"""

from __future__ import annotations

import functools
import os
import socket
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from agent.errors import Busy, NotFound
from agent.store.engine import database_now
from agent.store.state import IS_HELD, OF_HOLDER, RELEASED, holding, show_dirty
from agent.store.tables import orchestrator_state as rows

_PROC = Path("/proc")
_GONE = ("Z", "X", "x")  # a zombie has let go of everything and waits for its parent

# Made once, since building a statement costs more than executing it.
_HERE = rows.c.component == sa.bindparam("taken")
_LEASE = (
    sa.select(rows.c.lease_owner, rows.c.lease_token, rows.c.lease_expires_at, rows.c.lease_taken_at)
    .where(_HERE)
    .with_for_update()
)
_TAKE = sa.update(rows).where(_HERE, rows.c.lease_token == sa.bindparam("seen"))
_HELD = sa.select(rows.c.component).where(IS_HELD).with_for_update()
_OF_RUNNING = OF_HOLDER.where(rows.c.status == "running")


@dataclass(frozen=True)
class Lease:
    """The right to work on a component. `took_over_from` is the holder that died or overslept, if there was one."""

    component: str
    token: int
    took_over_from: str | None = None


def take(conn: sa.Connection, component: str, owner: str, seconds: float) -> Lease:
    """Take the lease on `component` for `seconds`, with a token larger than any before.

    Raises Busy where another process holds it (this very process too), NotFound where there is no such row.
    """
    now = database_now(conn)
    row = conn.execute(_LEASE, {"taken": component}).one_or_none()
    if row is None:
        raise NotFound(f"there is no component {component!r}", where="orchestrator_state", mend="see `agent state`")
    expires_at = row.lease_expires_at
    if is_at_work(row.lease_owner, expires_at, now):
        since = "" if row.lease_taken_at is None else f" since {row.lease_taken_at:%Y-%m-%d %H:%M:%S} UTC"
        raise Busy(
            f"component {component} is being run by {describe(row.lease_owner)}{since}",
            where=f"its lease ends at {expires_at:%Y-%m-%d %H:%M:%S} UTC unless it is extended",
            mend="wait for it (--wait), or stop that process",
        )
    token: int = row.lease_token + 1
    values = {
        "lease_owner": owner,
        "lease_token": token,
        "lease_taken_at": now,
        "lease_expires_at": now + timedelta(seconds=seconds),
    }
    if conn.execute(_TAKE, {"taken": component, "seen": row.lease_token, **values}).rowcount != 1:
        raise Busy(
            f"component {component} was taken by another process this moment",
            where="its lease in orchestrator_state",
            mend="try again, or wait for it (--wait)",
        )
    return Lease(component, token, row.lease_owner)


def extend(conn: sa.Connection, component: str, token: int, seconds: float) -> bool:
    """Let the lease end `seconds` from now. False where it is no longer held with `token`."""
    expires_at = database_now(conn) + timedelta(seconds=seconds)
    return conn.execute(OF_HOLDER, {**holding(component, token), "lease_expires_at": expires_at}).rowcount == 1


def is_held(conn: sa.Connection, component: str, token: int) -> bool:
    """Whether the lease is held with `token`. The row stays locked until the transaction ends."""
    return conn.execute(_HELD, holding(component, token)).one_or_none() is not None


def release(conn: sa.Connection, component: str, token: int) -> bool:
    """Give the lease back without a result. False where it is no longer held with `token`.

    An attempt that was begun has cleared the flag, so giving it up sets it again.
    """
    here = holding(component, token)
    begun = conn.execute(_OF_RUNNING, {**here, "status": "idle"}).rowcount == 1
    held = conn.execute(OF_HOLDER, {**here, **RELEASED}).rowcount == 1
    if begun:
        show_dirty(conn, component, "the last attempt was given up")
    return held


def put_back(conn: sa.Connection, component: str, token: int) -> None:
    """Give the lease back and leave the row as it was found, that of a dead holder included."""
    conn.execute(OF_HOLDER, {**holding(component, token), **RELEASED})


# --- who holds it ------------------------------------------------------------------------------------------------


@functools.cache
def _identity_of(pid: int) -> str:
    return "/".join((socket.gethostname() or "-", _boot_id(), _pid_namespace(), str(pid), _start_time(pid) or "-"))


def own_identity() -> str:
    """This process as `host/boot_id/pid_namespace/pid/start_time`."""
    return _identity_of(os.getpid())  # by pid: a forked child must not take itself for its parent


def is_alive(owner: str) -> bool | None:
    """Whether the process `owner` lives; None where it cannot be known from here.

    That is so for another host or pid namespace (a container), and for another boot of a host of this name, which may
    be another machine of the same name.
    """
    parts = owner.split("/")
    if len(parts) != 5 or not parts[3].isdecimal() or parts[:3] != own_identity().split("/")[:3]:
        return None
    pid = int(parts[3])
    started = _start_time(pid)
    if started is None:
        return None if _is_hidden(pid) else False
    return started == parts[4]


def is_at_work(owner: str | None, expires_at: datetime | None, now: datetime) -> bool:
    """Whether a lease is in force at `now`: it has not ended, and its holder is not known to be dead."""
    return owner is not None and expires_at is not None and expires_at > now and is_alive(owner) is not False


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
