"""p99 of /api/agent/status beside that of a bare FastAPI route, in turns on the same machine in about a minute, each
server carrying out runs meanwhile in a worker of its own; then the same p99 with 50 requests in flight to a project
whose code sleeps when it is imported, beside that before. By wrk: no request may fail.

    python benchmarks/api.py [ROUNDS]          8 of 3 s by default; needs wrk (Debian: apt-get install wrk)
"""

from __future__ import annotations

import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agent import settings as agent_settings
from agent.service import queue
from agent.service.goals import Intent
from agent.store.control import runs
from agent.store.database.engine import Database, open_engine
from tests.served import Served, environment, free_port, served, wait_until

CONNECTIONS = 16
ROUNDS, ROUND_SECONDS = 8, 3
BAD, BAD_ROUNDS = 50, 3
SETTINGS = "[api]\nrate_limit_per_minute = 1000000\n"
# What is compared is the way through the server: this one has the same answer, and a worker and runs, too.
BARE = """
from contextlib import asynccontextmanager
from pathlib import Path
from fastapi import FastAPI
from agent.api.models import AgentStatus
from agent.service.projects import PLANNERS
from agent.service.runner import get_agent_runner
from agent.service.worker import Worker

@asynccontextmanager
async def lifespan(app):
    runner = get_agent_runner(Path.cwd())
    worker = Worker(runner.settings, runner.database, runner.around)
    worker.start()
    yield
    PLANNERS.stop_loading()
    worker.stop()
    PLANNERS.close()

app = FastAPI(lifespan=lifespan)

@app.get("/")
async def bare() -> AgentStatus:
    return AgentStatus.model_validate(get_agent_runner(Path.cwd()).get_status())
"""


def load(url: str) -> tuple[int, float, str]:
    """Requests answered in a round, their p99 in milliseconds, and wrk's lines about errors."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{ROUND_SECONDS}s", "--latency", url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    slow, answered = re.search(r"99%\s+([\d.]+)(us|ms|s)", text), re.search(r"(\d+) requests in", text)
    assert slow is not None
    assert answered is not None
    faults = "; ".join(line.strip() for line in text.splitlines() if "Non-2xx" in line or "Socket errors" in line)
    return int(answered[1]), float(slow[1]) * {"us": 0.001, "ms": 1, "s": 1000}[slow[2]], faults


@contextmanager
def bare(folder: Path) -> Iterator[str]:
    """A server of that one route and nothing before it, with a worker beside it; gives its address."""
    (folder / "bare.py").write_text(BARE, encoding="utf-8")
    port = free_port()
    options = ["--port", str(port), "--log-level", "warning", "--no-access-log"]
    command = [sys.executable, "-m", "uvicorn", "bare:app", "--loop", "asyncio", *options]  # as ours is
    process = subprocess.Popen(command, cwd=folder, env=environment(WORKER_CHECK_INTERVAL="0.2"))
    try:
        wait_until(lambda: listens(port), what="the bare server")
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def listens(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Runs:
    """Runs that compute, one after the other, in the project of a server."""

    def __init__(self, folder: Path) -> None:
        own = open_engine(agent_settings.load(folder).database_url)
        self._database, self.executed = Database(own, own), 0

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """One is carried out at any moment of the block, but between two of them."""
        first, over = self._queue(), threading.Event()
        wait_until(lambda: self._status(first) != "QUEUED", what="a run to begin")
        thread = threading.Thread(target=self._keep_busy, args=(first, over))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _keep_busy(self, run_id: int, over: threading.Event) -> None:
        while True:
            wait_until(lambda: self._status(run_id) not in ("QUEUED", "RUNNING"), what="a run to end")  # noqa: B023
            assert self._status(run_id) == "COMPLETED"
            self.executed += 1
            if over.is_set():
                return
            run_id = self._queue()

    def _queue(self) -> int:
        run, _ = queue.enqueue(
            self._database,
            project_id=0,
            goal="recompute features",
            intent=Intent(("features",), ("features",), "a run of the benchmark"),
            now=self._database.now(),
        )
        return run.id

    def _status(self, run_id: int) -> str:
        with self._database.reading() as connections:
            return runs.load_run(connections.control, run_id).status


def project(folder: Path) -> Path:
    """A project whose features are computed, for a server."""
    folder.mkdir()
    (folder / "agent.toml").write_text(SETTINGS, encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "agent.orchestrator", "--mode", "once", "--target", "features"],
        cwd=folder,
        env=environment(),
        check=True,
        capture_output=True,
    )
    return folder


def beside_bad_project(server: Served, folder: Path) -> tuple[list[float], list[float]]:
    """p99 of the status route in milliseconds: quiet, then with BAD requests in flight that cannot succeed."""
    folder.mkdir()
    (folder / "own.py").write_text("import time\ntime.sleep(3600)\n", encoding="utf-8")
    (folder / "agent.toml").write_text("[project]\nmodules = ['own.py']\n", encoding="utf-8")
    with server.client() as client:
        answer = client.post("/projects", params={"name": "bad", "local_path": str(folder)})
    over, plan = threading.Event(), {"project_id": answer.json()["id"]}

    def ask() -> None:
        with httpx.Client(timeout=2) as one:
            while not over.is_set():
                with suppress(httpx.TimeoutException):
                    one.get(f"{server.url}/api/plan", params=plan)
                over.wait(1)  # as Retry-After asks, and sooner

    quiet = [load(f"{server.url}/api/agent/status")[1] for _ in range(BAD_ROUNDS)]
    people = [threading.Thread(target=ask) for _ in range(BAD)]
    for person in people:
        person.start()
    beside = [load(f"{server.url}/api/agent/status")[1] for _ in range(BAD_ROUNDS)]
    over.set()
    for person in people:
        person.join()
    return quiet, beside


def main() -> int:
    """Returns 1 where a request failed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    if shutil.which("wrk") is None:
        print("wrk is not installed (Debian: apt-get install wrk): nothing measured")
        return 0
    answered, faults, status, floor = 0, [], [], []
    with tempfile.TemporaryDirectory() as name:
        ours, plain = project(Path(name) / "ours"), project(Path(name) / "plain")
        with served(ours, WORKER_CHECK_INTERVAL="0.2") as server, bare(plain) as url:
            busy, busy_plain = Runs(ours), Runs(plain)
            for _ in range(rounds):
                with busy.going_on():
                    count, p99, fault = load(f"{server.url}/api/agent/status")
                answered += count
                status.append(p99)
                faults += [fault] if fault else []
                with busy_plain.going_on():
                    floor.append(load(url)[1])
            quiet, beside = beside_bad_project(server, Path(name) / "bad")
    ratio = statistics.median(one / other for one, other in zip(status, floor, strict=True))
    executed = f"{busy.executed} and {busy_plain.executed} runs executed meanwhile"
    print(f"{answered} requests, {CONNECTIONS} connections, {executed}; faults: {faults or 'none'}")
    print(f"p99 of /api/agent/status: {statistics.median(status):.1f} ms ({min(status):.1f} to {max(status):.1f})")
    print(f"p99 of a bare FastAPI route: {statistics.median(floor):.1f} ms ({min(floor):.1f} to {max(floor):.1f})")
    print(f"ratio: {ratio:.2f}, median of {rounds} rounds (limit 1.5)")
    print(
        f"p99 of /api/agent/status with {BAD} requests to a project that hangs: {statistics.median(beside):.1f} ms, "
        f"quiet {statistics.median(quiet):.1f} ms; ratio {statistics.median(beside) / statistics.median(quiet):.2f} "
        "(limit 2)"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
