"""Many runs on one server, a worker beside it, a dashboard that a browser looks at, and a scheduler of another project:
what grows?

After the first tenth of the runs, memory may grow by less than 10 MB in each process; open files and threads not at
all. Prints a line per process; exit code 1 where one grew.

    PYTHONPATH=src python scripts/soak.py [RUNS]          2000 unless given; make soak
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import httpx  # noqa: E402, TID253
import psutil  # noqa: E402, TID253

from tests import chrome  # noqa: E402
from tests.paths import PROJECT  # noqa: E402
from tests.processes import environment  # noqa: E402
from tests.served import free_port, wait_until  # noqa: E402
from tests.tiny import tiny_project  # noqa: E402

MOST_MB = 10.0
QUEUED = 20  # runs that wait at a time
WATCHED = ("", "runs", "agent")  # tabs of the dashboard


@dataclass(frozen=True)
class Sample:
    """What a process holds: resident memory in MB, open files, threads."""

    megabytes: float
    files: int
    threads: int

    @classmethod
    def of(cls, process: psutil.Process) -> Sample:
        """As it is now, its children not counted: a component's process comes and goes."""
        with process.oneshot():
            return cls(process.memory_info().rss / 1e6, process.num_fds(), process.num_threads())


@contextmanager
def started(folder: Path, *words: str) -> Iterator[psutil.Process]:
    """A program of ours in `folder`, ended with SIGTERM."""
    path = os.pathsep.join([str(PROJECT / "src"), str(PROJECT)])
    with (folder / f"{words[0]}-{words[1].strip('-')}.log").open("w", encoding="utf-8") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=folder, env=environment(PYTHONPATH=path), stdout=log, stderr=log
        )
        try:
            yield psutil.Process(child.pid)
        finally:
            child.terminate()
            child.wait(60)


@contextmanager
def watched_dashboard(folder: Path) -> Iterator[psutil.Process]:
    """The dashboard of the project in `folder`, with each of WATCHED open in a browser."""
    port = free_port()
    words = ("streamlit", "run", str(PROJECT / "dashboard" / "app.py"), "--server.port", str(port))
    with started(folder, *words, "--server.address", "127.0.0.1", "--server.headless", "true") as process:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait_until(lambda: _answers(client, "/_stcore/health"), seconds=60, what="the dashboard")
        with chrome.launched() as browser:
            for tab in WATCHED:
                page = browser.new_page()
                page.set_default_timeout(chrome.SLOW)
                page.goto(f"http://127.0.0.1:{port}/{tab}")
                page.get_by_test_id("stMain").wait_for()
            yield process


def run_many(client: httpx.Client, count: int, folder: Path) -> None:
    """Queue `count` runs, a few at a time, on data that grow with each; return when all are over."""
    for done in range(0, count, QUEUED):
        grow(folder)
        ids = [
            client.post("/runs", json={"goal": "recompute board"}).json()["id"]
            for _ in range(min(QUEUED, count - done))
        ]
        while client.get(f"/runs/{ids[-1]}").json()["status"] in ("QUEUED", "RUNNING"):
            time.sleep(0.1)


def grow(folder: Path) -> None:
    """One number more for the tiny project."""
    path = folder / "agent.toml"
    head, _, values = path.read_text(encoding="utf-8").partition("values = ")
    more = f"{values.strip()[:-1]}, {len(values)}]"
    path.write_text(f"{head}values = {more if len(values) < 400 else '[1, 2, 3]'}\n", encoding="utf-8")


def grown(before: Mapping[str, Sample], after: Mapping[str, Sample]) -> list[str]:
    """Names of processes that hold more than they may; prints what each holds."""
    found = []
    for name, old in before.items():
        new = after[name]
        more = new.megabytes - old.megabytes
        print(
            f"{name:<10} {old.megabytes:6.1f} -> {new.megabytes:6.1f} MB ({more:+.1f}), "
            f"files {old.files} -> {new.files}, threads {old.threads} -> {new.threads}"
        )
        if (
            more >= MOST_MB or new.files > old.files + 2 or new.threads > old.threads + 2
        ):  # a request under way has some
            found.append(name)
    return found


def main() -> int:
    """Returns 1 where a process grew."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        own, scheduled, port = tiny_project(Path(name) / "own"), tiny_project(Path(name) / "scheduled"), free_port()
        with (own / "agent.toml").open("r+", encoding="utf-8") as file:
            text = file.read()
            file.seek(0)
            file.write("[api]\nrate_limit_per_minute = 1000000\n[worker]\ncheck_interval = 0.1\n" + text)
        processes = {
            "server": stack.enter_context(started(own, "agent", "serve", "--port", str(port))),
            "scheduler": stack.enter_context(
                started(
                    scheduled, "agent.orchestrator", "--mode", "scheduled", "--target", "board", "--interval-sec", "0.5"
                )
            ),
        }
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60))
        wait_until(lambda: _answers(client, "/healthz"), seconds=60, what="the server")
        if chrome.PATH is None:
            print("no chromium on PATH and no CHROME_PATH: measured without a dashboard")
        else:
            processes["dashboard"] = stack.enter_context(watched_dashboard(own))
        processes["worker"] = stack.enter_context(started(own, "agent", "worker"))
        samples = []
        for tenth in range(1, 11):
            run_many(client, max(1, count // 10), own)
            samples.append({key: Sample.of(process) for key, process in processes.items()})
            held = ", ".join(f"{key} {sample.megabytes:.1f} MB" for key, sample in samples[-1].items())
            print(
                f"{tenth * max(1, count // 10):>6} runs: {held}; disk {_megabytes(own / '.tidemill'):.1f} MB",
                flush=True,
            )
    return 1 if grown(samples[0], samples[-1]) else 0


def _megabytes(folder: Path) -> float:
    """What the files below a folder take; one that goes meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_blocks * 512
    return total / 1e6


def _answers(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    sys.exit(main())
