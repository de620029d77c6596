"""Whoever writes rows of a project and control rows in one transaction locks the project's first: no two deadlock.

Recorded on a real PostgreSQL: the statements of every transaction that a function of src/ opens, and what the server
says is locked at its end. Which functions open one is read off the source, so that none is forgotten.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agent import identity
from agent import settings as agent_settings
from agent.core.events import Event, Progress, Skipped, Started
from agent.core.model import Code, Mark, Reason
from agent.core.try_grid import read_axes
from agent.execution import session
from agent.execution.runlog import Request
from agent.execution.tries import grids
from agent.execution.tries.dropping import drop
from agent.execution.workspace import Workspace
from agent.runtime.around import Around
from agent.runtime.keeper import LeaseKeeper
from agent.service import cycle, projects
from agent.store import leases, state
from agent.store.control import attempts, runs
from agent.store.database.engine import Database, open_engine
from agent.store.leases import Lease
from agent.store.outputs import tries
from agent.store.tables import PROJECT, metadata
from tests.paths import PROJECT as ROOT
from tests.tiny import tiny_project

pytestmark = pytest.mark.postgres
NOW = datetime(2100, 1, 31, 12, tzinfo=UTC)
OWN = {table.name for table in metadata.tables.values() if table.schema == PROJECT}
CONTROL = {table.name for table in metadata.tables.values()} - OWN
_WRITES = re.compile(r"(INSERT INTO|UPDATE|DELETE FROM) ([\w.]+)")
_LOCKS = re.compile(r"FROM ([\w.]+).* FOR (NO KEY )?(UPDATE|SHARE)", re.DOTALL)
_LOCKED = """
SELECT c.relname, n.nspname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n
ON n.oid = c.relnamespace WHERE l.pid = %(pid)s AND c.relkind = 'r' AND l.mode IN ('RowShareLock', 'RowExclusiveLock')
"""
Place = tuple[str, str]  # file, function


@dataclass
class Recorder:
    """transactions: (function that opened it, tables in the order in which rows of them were locked)."""

    transactions: list[tuple[Place, list[str]]] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)  # tables the server had locked and no statement named

    @contextmanager
    def __call__(self, watch: sa.Engine) -> Iterator[None]:
        """Record what happens in the block, in whatever engine. `watch` asks the server, and is not recorded."""
        found: dict[int, list[str]] = {}

        def begin(conn: sa.Connection) -> None:
            if conn.engine.pool is not watch.pool:
                found[id(conn)] = []

        def execute(conn: sa.Connection, _cursor: Any, statement: str, *_: Any) -> None:
            match = _WRITES.match(statement) or (_LOCKS.search(statement) if statement.startswith("SELECT") else None)
            if match is not None and id(conn) in found:
                name = match[2] if match.re is _WRITES else match[1]
                # Every statement on a project's table names its schema: none depends on the search path.
                assert ("." in name) == (name.rpartition(".")[2] in OWN), statement
                found[id(conn)].append(name.rpartition(".")[2])

        def commit(conn: sa.Connection) -> None:
            locked = found.pop(id(conn), None)
            if not locked:
                return
            driver: Any = conn.connection.driver_connection
            with watch.connect() as asking:
                held = asking.exec_driver_sql(_LOCKED, {"pid": driver.info.backend_pid}).all()
            self.unseen += [row.relname for row in held if row.relname not in {*locked, *_referred(locked)}]
            self.transactions.append((_opener(), locked))

        listeners = {"begin": begin, "before_cursor_execute": execute, "commit": commit}
        for name, listener in listeners.items():
            sa.event.listen(sa.Engine, name, listener)
        try:
            yield
        finally:
            for name, listener in listeners.items():
                sa.event.remove(sa.Engine, name, listener)


def _referred(names: list[str]) -> set[str]:
    """Tables that foreign keys of these lead to: PostgreSQL locks the row referred to."""
    tables = [table for table in metadata.tables.values() if table.name in names]
    return {key.column.table.name for table in tables for key in table.foreign_keys} | {
        table.name
        for table in metadata.tables.values()
        if {key.column.table.name for key in table.foreign_keys} & {*names}
    }


def _opener() -> Place:
    """The function that opened the transaction in which this is called; ("", "") for one that is not of src/."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        path, name = Path(frame.f_code.co_filename), frame.f_code.co_name
        is_store = "store" in path.parts or (path.name, name) == ("runlog.py", "writing")
        if path.is_relative_to(ROOT / "src") and not is_store:
            return str(path.relative_to(ROOT / "src")), name
    return "", ""


def writers_of_both() -> set[Place]:
    """Functions of src/ whose writing transaction may touch both kinds of rows, as their source says."""
    found: set[Place] = set()
    for path in sorted((ROOT / "src").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inner = {
            node: function
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef)
            for node in ast.walk(function)
        }
        for block in (node for node in ast.walk(tree) if isinstance(node, ast.With)):
            opened = [ast.unparse(item.context_expr) for item in block.items]
            if not any(one.endswith(".writing()") for one in opened) or path.name == "runlog.py":
                continue
            text = "\n".join(map(ast.unparse, block.body))
            is_passed_on = re.search(r"\bconnections\b(?!\.)", text) is not None
            may = {
                "project": "connections.project" in text or is_passed_on,
                # A run's log writes its events with every transaction.
                "control": "connections.control" in text or is_passed_on or any("log.writing" in one for one in opened),
            }
            if all(may.values()):
                found.add((str(path.relative_to(ROOT / "src")), inner[block].name))
    return found


@pytest.fixture
def workspace(tmp_path: Path, postgres_url: str) -> Iterator[Workspace]:
    """A project in a schema of the server's database."""
    (tmp_path / "agent.toml").write_text(
        f'[api]\nproject_roots = ["{tmp_path}"]\n[database]\nurl = "{postgres_url}"\n', encoding="utf-8"
    )
    settings, own = agent_settings.load(tmp_path, {}), open_engine(postgres_url)
    server = Database(own, own)
    folder = tiny_project(tmp_path / "other")
    project = projects.create(server, settings, name="other", local_path=str(folder), now=NOW)
    with projects.open_project(settings, server, project.id) as opened:
        yield opened
    server.close()


def perform(workspace: Workspace, **options: Any) -> str:
    return session.perform(workspace, Request(targets=("board",)), **options).status


def leave_dead(workspace: Workspace) -> None:
    """A run and an attempt of a process that died."""
    dead = identity.own().rpartition("/")[0] + "/1"  # of this process's number, begun at another time
    with workspace.database.writing() as connections:
        state.mark_dirty(connections.project, "numbers", Mark(reason="a person"))
        free = leases.find_free(connections.project, leases.of_component("numbers"))
        lease = state.begin_attempt(connections.project, free, dead, 600)
        run = runs.create_run(
            connections.control,
            project_id=workspace.database.project_id,
            goal="x",
            targets=(),
            force=(),
            trigger="person",
            status="RUNNING",
            owner=dead,
            lease_seconds=600,
            now=NOW,
        )
        attempts.start_attempt(
            connections.control,
            run_id=run.id,
            component="numbers",
            number=1,
            token=lease.token,
            owner=dead,
            reasons=(Reason(Code.MARKED, detail="a person"),),
            now=NOW,
        )


def mark(workspace: Workspace) -> None:
    with workspace.database.writing() as connections:
        state.mark_dirty(connections.project, "numbers", Mark(reason="a person"))


def fail_at(kind: type[Event], component: str) -> Callable[[Event], None]:
    """A watcher that raises at the first event of this kind about `component`."""

    def watch(event: Event) -> None:
        if isinstance(event, kind) and getattr(event, "component", None) == component:
            raise RuntimeError("as asked")

    return watch


def _computes(seen: list[Event | Progress]) -> bool:
    return any(isinstance(event, Started) for event in seen)


def after(times: int) -> Callable[[], str | None]:
    """A reason to stop, from the time after so many that it is asked for."""
    asked: list[None] = []

    def stop() -> str | None:
        asked.append(None)
        return "enough" if len(asked) > times else None

    return stop


def everything(workspace: Workspace, tmp_path: Path) -> None:
    """Every way through the functions that write rows of both kinds."""
    assert perform(workspace) == "COMPLETED"
    mark(workspace)
    assert perform(workspace, watchers=(fail_at(Progress, "numbers"),)) == "FAILED"
    with workspace.database.writing() as connections:
        state.mark_dirty(connections.project, "numbers", Mark(reason="a person"))
    begun: list[Event | Progress] = []
    stopped = perform(workspace, watchers=(begun.append,), stop=lambda: "enough" if _computes(begun) else None)
    assert stopped == "CANCELLED"  # while it computes
    leave_dead(workspace)
    assert perform(workspace) == "COMPLETED"  # closes the run, takes over the component
    mark(workspace)
    with pytest.raises(RuntimeError, match="as asked"):  # and the run is closed
        perform(workspace, watchers=(fail_at(Skipped, "total"),))
    mark(workspace)
    with workspace.database.writing() as connections:
        lease = leases.take(connections.project, leases.of_component("numbers"), "far-away/boot/pid:[1]/7/9", 600)
    for times in range(1, 4):
        assert perform(workspace, wait=True, stop=after(times)) == "CANCELLED"
    LeaseKeeper(workspace.database, "both", (Lease(leases.of_run(1), 1), lease), 60).extend()
    with workspace.database.writing() as connections:
        tries.begin(connections.project, "dropped", {}, (), NOW)
    drop(workspace.database, "dropped")
    grids.begin(tmp_path, "grid", read_axes(["inference.margin=0,0.1"]), {})
    settings = agent_settings.load(tmp_path, {})
    server = Database(open_engine(settings.database_url), open_engine(settings.database_url))
    run = cycle.begin(settings, server, "person", Around())
    cycle.perform(settings, server, run, stop=lambda: "enough", around=Around())
    server.close()


def test_a_project_s_rows_are_locked_before_control_rows(
    workspace: Workspace, tmp_path: Path, postgres_url: str
) -> None:
    watch, record = open_engine(postgres_url), Recorder()
    with record(watch):
        everything(workspace, tmp_path)
    watch.dispose()
    wrong = [(place, names) for place, names in record.transactions if _first(names, CONTROL) < _last(names, OWN)]
    assert not wrong, f"a control row first, then a project's: {wrong}"
    assert not record.unseen, "the server had locked more than the statements say"
    passed = {place for place, _ in record.transactions}
    missed = writers_of_both() - passed
    assert not missed, f"nothing here leads through {sorted(missed)}"
    both = {place for place, names in record.transactions if {*names} & OWN and {*names} & CONTROL}
    assert ("agent/execution/commit.py", "commit_success") in both


def _first(names: list[str], kind: set[str]) -> int:
    return next((number for number, name in enumerate(names) if name in kind), len(names))


def _last(names: list[str], kind: set[str]) -> int:
    return max((number for number, name in enumerate(names) if name in kind), default=-1)
