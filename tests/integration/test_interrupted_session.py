"""A test session that is interrupted or killed leaves no PostgreSQL behind, neither its processes nor its data."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.paths import PROJECT
from tests.processes import environment
from tests.served import wait_until

# Loaded into a session of its own: it stops in the middle of a test that uses PostgreSQL, and says where that runs.
HOLD = """
import json, os, threading, pathlib

def pytest_runtest_call(item):
    server = item._request.getfixturevalue("_postgres_server")
    draft = pathlib.Path(os.environ["HOLD"] + ".draft")
    draft.write_text(json.dumps([server.get_pid(), str(server.pgdata)]))
    draft.rename(os.environ["HOLD"])
    threading.Event().wait()
"""
TEST = "tests/integration/store/test_engine.py"


@pytest.mark.postgres
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_nothing_of_postgresql_is_left(tmp_path: Path, ending: signal.Signals) -> None:
    (tmp_path / "hold.py").write_text(HOLD, encoding="utf-8")
    held = tmp_path / "held"
    command = [sys.executable, "-m", "pytest", "-n", "1", "-p", "hold", "-m", "postgres", "-x", TEST]
    session = subprocess.Popen(
        command,
        cwd=PROJECT,
        env=environment(PYTHONPATH=str(tmp_path), HOLD=str(held)),
        start_new_session=True,
        # Whoever runs this one in the background may ignore SIGINT, and what is ignored is inherited.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(held.exists, seconds=120, what="a test that uses PostgreSQL to begin")
        pid, folder = json.loads(held.read_text(encoding="utf-8"))
        assert _is_alive(pid)
        session.send_signal(ending)
        session.wait(60)
        wait_until(lambda: not _is_alive(pid) and not Path(folder).exists(), seconds=60, what="PostgreSQL to be gone")
    finally:
        session.kill()
        session.wait()


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
