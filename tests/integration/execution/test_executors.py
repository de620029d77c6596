"""Components that fail in every way, computed in real child processes: what is recorded, and who survives."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agent.execution.computing import Computer
from agent.execution.host.interface import AttemptFailed, Cancelled, Done, Origin, Task
from agent.execution.host.local import LocalHost
from agent.store.database.engine import open_engine, reading
from tests.torture.faults import read_log
from tests.torture.world import Nursery, Process

TROUBLE = '''"""Components that fail, each in its own way. None reads anything."""

import os
import re
import resource
import signal
import sys
import time

from pipelines.component import component
from pipelines.errors import PipelineError, TransientError


@component(name="flaky")
def flaky(ctx, settings):
    seen = ctx.base / "seen"
    seen.write_text(seen.read_text() + "x" if seen.exists() else "x")
    if len(seen.read_text()) < 3:
        raise TransientError("the network is away", where="example.org", fix="wait")
    ctx.write_bytes("done", b"1")


@component(name="refused")
def refused(ctx, settings):
    (ctx.base / "tried").write_text("x" * (1 + len((ctx.base / "tried").read_text())))
    raise PipelineError("row 7 is bad", where="data.csv, line 7", fix="correct it")


@component(name="endless")
def endless(ctx, settings):
    while True:
        ctx.progress(0, 1, "for ever")


@component(name="shot")
def shot(ctx, settings):
    filled = b"x" * 30_000_000
    time.sleep(0.4)  # what is used is looked at ten times a second
    os.kill(os.getpid(), signal.SIGKILL)


@component(name="greedy")
def greedy(ctx, settings):
    resource.setrlimit(resource.RLIMIT_AS, (600_000_000, resource.RLIM_INFINITY))
    try:
        bytearray(4_000_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@component(name="leaving")
def leaving(ctx, settings):
    sys.exit(5)


@component(name="resigning")
def resigning(ctx, settings):
    sys.exit(7)


@component(name="stubborn")
def stubborn(ctx, settings):
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        re.match(r"(a+)+$", "a" * 21 + "b")  # holds the interpreter for the whole of it
    ctx.write_bytes("done", b"1")


@component(name="slow")
def slow(ctx, settings):
    (ctx.base / "pid").write_text(str(os.getpid()))
    while not (ctx.base / "enough").exists():
        time.sleep(0.01)
    ctx.write_bytes("late", b"1")
'''


class Troubled:
    """A project of failing components, computed in child processes."""

    def __init__(self, folder: Path, url: str, nursery: Nursery) -> None:
        self.folder, self.url, self.nursery = folder, url, nursery
        folder.mkdir()
        (folder / "trouble.py").write_text(TROUBLE)
        (folder / "tried").touch()
        (folder / "agent.toml").write_text(
            f"[project]\nmodules = ['trouble.py']\n[database]\nurl = {json.dumps(url)}\n"
            "[executor]\nretry_seconds = 0.01\nlease_seconds = 0.6\n[executor.timeouts]\nendless = 0.5\n"
        )

    def start(self, *components: str) -> Process:
        arguments = [word for name in components for word in ("--target", name)]
        fault = {"point": "", "nth": 0, "do": "note", "log": str(self.folder / "points")}
        output = self.folder / "output"
        return self.nursery.start(self.folder, "orchestrator", arguments, output, {"TIDE_FAULT": json.dumps(fault)})

    def rows(self, sql: str) -> list[dict[str, Any]]:
        engine = open_engine(self.url)
        with reading(engine) as conn:
            found = [dict(row) for row in conn.execute(sa.text(sql)).mappings()]
        engine.dispose()
        return found

    def attempts(self, component: str) -> list[dict[str, Any]]:
        columns = "number, status, error, traceback, peak_memory_bytes AS peak"
        return self.rows(f"SELECT {columns} FROM attempts WHERE component = '{component}' ORDER BY id")


@pytest.fixture
def troubled(tmp_path: Path, sqlite_url: str, nursery: Nursery) -> Troubled:
    return Troubled(tmp_path / "project", sqlite_url, nursery)


def test_every_kind_of_failure_is_an_attempt_and_the_orchestrator_lives(troubled: Troubled) -> None:
    names = ("flaky", "refused", "endless", "shot", "greedy", "leaving", "stubborn")
    process = troubled.start(*names)
    assert process.wait() == 1, process.said()
    found = {name: troubled.attempts(name) for name in names}
    states = {name: [(one["number"], one["status"]) for one in attempts] for name, attempts in found.items()}
    assert states.pop("flaky") == [(1, "failed"), (2, "failed"), (3, "succeeded")]
    assert states.pop("stubborn") == [(1, "succeeded")]
    assert set(map(tuple, states.values())) == {((1, "failed"),)}
    assert "the network is away" in found["flaky"][0]["error"]
    assert "row 7 is bad" in found["refused"][0]["error"]
    assert "TransientError" not in (found["refused"][0]["traceback"] or "")
    assert (troubled.folder / "tried").read_text() == "x"
    assert "took longer than 0.5 s and was ended" in found["endless"][0]["error"]
    assert "killed by SIGKILL (often: out of memory); it had used" in found["shot"][0]["error"]
    assert found["shot"][0]["peak"] > 30_000_000
    assert "MemoryError" in found["greedy"][0]["error"]
    assert "trouble.py, line 46" in found["greedy"][0]["error"], found["greedy"][0]["error"]
    assert found["greedy"][0]["peak"] > 0
    assert "exited with code 5" in found["leaving"][0]["error"]
    # Two thirds of a lease at least went by while the interpreter of the child was held.
    assert read_log(troubled.folder / "points").count("heartbeat.extended") >= 2
    (run,) = troubled.rows("SELECT status FROM runs")
    assert run == {"status": "FAILED"}


def test_nothing_to_do_starts_no_child(troubled: Troubled) -> None:
    assert troubled.start("stubborn").wait() == 0
    (troubled.folder / "points").unlink()
    process = troubled.start("stubborn")
    assert process.wait() == 0, process.said()
    assert "run.ended" in read_log(troubled.folder / "points")
    assert "child.asked" not in read_log(troubled.folder / "points")


def test_a_child_leaves_when_its_orchestrator_is_killed(troubled: Troubled) -> None:
    process = troubled.start("slow")
    written = troubled.folder / "pid"
    while not (written.exists() and written.read_text()):
        assert not process.is_over, process.said()
    child = int(written.read_text())
    os.kill(process.pid, signal.SIGKILL)  # the parent alone
    process.wait()
    end = time.monotonic() + 30
    while _lives(child):
        assert time.monotonic() < end, "the child computes on for nobody"
        time.sleep(0.005)
    assert not list((troubled.folder / ".tidemill").rglob("late.*"))
    (troubled.folder / "enough").touch()
    assert troubled.start("slow").wait() == 0
    assert [one["status"] for one in troubled.attempts("slow")] == ["crashed", "succeeded"]


def test_a_signal_to_the_whole_group_is_no_failure(troubled: Troubled) -> None:
    """systemd and Ctrl-C signal the child as well."""
    process = troubled.start("slow")
    written = troubled.folder / "pid"
    while not (written.exists() and written.read_text()):
        assert not process.is_over, process.said()
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait() == 1, process.said()
    assert [one["status"] for one in troubled.attempts("slow")] == ["cancelled"]
    assert troubled.rows("SELECT failure_count AS n FROM orchestrator_state WHERE component = 'slow'") == [{"n": 0}]


def test_ctrl_c_while_the_child_begins_is_no_traceback(troubled: Troubled) -> None:
    """A terminal signals the child, too, which takes a moment to learn that its parent decides."""
    import psutil

    process = troubled.start("slow")
    while not any("agent.execution.host" in " ".join(one.cmdline()) for one in psutil.Process(process.pid).children()):
        assert not process.is_over, process.said()
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() == 1, process.said()
    assert "Traceback" not in process.said(), process.said()
    assert "KeyboardInterrupt" not in process.said(), process.said()
    assert [one["status"] for one in troubled.attempts("slow")] == ["cancelled"]


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    (tmp_path / "trouble.py").write_text(TROUBLE)
    values = {"project": {"modules": ["trouble.py"]}}
    return Origin(tmp_path, values, tmp_path / "lake", tmp_path / "code.json")


def ask(computer: Computer | LocalHost, name: str, *, timeout: float = 60.0, stop: str | None = None) -> Done:
    task = Task(name, {}, None, {}, frozenset(), "t1")
    return computer.compute(task, timeout=timeout, stop=lambda: stop, progress=lambda done, total, what: None)


@pytest.mark.from_nothing
def test_no_child_no_zombie_and_no_file_is_left_behind(origin: Origin) -> None:
    import psutil

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    with closing(Computer(LocalHost(origin), origin, "processes")) as computer:
        before, counts = set(psutil.Process().children()), []
        for _ in range(2):
            with pytest.raises(AttemptFailed, match="killed by SIGKILL"):
                ask(computer, "shot")
            with pytest.raises(AttemptFailed, match="took longer"):
                ask(computer, "endless", timeout=0.1)
            counts.append(open_files())
        with pytest.raises(Cancelled, match="enough"):
            ask(computer, "endless", stop="enough")
        assert counts[0] == counts[-1]
    assert set(psutil.Process().children()) - before == set()


def test_what_is_computed_inline_cannot_take_the_orchestrator_along(origin: Origin) -> None:
    inline = LocalHost(origin)
    with pytest.raises(AttemptFailed, match="SystemExit: 7"):
        ask(inline, "resigning")
    with pytest.raises(AttemptFailed, match=r"took longer than 0\.1 s"):
        ask(inline, "endless", timeout=0.1)
    with pytest.raises(Cancelled, match="enough"):
        ask(inline, "endless", stop="enough")


def test_a_module_that_does_not_load_in_the_child_is_named(origin: Origin) -> None:
    with closing(Computer(LocalHost(origin), origin, "processes")) as computer:
        (origin.base / "trouble.py").write_text("import nonsense")
        with pytest.raises(AttemptFailed, match=r"cannot load 'trouble.py': ModuleNotFoundError"):
            ask(computer, "flaky")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False
