"""A dashboard on a project with real data and a component that fails or waits when told to, and a real browser."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fasteners
import pytest

from agent import orchestrator
from agent.cli.main import main
from agent.store.database.engine import Database, open_engine
from tests.board import SETTINGS as SETTINGS  # tests know both from here
from tests.board import Dashboard as Dashboard
from tests.board import new_project, shown
from tests.chrome import SLOW
from tests.history import write_history
from tests.paper import account_at_work

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
            new_project(draft)
            assert orchestrator.run_once(draft).status == "COMPLETED"
            draft.rename(shared)
    return shared


@pytest.fixture
def serve() -> Iterator[Callable[..., Dashboard]]:
    """Starts a dashboard on a folder, with environment variables if wanted."""
    with ExitStack() as stack:
        yield lambda folder, **variables: stack.enter_context(shown(folder, **variables))


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
    new_project(tmp_path / "empty")
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
