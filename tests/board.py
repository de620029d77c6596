"""A dashboard of its own for tests and pictures: on a project with real data and a component that fails or waits when
told to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.paths import PROJECT
from tests.processes import Process, heavy_nursery
from tests.served import free_port, wait_until

SETTINGS = """
[project]
modules = ["checkpoint.py"]
[executor]
kind = "inline"
[sources.sample]
symbols = ["AAPL", "IBM"]
[model]
kind = "logistic"
max_iter = 30
[publish]
max_brier_excess = 1.0
"""
# It reads from a pipe to wait, so that a test decides how long "in the middle of a run" lasts.
COMPONENT = """
from pathlib import Path

from pipelines.component import component
from pipelines.errors import PipelineError


@component(upstream=("markets",), name="inspection")
def inspect(ctx, settings):
    wish = (ctx.base / "wish").read_text()
    if wish == "fail":
        raise PipelineError("the inspection found a fault", where="the file wish", fix="write ok into it")
    if wish == "wait":
        ctx.progress(3, 7, "top shelf")
        (ctx.base / "gate").read_text()
    ctx.write_bytes("result.json", b"[]")
"""


@dataclass
class Dashboard:
    """A running dashboard and the folder of its project."""

    url: str
    folder: Path

    def wish(self, what: str) -> None:
        """What the component `inspection` does next: ok, fail or wait."""
        (self.folder / "wish").write_text(what, encoding="utf-8")


def new_project(folder: Path) -> None:
    """A project that never ran."""
    folder.mkdir()
    (folder / "agent.toml").write_text(SETTINGS, encoding="utf-8")
    (folder / "checkpoint.py").write_text(COMPONENT, encoding="utf-8")
    (folder / "wish").write_text("ok", encoding="utf-8")


@contextmanager
def shown(folder: Path, **variables: str) -> Iterator[Dashboard]:
    """A dashboard on a folder, with environment variables if wanted."""
    port = free_port()
    env = {"PYTHONPATH": os.pathsep.join([str(PROJECT / "src"), str(PROJECT)]), **variables}
    server = heavy_nursery().start(
        folder,
        "streamlit",
        ["run", str(PROJECT / "dashboard" / "app.py")],
        folder / "dashboard.log",
        {**env, "STREAMLIT_SERVER_PORT": str(port)},
    )
    try:
        wait_until(lambda: _answers(port, server), seconds=60, what="the dashboard's server")
        yield Dashboard(f"http://127.0.0.1:{port}", folder)
    finally:
        server.kill()


def _answers(port: int, server: Process) -> bool:
    assert not server.is_over, f"the dashboard's server ended:\n{server.said()}"
    try:
        return httpx.get(f"http://127.0.0.1:{port}/_stcore/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
