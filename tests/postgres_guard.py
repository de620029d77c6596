"""Ends a PostgreSQL of the tests when the last process that used it is gone, however that one ended.

`python postgres_guard.py LOCK FOLDER` leaves a process behind, in a session of its own, where no Ctrl-C of a terminal
reaches it. It waits for LOCK, which every user holds shared: the kernel gives a lock back also for a process that was
killed. Then it ends whatever runs on the data in FOLDER, and removes both. Imports nothing of the project.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import sys
from pathlib import Path

import psutil

_PATIENCE = 30


def running_on(folder: Path) -> list[psutil.Process]:
    """Processes that were started on these data: the postmaster; initdb or pg_ctl where those were interrupted."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(folder) in (process.info["cmdline"] or ()) and process.pid != os.getpid()
    ]


def end(folder: Path) -> None:
    """End what runs on the data, and remove them. Nothing there: nothing is done."""
    while processes := running_on(folder):
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                # PostgreSQL's "immediate shutdown": its children end too, and its shared memory is given back.
                process.send_signal(signal.SIGQUIT if process.name() == "postgres" else signal.SIGTERM)
        _, stubborn = psutil.wait_procs(processes, timeout=_PATIENCE)
        for process in stubborn:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    shutil.rmtree(folder, ignore_errors=True)


def main(lock: Path, folder: Path) -> None:
    """Fork the guard and return: whoever starts it need not wait for it."""
    if os.fork():
        return
    os.setsid()
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        end(folder)
        lock.unlink(missing_ok=True)  # who waits for it meanwhile finds it gone and takes a new one


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
