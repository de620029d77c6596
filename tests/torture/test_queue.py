"""Two servers and three worker processes on one PostgreSQL: each queued run is executed once, in order of creation,
while workers are killed with SIGKILL. Judged by the tables alone. 500 runs with TORTURE=long, fewer in CI."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.processes import Nursery, Process
from tests.served import INLINE, served, wait_until

pytestmark = [pytest.mark.torture, pytest.mark.postgres]
RUNS = 500 if os.environ.get("TORTURE") == "long" else 25
WORKERS = 3
CLAIMERS = WORKERS + 2  # the servers work too
FORCED_EACH = 10  # each tenth run computes something in any case, the others find it done


def test_each_run_once_in_order_with_workers_killed(postgres_url: str, tmp_path: Path, nursery: Nursery) -> None:
    (tmp_path / "agent.toml").write_text(INLINE + "[api]\nrate_limit_per_minute = 100000\n", encoding="utf-8")
    env = {"AGENT_DATABASE_URL": postgres_url, "WORKER_CHECK_INTERVAL": "0.5"}
    kills = 0

    def worker() -> Process:
        return nursery.start(tmp_path, "agent", ["worker"], tmp_path / "workers.log", env)

    with ExitStack() as stack, psycopg.connect(postgres_url, autocommit=True) as conn:
        servers = [stack.enter_context(server_of(tmp_path, name, env, nursery)) for name in ("one", "two")]
        workers = [worker() for _ in range(WORKERS)]
        try:
            for number in range(RUNS):
                goal = "recompute markets" if number % FORCED_EACH == 0 else "refresh markets"
                answer = servers[number % 2].post("/runs", json={"goal": goal})
                assert answer.status_code == 201, answer.text
            for share in (0.2, 0.4, 0.6):
                wait_until(lambda share=share: over(conn) >= share * RUNS, seconds=RUNS, what="runs to end")
                victim = workers.pop(0)
                victim.kill()
                victim.wait()
                kills += 1
                workers.append(worker())
            wait_until(lambda: over(conn) == RUNS, seconds=60 + RUNS, what=lambda: statuses(conn))
        finally:
            for one in workers:
                one.signal(signal.SIGTERM)
            for one in workers:
                one.wait(30)
        check(conn, kills)


@contextmanager
def server_of(folder: Path, name: str, env: dict[str, str], nursery: Nursery) -> Iterator[httpx.Client]:
    """A client of a server of the project in `folder`, which logs to a folder of its own."""
    (folder / name).mkdir()
    with (
        served(folder / name, "--project-dir", str(folder), nursery=nursery, **env) as server,
        server.client() as client,
    ):
        yield client


def over(conn: psycopg.Connection[tuple[object, ...]]) -> int:
    row = conn.execute("SELECT count(*) FROM runs WHERE finished_at IS NOT NULL").fetchone()
    assert row is not None
    return int(str(row[0]))


def statuses(conn: psycopg.Connection[tuple[object, ...]]) -> str:
    return str(conn.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall())


def check(conn: psycopg.Connection[tuple[object, ...]], kills: int) -> None:
    """Each run ended once; was begun once, if it was not lost with a killed worker; and in order of creation."""
    ends = conn.execute(
        "SELECT runs.id, status, error, count(events.id) FILTER (WHERE type LIKE 'RUN_STARTED'),"
        " count(events.id) FILTER (WHERE type IN ('RUN_COMPLETED', 'RUN_FAILED', 'RUN_CANCELLED'))"
        " FROM runs JOIN events ON events.run_id = runs.id GROUP BY runs.id ORDER BY runs.id"
    ).fetchall()
    lost = 0
    for run_id, status, error, started, ended in ends:
        assert ended == 1, (run_id, status, error)
        if status == "COMPLETED":
            assert started == 1, run_id
        else:
            assert status == "FAILED", (run_id, status, error)
            assert "died" in str(error), (run_id, error)
            assert int(str(started)) <= 1, run_id
            lost += 1
    assert lost <= kills
    forced = conn.execute(
        "SELECT run_id, count(*) FILTER (WHERE attempts.status = 'succeeded') FROM attempts"
        " JOIN runs ON runs.id = run_id WHERE force::text <> '[]' AND runs.status = 'COMPLETED' GROUP BY run_id"
    ).fetchall()
    assert {count for _, count in forced} == {1}
    begun = [row[0] for row in conn.execute("SELECT started_at FROM runs ORDER BY id").fetchall()]
    # Those who claim at the same moment may note it in either order; nobody overtakes by more than that.
    late = [n for n in range(len(begun) - CLAIMERS) if str(begun[n]) > str(begun[n + CLAIMERS])]
    assert not late
    print(f"\n{len(ends)} runs, {CLAIMERS} claimers, {kills} kills, {lost} lost and closed, none twice, in order")
