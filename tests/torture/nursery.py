"""Starts orchestrators quickly: a process that has everything imported and forks one whenever asked.

Each is a real process, in a group of its own, that can be killed with SIGKILL; only the two seconds of imports are
saved. It talks JSON lines: {"id", "cwd", "program", "arguments", "env", "output", "errors"} in; {"id", "pid"} and, at
its end, {"id", "status"} out. `program` is one that `main_of` knows. Run as `python -m tests.torture.nursery`.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any


def collect_late(arguments: list[str]) -> int:
    """gc with a clock that runs so many minutes ahead: it waits less for readers, or, a day ahead, for nobody."""
    from datetime import timedelta

    from agent.clock import SystemClock
    from agent.execution.upkeep.gc import collect
    from agent.execution.workspace import open_workspace

    with open_workspace() as workspace:
        now = SystemClock().now() + timedelta(minutes=int(arguments[0]))
        found = collect(
            workspace.settings, workspace.database, workspace.releasing, keep_releases=1, keep_days=0, now=now
        )
    print(found)
    return 0


def main_of(program: str) -> Any:
    """What a started process executes with its arguments; returns the exit code."""
    import agent.cli.main
    import agent.orchestrator

    return {"orchestrator": agent.orchestrator.main, "agent": agent.cli.main.main, "gc": collect_late}[program]


def _preload() -> None:
    import importlib

    from agent.cli.main import names
    from pipelines.discovery import load_components

    for name in ("psycopg", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite", "rich.progress"):
        importlib.import_module(name)
    for name in ("tomllib", "agent.execution.opening", "agent.execution.attempt"):  # what a run imports when it must
        importlib.import_module(name)
    for name in ("mark_dirty", "cancel", "run", "gc"):
        if name.replace("_", "-") in names():
            importlib.import_module(f"agent.cli.commands.{name}")
    load_components()


def _become(order: dict[str, Any]) -> None:
    """The forked process: never returns."""
    code = 70
    try:
        os.setsid()
        os.chdir(order["cwd"])
        for number, name in ((1, "output"), (2, "errors")):
            os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(order["env"])
        if "TIDE_FILE_BYTES" in os.environ:  # a disk with room for no larger file
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ["TIDE_FILE_BYTES"]),) * 2)
        if os.environ.get("TIDE_FAULT"):
            from tests.torture.faults import install

            install()
        code = main_of(order["program"])(order["arguments"])
        sys.stdout.flush()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def serve() -> None:
    """Fork until standard input ends; then end everything that was forked."""
    _preload()
    living: dict[int, Any] = {}
    try:
        _serve(living)
    finally:  # also when whoever asked has died: nothing is left running
        for pid in living:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def _serve(living: dict[int, Any]) -> None:
    heard = b""
    print(json.dumps({"ready": True}), flush=True)
    while True:
        readable, _, _ = select.select([0], [], [], 0.005 if living else 1.0)
        if readable:
            more = os.read(0, 1 << 16)
            if not more:
                break
            *lines, heard = (heard + more).split(b"\n")
            for order in map(json.loads, lines):
                pid = os.fork()
                if pid == 0:
                    _become(order)
                living[pid] = order["id"]
                print(json.dumps({"id": order["id"], "pid": pid}), flush=True)
        while living:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid in living:
                said = {"id": living.pop(pid), "status": os.waitstatus_to_exitcode(status)}
                print(json.dumps(said), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent / "plugins"))
    serve()
