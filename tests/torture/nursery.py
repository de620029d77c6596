"""Starts the project's programs quickly: a process that has everything imported and forks one whenever asked.

Each is a real process, in a group of its own, that can be killed with SIGKILL; only the two seconds of imports are
saved. It talks JSON lines: {"id", "cwd", "program", "arguments", "env", "output", "errors"} in; {"id", "pid"} and, at
its end, {"id", "status"} out. `program` is one that `main_of` knows. Run as `python -m tests.torture.nursery`, with
the argument `heavy` for one that has the libraries of the seven components imported as well.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import sys
import tempfile
import traceback
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from agent.execution.host import process
from agent.store.database import migrations
from pipelines.plugins.code import CodeCache, code_of
from tests.torture.host_fork import Listener, fork_hosts_of, lead_own_group
from tests.torture.template import statements, upgrade


def collect_late(arguments: list[str]) -> int:
    """gc with a clock that runs so many minutes ahead: it waits less for readers, or, a day ahead, for nobody."""
    from datetime import timedelta

    from agent.clock import SystemClock
    from agent.execution.upkeep.gc import collect

    with _opened() as workspace:
        now = SystemClock().now() + timedelta(minutes=int(arguments[0]))
        found = collect(
            workspace.settings, workspace.database, workspace.releasing, keep_releases=1, keep_days=0, now=now
        )
    print(found)
    return 0


def python(arguments: list[str]) -> int:
    """What `python FILE …` and `python -c CODE` do in a process that has started."""
    import runpy

    name, *rest = arguments
    if name == "-c":
        code, *rest = rest
        sys.argv, sys.path[0:0] = ["-c", *rest], [""]
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv, sys.path[0:0] = [name, *rest], [str(Path(name).resolve().parent)]
        runpy.run_path(name, run_name="__main__")
    return 0


def _opened() -> Any:
    """The workspace of the project in this folder: by itself, or as project 1 of the server in folder TIDE_SERVER."""
    from agent import settings
    from agent.execution.workspace import open_workspace

    server = os.environ.get("TIDE_SERVER")
    return open_workspace(Path.cwd(), control=settings.load(Path(server)), project_id=1) if server else open_workspace()


def run_beside(arguments: list[str]) -> int:
    """A run as the server's worker performs it; `arguments` as the orchestrator has them."""
    from agent.execution.runlog import Request
    from agent.execution.session import perform

    asked = dict(zip(arguments[::2], arguments[1::2], strict=True))
    force = tuple(name for option, name in asked.items() if option == "--force")
    with _opened() as workspace:
        return 0 if perform(workspace, Request(targets=(asked["--target"],), force=force)).status == "COMPLETED" else 1


def main_of(program: str) -> Any:
    """What a started process executes with its arguments; returns the exit code."""
    if program == "run_all":
        from pipelines.run_all import main

        return main
    if program == "trader":
        from tests.torture.trader_process import main as trader

        return trader
    if program == "streamlit":
        from streamlit.web.cli import main as streamlit

        return streamlit
    import agent.cli.main
    import agent.orchestrator

    if program == "orchestrator" and "TIDE_SERVER" in os.environ:
        return run_beside
    return {
        "orchestrator": agent.orchestrator.main,
        "agent": agent.cli.main.main,
        "gc": collect_late,
        "python": python,
    }[program]


# What the built-in components, the server and the dashboard import when they work. Threads that some of them start by
# being imported hold no lock at a fork: allocators and BLAS see to that, and nothing else is in use before it is used.
_HEAVY = (
    *("polars", "pandas", "pandera.polars", "pyarrow", "duckdb", "jinja2", "plotly.graph_objects"),
    *("sklearn.ensemble", "sklearn.linear_model", "sklearn.isotonic", "sklearn.pipeline", "sklearn.impute"),
    *("alembic.command", "alembic.runtime.migration", "agent.api.app", "uvicorn", "agent.cli.commands.serve"),
    *("streamlit.web.cli", "streamlit.web.bootstrap", "streamlit.components.v1", "dashboard.data", "dashboard.actions"),
)


def _preload(*, heavy: bool) -> None:
    import importlib

    from agent.cli.main import load, names
    from pipelines.plugins.discovery import load_components

    for name in ("psycopg", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite", "rich.progress"):
        importlib.import_module(name)
    for name in ("tomllib", "agent.execution.opening", "agent.execution.attempt"):  # what a run imports when it must
        importlib.import_module(name)
    for name in ("mark_dirty", "cancel", "run", "gc"):
        if name.replace("_", "-") in names():
            load(name.replace("_", "-"))
    for component in load_components().values():  # each new home would read the code of all of them
        code_of(component.function.__module__, cache=CodeCache())
    statements()
    migrations.upgrade = upgrade
    for name in _HEAVY if heavy else ():
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a forked process whose collector leaves these alone does not copy the pages that they are on


def _become(order: dict[str, Any], hosts: str | None) -> None:
    """The forked process: never returns. `hosts` is where it asks for processes of projects."""
    code = 70
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.chdir(order["cwd"])
        for number, name in ((1, "output"), (2, "errors")):
            os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(order["env"])
        if "PYTHONPATH" in order["env"]:
            sys.path[0:0] = order["env"]["PYTHONPATH"].split(os.pathsep)
        if "TIDE_FILE_BYTES" in os.environ:  # a disk with room for no larger file
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ["TIDE_FILE_BYTES"]),) * 2)
        if os.environ.get("TIDE_FAULT"):
            from tests.torture.faults import install

            install()
        if hosts is not None and not {"TIDE_FAULT", "TIDE_FROM_NOTHING"} & os.environ.keys():
            process.start_host = fork_hosts_of(lambda: hosts)
        code = main_of(order["program"])(order["arguments"])
        sys.stdout.flush()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def serve(*, heavy: bool = False) -> None:
    """Fork until standard input ends; then end everything that was forked. The heavy one forks projects' processes."""
    _preload(heavy=heavy)
    living: dict[int, Any] = {}
    with tempfile.TemporaryDirectory(prefix="nursery-") as folder:
        hosts = Listener(Path(folder)) if heavy else None
        try:
            _serve(living, hosts)
        finally:  # also when whoever asked has died: nothing is left running
            for pid in [*living, *(hosts.pids if hosts else ())]:
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)


def _serve(living: dict[int, Any], hosts: Listener | None) -> None:
    heard = b""
    ended, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler, so that the pipe above is written to
    path = hosts.path if hosts else None
    print(json.dumps({"ready": True, "hosts": path}), flush=True)
    while True:
        readable, _, _ = select.select([0, ended, *([hosts.socket] if hosts else [])], [], [])
        if ended in readable:
            os.read(ended, 1 << 16)
        if hosts and hosts.socket in readable:
            hosts.accept()
        if 0 in readable:
            more = os.read(0, 1 << 16)
            if not more:
                break
            *lines, heard = (heard + more).split(b"\n")
            for order in map(json.loads, lines):
                if order["program"] == "trader":
                    _import_trader()
                pid = os.fork()
                if pid == 0:
                    _become(order, path)
                lead_own_group(pid)
                living[pid] = order["id"]
                print(json.dumps({"id": order["id"], "pid": pid}), flush=True)
        _note_ends(living, hosts)


@cache
def _import_trader() -> None:
    """What a trader's process needs, imported when the first one is asked for: most sessions start none."""
    from tests.torture.trader_process import feed

    feed()
    gc.collect()
    gc.freeze()


def _note_ends(living: dict[int, Any], hosts: Listener | None) -> None:
    while living or (hosts and hosts.pids):
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            break
        code = os.waitstatus_to_exitcode(status)
        if pid in living:
            print(json.dumps({"id": living.pop(pid), "status": code}), flush=True)
        elif hosts:
            hosts.end(pid, code)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent / "plugins"))
    serve(heavy="heavy" in sys.argv[1:])
    os._exit(0)  # without the clean-up of what was only imported to be forked, which some libraries complain about
