"""Fixtures that many tests share: an empty, migrated database of either kind; and what the session cost.

One PostgreSQL serves a whole test session, however many xdist workers it has: see tests/postgres.py.
"""

from __future__ import annotations

import gc
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
import sqlalchemy as sa

from agent.execution.host import process
from agent.store.database import migrations
from agent.store.database.engine import open_engine
from tests import chrome, postgres, processes
from tests.processes import Nursery
from tests.terminal import Terminal
from tests.torture import template
from tests.torture.host_fork import fork_hosts_of

_TEMPLATE = "tidemill_template"
_STARTED = time.perf_counter()

# Threads of OpenMP that wait for each other must not spin: where two processes of a session share two cores, the one
# that is waited for has none to run on, and a fit of a second takes minutes. Read when the library is loaded, here and
# in every process that a test starts. How many threads there are, and so what they compute, stays as it is.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# What collection makes stays to the end: nothing of it is garbage, and no later search needs to look at it again.
gc.disable()

# A busy machine is no failure: no example has a deadline. `make test` tries the same examples for everyone, so that a
# change fails for what it changed; EXAMPLES=500 and the long torture draw new ones.
_draws = "EXAMPLES" in os.environ or os.environ.get("TORTURE") == "long"
hypothesis.settings.register_profile("tidemill", deadline=None, derandomize=not _draws)
hypothesis.settings.load_profile("tidemill")


_cpu_of_workers: list[float] = []


def pytest_collection_finish() -> None:
    """Search for garbage from now on."""
    gc.freeze()
    gc.enable()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of xdist hands its processor time, with that of its children, to the one that prints."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["cpu"] = _cpu_seconds()


@pytest.hookimpl(optionalhook=True)  # of xdist
def pytest_testnodedown(node: Any) -> None:
    """Note the processor time of a process that has ended."""
    _cpu_of_workers.append(getattr(node, "workeroutput", {}).get("cpu", 0.0))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the session cost. Nothing asserts it: a machine has other things to do as well."""
    # The children of this process itself are, with xdist, the processes that have told their own already.
    own = sum(os.times()[:2]) if _cpu_of_workers else _cpu_seconds()
    wall = time.perf_counter() - _STARTED
    terminalreporter.write_line(
        f"{own + sum(_cpu_of_workers):.0f} CPU seconds (PostgreSQL's own apart) in {wall:.0f} s"
    )


def _cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    return sum(os.times()[:4])


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def _postgres_server(testrun_uid: str) -> Iterator[Any]:
    """The session's server, with a migrated database to copy. `testrun_uid` is the same in every xdist worker."""
    with postgres.running(testrun_uid[:12], prepare=_prepare) as server:
        yield server


def _prepare(server: Any) -> None:
    with psycopg.connect(server.get_uri(), autocommit=True) as conn:
        if conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_TEMPLATE]).fetchone() is None:
            # These data need not survive a power cut.
            conn.execute("ALTER SYSTEM SET fsync = off")
            conn.execute("SELECT pg_reload_conf()")
            conn.execute(f"CREATE DATABASE {_TEMPLATE}_new")
            _migrate(server.get_uri(f"{_TEMPLATE}_new"))
            conn.execute(f"ALTER DATABASE {_TEMPLATE}_new RENAME TO {_TEMPLATE}")


@pytest.fixture
def _no_leaked_connections() -> Iterator[None]:
    """Fails a test that leaves a connection checked out."""
    out: list[object] = []

    def taken(_connection: object, record: object, _proxy: object) -> None:
        out.append(record)

    def given_back(_connection: object, record: object) -> None:
        out.remove(record)

    sa.event.listen(sa.Pool, "checkout", taken)
    sa.event.listen(sa.Pool, "checkin", given_back)
    yield
    sa.event.remove(sa.Pool, "checkout", taken)
    sa.event.remove(sa.Pool, "checkin", given_back)
    assert not out, f"{len(out)} connections are still checked out"


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path, _no_leaked_connections: None) -> str:
    """URL of an empty, migrated SQLite database."""
    path = tmp_path / "state.sqlite"
    shutil.copy(_sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(_postgres_server: Any, _no_leaked_connections: None) -> Iterator[str]:
    """URL of an empty, migrated PostgreSQL database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(_postgres_server.get_uri(), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        yield _postgres_server.get_uri(name)
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of an empty, migrated database: a test that asks for it runs on SQLite and on PostgreSQL."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser. Not one a session: while it is there, no other test can start an event loop of its own."""
    with chrome.launched() as one:
        yield one


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """The process that forks orchestrators."""
    found = Nursery()
    yield found
    found.close()


@pytest.fixture(scope="session")
def heavy_nursery() -> Nursery:
    """One that has Polars, scikit-learn, FastAPI and Streamlit imported: for what computes, serves and shows."""
    return processes.heavy_nursery()


@pytest.fixture(autouse=True)
def _quick_starts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The heavy nursery forks processes of projects, new SQLite databases are copied; not where that is the subject."""
    if request.node.get_closest_marker("from_nothing") is None:
        monkeypatch.setattr(process, "start_host", fork_hosts_of(lambda: processes.heavy_nursery().hosts))
        monkeypatch.setattr(migrations, "upgrade", template.upgrade)


@pytest.fixture
def terminal(tmp_path: Path, heavy_nursery: Nursery) -> Terminal:
    """A terminal in `tmp_path`."""
    return Terminal(tmp_path, heavy_nursery)


@pytest.fixture(scope="session", autouse=True)
def _no_nursery_left() -> Iterator[None]:
    yield
    processes.close_heavy_nursery()


def _migrate(url: str) -> None:
    engine = open_engine(url)
    migrations.upgrade(engine)
    engine.dispose()
