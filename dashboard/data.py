"""What the pages read: state, runs and plan fresh from the database, data of the lake cached by its content.

A snapshot never changes, so what was read of it is right for ever and is kept by its version. Nothing here decides or
writes; see dashboard/actions.py for what the buttons do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import streamlit as st

from agent.clock import SystemClock
from agent.core.answers import Answer, Line
from agent.core.graph import order
from agent.core.lineage import Output
from agent.core.model import Plan, State
from agent.core.morning_text import answers_of
from agent.core.record import Promise
from agent.execution.backtests import Pair, find_backtests, read_pair
from agent.execution.host.child import ChildHost
from agent.execution.planning import Evaluation, think
from agent.execution.runlog import Request
from agent.execution.survey import Inspector
from agent.execution.tries.comparing import Against, load_against
from agent.execution.workspace import Workspace, open_workspace
from agent.sections.dashboard import Settings as DashboardSettings
from agent.service import schedule
from agent.service.failing import Failure, load_failures
from agent.service.projects import PLANNERS
from agent.settings import DATABASE_FILE, SETTINGS_FILE
from agent.store import leases, state
from agent.store.comparing import Comparison, load_comparison
from agent.store.control import runner, runs, schedules
from agent.store.control.runner import Runner
from agent.store.control.runs import Run
from agent.store.lineage import load_origins, load_outputs
from agent.store.morning import load_morning
from agent.store.outputs import catalog, projections, promises, releases, tries
from agent.store.outputs.catalog import SnapshotRow
from agent.store.outputs.projections import LiveScore
from agent.store.outputs.releases import Release
from agent.store.outputs.tries import Try
from agent.store.trading import account
from agent.trading.overview import Overview, load_overviews
from pipelines.lake import Lake
from pipelines.snapshot import Snapshot

RUNS_SHOWN = 200
PREDICTIONS_READ = 20_000

_PLAN, _PLAN_SECONDS = "recent_plan", 5.0

Record = dict[str, Any]


@dataclass(frozen=True)
class Session:
    """The opened project. `key` tells it from others whose snapshots have the same numbers."""

    workspace: Workspace
    key: str

    @property
    def is_read_only(self) -> bool:
        return self.workspace.settings.of(DashboardSettings).read_only


@dataclass(frozen=True)
class _Opened:
    desk: Session
    stack: ExitStack
    marks: tuple[object, ...]


def open_desk() -> Session:
    """The project in the current folder, opened once for all viewers, its code in a process of its own; opened again
    when its settings, its code or its database file are others. Raises SettingsError, DatabaseError."""
    base = Path.cwd()
    opened = _open(str(base))
    if opened.marks != _marks(base, opened.desk.workspace) or not _is_current(opened.desk.workspace):
        _open.clear()
        opened = _open(str(base))
    return opened.desk


def now() -> datetime:
    """The present instant, aware, UTC."""
    return SystemClock().now()


def states(desk: Session) -> dict[str, State]:
    """The state of each component of the graph, in the order they are performed."""
    with desk.workspace.database.reading() as connections:
        found = state.load_states(connections.project)
    return {name: found[name] for name in order(desk.workspace.specs) if name in found}


def plan(desk: Session, request: Request) -> Evaluation:
    """What a run of `request` would do now, and why. Reads files, sources' probes and code; writes nothing."""
    return think(desk.workspace, Inspector(desk.workspace), request, now=now())


def next_plan(desk: Session, found: dict[str, State], at: datetime) -> Plan | None:
    """What a run of everything would do; None while one goes on, which changes the answer. Asked again when the states
    differ from what they were, and every few seconds for what happens elsewhere: files, code, sources."""
    run = open_run(desk)
    if run is not None and run.status == "RUNNING" and not is_dead(run, at):
        return None
    kept: tuple[float, str, dict[str, State], Plan] | None = st.session_state.get(_PLAN)
    asked_at = time.monotonic()
    if kept is None or asked_at - kept[0] > _PLAN_SECONDS or kept[1:3] != (desk.key, found):
        kept = (asked_at, desk.key, found, plan(desk, Request()).plan)
        st.session_state[_PLAN] = kept
    return kept[3]


def recent_runs(desk: Session, limit: int = RUNS_SHOWN) -> list[Run]:
    """The project's newest runs, newest first."""
    database = desk.workspace.database
    with database.reading() as connections:
        return runs.list_runs(connections.control, runs.Wanted(project_id=database.project_id), limit=limit)


def has_trader(desk: Session) -> bool:
    """Whether a trader ever ran here."""
    with desk.workspace.database.reading() as connections:
        return account.was_opened(connections.project)


def traders(desk: Session) -> list[Overview]:
    """How each account stands that is traded here."""
    with desk.workspace.database.reading() as connections:
        return load_overviews(connections.project, desk.workspace.settings.home, now())


def outputs_of(desk: Session, component: str, limit: int) -> tuple[list[Output], list[Line]]:
    """The newest outputs of a component, and where the newest of them came from."""
    with desk.workspace.database.reading() as connections:
        found = load_outputs(connections, component, limit)
        return found, load_origins(connections, found[0]) if found else []


def open_run(desk: Session) -> Run | None:
    """The run that is being executed or, where none is, the oldest one that waits; None where none is open."""
    database = desk.workspace.database
    with database.reading() as connections:
        for status in ("RUNNING", "QUEUED", "AWAITING_APPROVAL"):
            wanted = runs.Wanted((status,), database.project_id)
            found = runs.list_runs(connections.control, wanted, limit=RUNS_SHOWN)
            if found:
                return found[-1]
    return None


def is_dead(run: Run, at: datetime) -> bool:
    """Whether the process that executed a RUNNING run is gone."""
    if run.status != "RUNNING":
        return False
    return not leases.is_at_work(run.owner, run.lease_expires_at, at)


def background_runner(desk: Session) -> Runner:
    """The background runner as it stands."""
    with desk.workspace.database.reading() as connections:
        return runner.load(connections.control)


def next_scheduled(desk: Session) -> datetime | None:
    """When the next run begins by itself, by the scheduler or the background runner; None where nothing will. A time
    that is past says that the scheduler does not run."""
    with desk.workspace.database.reading() as connections:
        due = schedules.load_due(connections.project, schedule.NAME)
        found = runner.load(connections.control)
    times = [] if due is None else [due.next_due_at]
    if found.state == "running" and found.next_run is not None:
        times.append(found.next_run)
    return min(times, default=None)


def current_release(desk: Session) -> Release | None:
    """The release in force."""
    with desk.workspace.database.reading() as connections:
        return releases.current_release(connections.project)


def morning_of(desk: Session, at: datetime) -> tuple[Answer, ...]:
    """The morning's questions, answered; none before the first release."""
    with desk.workspace.database.reading() as connections:
        found = load_morning(connections, at)
    return () if found is None else answers_of(found)


def failures(desk: Session, found: Mapping[str, State], at: datetime) -> list[Failure]:
    """The components among `found` that fail now, with what there is to know of it."""
    if not any(row.status == "failed" for row in found.values()):
        return []
    database = desk.workspace.database
    with database.reading() as connections:
        return load_failures(connections, found, database.project_id, at)


def kept_promise(desk: Session) -> Promise | None:
    """What published forecasts promised and kept; None before the first outcome."""
    with desk.workspace.database.reading() as connections:
        return promises.load_promise(connections.project)


def recent_releases(desk: Session, limit: int = 50) -> list[Release]:
    """The newest releases, newest first."""
    with desk.workspace.database.reading() as connections:
        return releases.list_releases(connections.project, limit)


def recent_tries(desk: Session, limit: int = 50) -> list[Try]:
    """The newest tries, newest first; cells of grids among them."""
    with desk.workspace.database.reading() as connections:
        return tries.every(connections.project)[:limit]


def against_of(desk: Session, before: str, after: str) -> Against:
    """A try against another one or a release, which is then the earlier one. Raises NotFound, LakeError."""
    with desk.workspace.database.reading() as connections:
        return load_against(connections, desk.workspace.lake, before, after)


def comparison_of(desk: Session, before: str, after: str) -> Comparison:
    """One release against another. Raises NotFound."""
    with desk.workspace.database.reading() as connections:
        return load_comparison(connections, before, after)


def backtests_of(desk: Session, snapshot_ids: tuple[int | None, int | None]) -> Pair | None:
    """What two backtests wrote; None where one is no longer on disk."""
    with desk.workspace.database.reading() as connections:
        found = find_backtests(connections, snapshot_ids)
    return None if found is None else _pair(f"{found[0].version} {found[1].version}", desk.workspace.lake, found)


def predictions_in(desk: Session) -> int:
    """Markets that the present output of inference predicts."""
    found = output(desk, "inference")
    return 0 if found is None else sum(partition.rows for partition in found.select("predictions"))


def decisions(desk: Session, release: Release | None) -> list[Record]:
    """What a release decided, one row per market, those to enter first."""
    with desk.workspace.database.reading() as connections:
        return projections.decisions_of(connections.project, release, PREDICTIONS_READ)


def predictions_of(desk: Session, market_id: str) -> list[Record]:
    """Everything ever predicted of one market, newest first."""
    with desk.workspace.database.reading() as connections:
        return projections.predictions_of(connections.project, market_id, PREDICTIONS_READ)


def settled_predictions(desk: Session) -> list[Record]:
    """Predictions whose outcome is known, newest first."""
    with desk.workspace.database.reading() as connections:
        return projections.predictions_with_outcome(connections.project, PREDICTIONS_READ)


def live_score(desk: Session) -> LiveScore:
    """How all settled predictions turned out."""
    with desk.workspace.database.reading() as connections:
        return projections.live_score(connections.project)


def history(desk: Session, component: str, limit: int) -> list[SnapshotRow]:
    """The newest snapshots of a component, newest first."""
    with desk.workspace.database.reading() as connections:
        return catalog.snapshot_history(connections.project, component, limit)


def output(desk: Session, component: str) -> Snapshot | None:
    """The present output of a component; None before its first success."""
    row = states(desk).get(component)
    return None if row is None or row.output_snapshot_id is None else snapshot(desk, row.output_snapshot_id)


def snapshot(desk: Session, snapshot_id: int) -> Snapshot:
    """A snapshot from the catalog. Raises NotFound where gc removed it."""
    return _snapshot(desk.key, snapshot_id, desk.workspace)


@st.cache_resource(show_spinner=False, max_entries=64)
def _snapshot(key: str, snapshot_id: int, _workspace: Workspace) -> Snapshot:
    with _workspace.database.reading() as connections:
        return catalog.load_snapshot(connections.project, snapshot_id)


@st.cache_resource(show_spinner=False, max_entries=4)
def _pair(versions: str, _lake: Lake, _found: tuple[Snapshot, Snapshot]) -> Pair | None:
    return read_pair(_lake, _found)


@st.cache_resource(show_spinner=False, max_entries=1, on_release=lambda opened: opened.stack.close())
def _open(base: str) -> _Opened:
    stack = ExitStack()
    workspace = stack.enter_context(open_workspace(Path(base), hosts=PLANNERS))
    if isinstance(workspace.host, ChildHost):
        workspace.host.wait = _give_up
    marks = _marks(Path(base), workspace)
    return _Opened(Session(workspace, f"{workspace.settings.home} {marks[-1]}"), stack, marks)


def _is_current(workspace: Workspace) -> bool:
    return not isinstance(workspace.host, ChildHost) or workspace.host.is_current()


def _give_up() -> None:
    """End the wait for the project's process where nobody waits any more: Streamlit raises a rerun, or the
    viewer's end, in whoever touches the session."""
    if st.runtime.exists():
        st.session_state.get(_PLAN)


def _marks(base: Path, workspace: Workspace) -> tuple[object, ...]:
    """What tells that settings or the embedded database are others: a removed one that was made again has its name."""
    files = [_stat(base / name, lambda found: (found.st_mtime_ns, found.st_size)) for name in (SETTINGS_FILE, ".env")]
    if not workspace.settings.is_embedded:
        return (*files, None)
    return (*files, _stat(workspace.settings.home / DATABASE_FILE, lambda found: found.st_ino))


def _stat(path: Path, read: Callable[[Any], object]) -> object:
    try:
        return read(path.stat())
    except OSError:
        return None
