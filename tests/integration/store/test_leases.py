"""Leases: one holder, takeover of the dead, and whether a process is known to live."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from agent import identity
from agent.errors import Busy, NotFound
from agent.store import leases, state
from agent.store.control import runs
from agent.store.database.engine import open_engine, reading, writing
from agent.store.tables import orchestrator_state
from tests.paths import PROJECT

TAKE = """
import sys
from agent import identity
from agent.errors import Busy
from agent.store import leases
from agent.store.database.engine import open_engine, writing
engine = open_engine(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    with writing(engine) as conn:
        print(leases.take(conn, leases.of_component("ticks"), identity.own(), 600).token, flush=True)
except Busy as busy:
    print("busy", busy.what, flush=True)
sys.stdin.readline()
"""


def start(url: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", TAKE, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT / "src")},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def rows(engine: sa.Engine) -> sa.Engine:
    with writing(engine) as conn:
        state.ensure_rows(conn, ["ticks"])
    return engine


def test_one_of_four_processes_gets_the_lease(rows: sa.Engine, database_url: str) -> None:
    processes = [start(database_url) for _ in range(4)]
    for process in processes:
        say(process)
    answers = [hear(process) for process in processes]
    for process in processes:
        process.communicate("done\n")
    refused = [answer for answer in answers if answer.startswith("busy component ticks is being run by ")]
    assert sorted(answers)[0] == "1"
    assert len(refused) == 3


def test_a_holder_killed_on_this_host_is_taken_over_at_once(rows: sa.Engine, database_url: str) -> None:
    holder = start(database_url)
    say(holder)
    assert hear(holder) == "1"
    with writing(rows) as conn:
        with pytest.raises(Busy, match=rf"pid {holder.pid} since \d{{4}}-") as caught:
            leases.take(conn, leases.of_component("ticks"), identity.own(), 60)
        assert caught.value.exit_code == 3
        conn.execute(sa.update(orchestrator_state).values(status="running"))
    holder.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # dead, and still a zombie: nobody has asked for it
    with writing(rows) as conn:
        lease = leases.take(conn, leases.of_component("ticks"), identity.own(), 60)
        assert state.load_states(conn)["ticks"].status == "running"  # what is left to see that an attempt died
    assert lease.token == 2
    assert lease.took_over_from is not None
    assert identity.describe(lease.took_over_from).endswith(f"pid {holder.pid}")
    holder.communicate()


def test_a_lease_is_not_taken_twice_by_its_own_process(rows: sa.Engine) -> None:
    with writing(rows) as conn:
        leases.take(conn, leases.of_component("ticks"), identity.own(), 60)
        with pytest.raises(Busy):
            leases.take(conn, leases.of_component("ticks"), identity.own(), 60)


def test_a_holder_elsewhere_is_taken_over_when_its_lease_ends(rows: sa.Engine) -> None:
    far = "far-away/boot/pid:[1]/7/9"
    with writing(rows) as conn:
        leases.take(conn, leases.of_component("ticks"), far, 60)
        with pytest.raises(Busy, match="far-away pid 7"):
            leases.take(conn, leases.of_component("ticks"), identity.own(), 60)
        assert leases.extend(conn, leases.of_component("ticks"), 1, 0)  # it ends now
        assert leases.take(conn, leases.of_component("ticks"), identity.own(), 60).took_over_from == far


def test_tokens_only_grow(rows: sa.Engine) -> None:
    tokens = []
    for _ in range(3):
        with writing(rows) as conn:
            tokens.append(leases.take(conn, leases.of_component("ticks"), identity.own(), 60).token)
            assert leases.release(conn, leases.of_component("ticks"), tokens[-1])
            assert not leases.release(conn, leases.of_component("ticks"), tokens[-1])
    assert tokens == [1, 2, 3]


def test_a_heartbeat_moves_the_end(rows: sa.Engine) -> None:
    with writing(rows) as conn:
        leases.take(conn, leases.of_component("ticks"), identity.own(), 1)
        first = state.load_states(conn)["ticks"].lease_expires_at
        assert leases.extend(conn, leases.of_component("ticks"), 1, 600)
        second = state.load_states(conn)["ticks"].lease_expires_at
    assert first is not None
    assert second is not None
    assert (second - first).total_seconds() > 500


def test_every_kind_of_lease_follows_one_rule(rows: sa.Engine) -> None:
    far = "far-away/boot/pid:[1]/7/9"
    with writing(rows) as conn:
        run = runs.create_run(
            conn, project_id=0, goal="g", targets=(), force=(), trigger="api", now=datetime(2026, 1, 1, tzinfo=UTC)
        )
        for name in (leases.of_component("ticks"), leases.of_run(run.id), leases.RUNNER):
            first = leases.take(conn, name, far, 60)
            assert leases.is_held(conn, name, first.token), name
            with pytest.raises(Busy, match=r"by far-away pid 7 since \d{4}-"):
                leases.take(conn, name, identity.own(), 60)
            assert leases.extend(conn, name, first.token, 0), name  # it ends now
            second = leases.take(conn, name, identity.own(), 60)
            assert second == leases.Lease(name, first.token + 1, far)
            for refused in (
                leases.is_held(conn, name, first.token),
                leases.extend(conn, name, first.token, 60),
                leases.release(conn, name, first.token),
            ):
                assert refused is False, name
            assert leases.release(conn, name, second.token), name
            assert not leases.is_held(conn, name, second.token), name
            assert leases.take(conn, name, far, 60) == leases.Lease(name, second.token + 1), name


def test_a_component_that_is_not_there(rows: sa.Engine) -> None:
    with pytest.raises(NotFound), writing(rows) as conn:
        leases.take(conn, leases.of_component("tick"), identity.own(), 60)


def test_who_lives() -> None:
    own = identity.own()
    host, boot, namespace, pid, started = own.split("/")
    assert identity.is_alive(own) is True
    assert identity.is_alive(f"{host}/{boot}/{namespace}/{pid}/1{started}") is False  # the number was given again
    assert identity.is_alive(f"{host}/{boot}/{namespace}/{2**22 + 1}/{started}") is False
    assert identity.is_alive(f"elsewhere/{boot}/{namespace}/{pid}/{started}") is None
    assert identity.is_alive(f"{host}/another/{namespace}/{pid}/{started}") is None
    assert identity.is_alive(f"{host}/{boot}/another/{pid}/{started}") is None
    assert identity.is_alive("written by hand") is None
    assert identity.describe(own) == f"{host} pid {pid}"


@pytest.mark.skipif(not Path("/proc/1/stat").exists(), reason="there is no /proc here")
def test_a_process_of_another_user_lives() -> None:
    host, boot, namespace, _, _ = identity.own().split("/")
    started = Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
    assert identity.is_alive(f"{host}/{boot}/{namespace}/1/{started}") is True


def test_a_forked_child_is_someone_else() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("there is no fork here")
    own = identity.own()
    done = subprocess.run(
        [sys.executable, "-c", "from agent import identity; print(identity.own())"],
        env={**os.environ, "PYTHONPATH": str(PROJECT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    other = done.stdout.strip()
    assert other.split("/")[:3] == own.split("/")[:3]
    assert other != own
    assert identity.is_alive(other) is False  # it has ended meanwhile


def test_leases_are_seen_by_other_connections(rows: sa.Engine, database_url: str) -> None:
    other = open_engine(database_url)
    with writing(rows) as conn:
        leases.take(conn, leases.of_component("ticks"), identity.own(), 60)
    with reading(other) as conn:
        assert state.load_states(conn)["ticks"].lease_owner == identity.own()
    other.dispose()
