"""What the pages read of runs: each of them, what happened in it, how far it is."""

from __future__ import annotations

from agent.core.events import Progress
from agent.core.grid import Grid
from agent.errors import NotFound
from agent.execution import story
from agent.execution.story import StepHistory
from agent.runtime.advance import load_advance
from agent.store.control import approvals, attempts, events, runs
from agent.store.control.approvals import Approval
from agent.store.control.attempts import Attempt
from agent.store.control.events import EventRow
from agent.store.control.grid import load_grid
from agent.store.control.runs import Run
from dashboard.data import Session


def run_with_attempts(desk: Session, run_id: int) -> tuple[Run, list[Attempt]]:
    """A run and its attempts. Raises NotFound."""
    with desk.workspace.database.reading() as connections:
        return runs.load_run(connections.control, run_id), attempts.list_attempts(connections.control, run_id)


def grid_of(desk: Session) -> Grid:
    """The components and the last runs as a grid."""
    database = desk.workspace.database
    with database.reading() as connections:
        return load_grid(connections.control, database.project_id)


def step_of(desk: Session, run_id: int, component: str) -> StepHistory | None:
    """What happened to a component in a run; None where the run was not about it, or is gone."""
    with desk.workspace.database.reading() as connections:
        try:
            return story.step_of(connections, run_id, component)
        except NotFound:
            return None


def advance_of(desk: Session, run_id: int) -> dict[str, Progress]:
    """Component -> how far it has come in the run, as the terminal shows it; only of those that say so."""
    return load_advance(desk.workspace.settings.home, run_id)


def find_run(desk: Session, run_id: int) -> Run | None:
    """A run of this project; None where there is none, or no longer."""
    with desk.workspace.database.reading() as connections:
        try:
            found = runs.load_run(connections.control, run_id)
        except NotFound:
            return None
    return found if found.project_id == desk.workspace.database.project_id else None


def attempts_of(desk: Session, component: str, limit: int) -> list[Attempt]:
    """The newest attempts of a component, newest first."""
    database = desk.workspace.database
    with database.reading() as connections:
        return attempts.of_component(connections.control, database.project_id, component, limit)


def events_of(desk: Session, run_id: int) -> list[EventRow]:
    """The events of a run, in order."""
    with desk.workspace.database.reading() as connections:
        return events.load_events(connections.control, run_id)


def approval_of(desk: Session, run_id: int) -> Approval | None:
    """The approval a run waits for or had; None where none was asked for."""
    with desk.workspace.database.reading() as connections:
        return approvals.load_approval(connections.control, run_id)
