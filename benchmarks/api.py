"""wrk against the server while runs are executed: no error, and the p99 of /api/agent/status beside that of a bare
FastAPI route, in turns in the same run on the same machine; then the same p99 with 50 requests in flight to a project
whose code sleeps when it is imported, beside the quiet server's.

    python benchmarks/api.py [REQUESTS]          100000 by default; needs wrk (Debian: apt-get install wrk)
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
from contextlib import contextmanager
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.served import Served, environment, free_port, served, wait_until

CONNECTIONS = 16
ROUND_SECONDS = 5
BAD, BAD_ROUNDS = 50, 3
BARE = """
from fastapi import FastAPI
app = FastAPI()
@app.get("/")
async def bare() -> dict[str, str]:
    return {"status": "ok"}
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
    """A server of a route that does nothing; gives its address."""
    (folder / "bare.py").write_text(BARE, encoding="utf-8")
    port = free_port()
    options = ["--port", str(port), "--log-level", "warning", "--no-access-log"]
    command = [sys.executable, "-m", "uvicorn", "bare:app", *options]
    process = subprocess.Popen(command, cwd=folder, env=environment())
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


def keep_busy(client: httpx.Client, over: threading.Event, executed: list[int]) -> None:
    """Keep the worker busy with runs that compute, until `over`; their numbers go to `executed`."""
    while not over.is_set():
        run = client.post("/runs", json={"goal": "recompute features"}).json()
        while client.get(f"/runs/{run['id']}").json()["status"] in ("QUEUED", "RUNNING"):
            if over.wait(0.2):
                return
        executed.append(run["id"])


def beside_bad_project(server: Served, client: httpx.Client, folder: Path) -> tuple[list[float], list[float]]:
    """p99 of the status route in milliseconds, in turns: quiet, and with BAD requests in flight that cannot succeed."""
    folder.mkdir()
    (folder / "own.py").write_text("import time\ntime.sleep(3600)\n", encoding="utf-8")
    (folder / "agent.toml").write_text("[project]\nmodules = ['own.py']\n", encoding="utf-8")
    number = client.post("/projects", params={"name": "bad", "local_path": str(folder)}).json()["id"]
    quiet, beside = [], []
    for _ in range(BAD_ROUNDS):
        quiet.append(load(f"{server.url}/api/agent/status")[1])
        over = threading.Event()

        def ask(over: threading.Event = over) -> None:
            with httpx.Client(timeout=120) as one:
                while not over.is_set():
                    one.get(f"{server.url}/api/plan", params={"project_id": number})
                    over.wait(1)  # as Retry-After asks, and sooner

        people = [threading.Thread(target=ask) for _ in range(BAD)]
        for person in people:
            person.start()
        beside.append(load(f"{server.url}/api/agent/status")[1])
        over.set()
        for person in people:
            person.join()
    return quiet, beside


def main() -> int:
    """Returns 1 where a request failed."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    if shutil.which("wrk") is None:
        print("wrk is not installed (Debian: apt-get install wrk): nothing measured")
        return 0
    answered, faults, status, floor, executed = 0, [], [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "agent.toml").write_text("[api]\nrate_limit_per_minute = 1000000\n", encoding="utf-8")
        with served(folder, WORKER_CHECK_INTERVAL="0.2") as server, server.client() as own, bare(folder) as plain:
            over = threading.Event()
            thread = threading.Thread(target=keep_busy, args=(own, over, executed))
            thread.start()
            while answered < wanted:
                count, p99, fault = load(f"{server.url}/api/agent/status")
                answered += count
                status.append(p99)
                faults += [fault] if fault else []
                floor.append(load(plain)[1])
            over.set()
            thread.join()
            quiet, beside = beside_bad_project(server, own, folder / "bad")
    ratio = statistics.median(one / other for one, other in zip(status, floor, strict=True))
    print(f"{answered} requests, {CONNECTIONS} connections, {len(executed)} runs executed; faults: {faults or 'none'}")
    print(f"p99 of /api/agent/status: {statistics.median(status):.1f} ms ({min(status):.1f} to {max(status):.1f})")
    print(f"p99 of a bare FastAPI route: {statistics.median(floor):.1f} ms ({min(floor):.1f} to {max(floor):.1f})")
    print(f"ratio: {ratio:.2f}, median of {len(status)} rounds")
    worse = statistics.median(one / other for one, other in zip(beside, quiet, strict=True))
    print(
        f"p99 of /api/agent/status with {BAD} requests to a project that hangs: {statistics.median(beside):.1f} ms, "
        f"quiet {statistics.median(quiet):.1f} ms; ratio {worse:.2f} (limit 2)"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
