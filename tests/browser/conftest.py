"""A dashboard on a project with real data and a component that fails or waits when told to, and a real browser."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fasteners
import httpx
import pytest

from agent import orchestrator
from agent.cli.main import main
from agent.store.database.engine import Database, open_engine
from tests.chrome import SLOW
from tests.history import write_history
from tests.paper import account_at_work
from tests.paths import PROJECT
from tests.processes import Nursery, Process
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
OTHER = """
[executor]
kind = "inline"
[sources.sample]
symbols = ["MSFT"]
[model]
kind = "logistic"
max_iter = 20
[markets.costs.equity]
fee_bps = 3
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


def rows_of(table: Any) -> list[list[str]]:
    """The texts of a table's body, as soon as it is there."""
    table.wait_for(timeout=SLOW)
    read = "rows => rows.map(row => [...row.cells].map(cell => cell.textContent.trim()))"
    found: list[list[str]] = table.locator("tbody tr").evaluate_all(read)
    return found


@pytest.fixture(scope="session")
def _prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after its first run, made once for all xdist workers."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "dashboard"
    with fasteners.InterProcessLock(f"{shared}.lock"):
        if not shared.exists():
            draft = shared.with_suffix(".draft")
            _new_project(draft)
            assert orchestrator.run_once(draft).status == "COMPLETED"
            draft.rename(shared)
    return shared


@pytest.fixture
def serve(heavy_nursery: Nursery) -> Iterator[Callable[..., Dashboard]]:
    """Starts a dashboard on a folder, with environment variables if wanted."""
    with ExitStack() as stack:

        def start(folder: Path, **variables: str) -> Dashboard:
            port = free_port()
            env = {"PYTHONPATH": os.pathsep.join([str(PROJECT / "src"), str(PROJECT)]), **variables}
            server = heavy_nursery.start(
                folder,
                "streamlit",
                ["run", str(PROJECT / "dashboard" / "app.py")],
                folder / "dashboard.log",
                {**env, "STREAMLIT_SERVER_PORT": str(port)},
            )
            stack.callback(server.kill)
            wait_until(lambda: _answers(port, server), seconds=60, what="the dashboard's server")
            return Dashboard(f"http://127.0.0.1:{port}", folder)

        yield start


@pytest.fixture
def project(_prepared: Path, tmp_path: Path) -> Path:
    """A project after its first run, a copy of its own."""
    folder = tmp_path / "project"
    shutil.copytree(_prepared, folder, symlinks=True)
    return folder


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A project of another market and other costs, of fewer trades than a table lists, after its first run."""
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "agent.toml").write_text(OTHER, encoding="utf-8")
    assert orchestrator.run_once(folder).status == "COMPLETED"
    return folder


@pytest.fixture
def traded(project: Path) -> Path:
    """The project, a trader in it, and a grid of two tries."""
    grid = ["try", "--grid", "inference.margin=0,0.5", "--name", "wide", "--target", "inference"]
    assert main(["--project-dir", str(project), *grid]) == 0
    engine = open_engine(f"sqlite:///{project / '.tidemill' / 'state.sqlite'}")
    account_at_work(Database(engine, engine))
    engine.dispose()
    return project


@pytest.fixture
def dashboard(serve: Callable[..., Dashboard], project: Path) -> Iterator[Dashboard]:
    """A dashboard on `project`."""
    os.mkfifo(project / "gate")
    yield serve(project)
    with contextlib.suppress(OSError):  # nobody waits
        os.close(os.open(project / "gate", os.O_WRONLY | os.O_NONBLOCK))


@pytest.fixture
def empty(serve: Callable[..., Dashboard], tmp_path: Path) -> Dashboard:
    """A dashboard on a project that never ran."""
    _new_project(tmp_path / "empty")
    return serve(tmp_path / "empty")


@pytest.fixture
def written(database_url: str, tmp_path: Path) -> Path:
    """A project with a written history, on either database."""
    write_history(database_url, datetime.now(UTC))
    folder = tmp_path / "written"
    folder.mkdir()
    url = f'[database]\nurl = "{database_url}"\n'
    (folder / "agent.toml").write_text(
        f'[executor]\nkind = "inline"\n[worker]\nenabled = false\n{url}', encoding="utf-8"
    )
    return folder


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages, each as a viewer of its own in Berlin."""
    with ExitStack() as stack:

        def start(url: str) -> Any:
            context = browser.new_context(viewport={"width": 1440, "height": 1000}, timezone_id="Europe/Berlin")
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(SLOW)
            page.goto(url)
            return page

        yield start


def _new_project(folder: Path) -> None:
    folder.mkdir()
    (folder / "agent.toml").write_text(SETTINGS, encoding="utf-8")
    (folder / "checkpoint.py").write_text(COMPONENT, encoding="utf-8")
    (folder / "wish").write_text("ok", encoding="utf-8")


def _answers(port: int, server: Process) -> bool:
    assert not server.is_over, f"the dashboard's server ended:\n{server.said()}"
    try:
        return httpx.get(f"http://127.0.0.1:{port}/_stcore/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
