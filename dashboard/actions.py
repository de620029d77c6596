"""What the buttons do: queue a run, mark, cancel, answer. Nothing is computed in the page's process."""

from __future__ import annotations

from collections.abc import Sequence

from agent.clock import SystemClock
from agent.core.model import Mark
from agent.errors import Conflict
from agent.execution import cancel, session
from agent.service import queue, remedy
from agent.service.detached import start_worker
from agent.service.goals import Intent
from agent.store import state
from agent.store.control import runner
from agent.store.control.runs import FINAL, Run
from agent.store.trading import account
from agent.trading import person
from dashboard import data
from dashboard.data import Session
from pipelines.snapshot import digest

WHO = "a person at the dashboard"


def run(desk: Session, targets: Sequence[str] = (), force: Sequence[str] = ()) -> Run:
    """Queue a run and see to it that a worker takes it. The run that is open already where the same was asked for: a
    second click, or a second viewer, sees the first one's run. Runs of dead processes are closed first.

    Raises AgentError where no worker can be started, DatabaseError.
    """
    workspace = desk.workspace
    session.recover(workspace, SystemClock())
    wanted, forced = tuple(targets), tuple(force)
    known = data.recent_runs(desk)
    asked = next(
        (one for one in known if one.status not in FINAL and (one.targets, one.force) == (wanted, forced)), None
    )
    if asked is None:
        # Two who click at the same moment see the same newest run, so that their keys agree and one run is made.
        newest = str(known[0].id if known else 0)
        asked, _ = queue.enqueue(
            workspace.database,
            project_id=workspace.database.project_id,
            goal=_goal(wanted, forced),
            intent=Intent(wanted, forced, "asked for at the dashboard"),
            trigger="person",
            idempotency_key=digest(["dashboard", newest, *wanted, "force", *forced]),
            now=data.now(),
        )
    if asked.status == "QUEUED":
        start_worker(workspace.settings)
    return asked


def mark_dirty(desk: Session, component: str, reason: str) -> None:
    """Ask for a recompute of a component at the next run. Raises NotFound."""
    with desk.workspace.database.writing() as connections:
        state.mark_dirty(connections.project, component, Mark(WHO, reason=reason))


def retry(desk: Session, run_id: int) -> Run:
    """Queue a run that is over again, and see to it that a worker takes it. Raises NotFound, Conflict, AgentError where
    no worker can be started."""
    run = queue.retry(desk.workspace.database, run_id, now=data.now())
    start_worker(desk.workspace.settings)
    return run


def leave_out_and_retry(desk: Session, component: str) -> Run:
    """Let rows that break a rule be left out from now on, and queue the failed run again. Raises as
    service.remedy.leave_out_and_retry, and AgentError where no worker can be started."""
    workspace = desk.workspace
    database, file = workspace.database, workspace.settings.file
    run = remedy.leave_out_and_retry(database, file, component, database.project_id, now=data.now())
    start_worker(workspace.settings)
    return run


def cancel_run(desk: Session, run_id: int) -> None:
    """End a run: at once where nobody executes it yet, else within about a second. Raises NotFound, Conflict."""
    cancel.cancel_run(desk.workspace.database, run_id, by=WHO, now=data.now())


def answer(desk: Session, run_id: int, *, approved: bool) -> None:
    """Approve or reject a waiting run. Raises NotFound, Conflict."""
    database = desk.workspace.database
    if approved:
        queue.approve(database, run_id, by=WHO, reason=None, now=data.now())
        start_worker(desk.workspace.settings)
    else:
        queue.reject(database, run_id, by=WHO, reason=None, now=data.now())


def set_runner(desk: Session, wanted: str) -> None:
    """Ask the server's background runner to pause (`paused`) or to go on (`running`). Raises Conflict where no server
    runs it."""
    with desk.workspace.database.writing() as connections:
        if runner.load(connections.control).state not in ("running", "paused"):
            raise Conflict(
                "no server runs the background runner now",
                where="runner",
                fix="start it: `agent serve`, then POST /api/agent/start",
            )
        runner.want(connections.control, wanted)


def close_everything(desk: Session, reason: str) -> str:
    """Have every trader of the project close what it holds and end. Raises UsageError without a reason."""
    person.trigger(desk.workspace.settings.home, reason, WHO)
    return "Nothing is sent any more but what closes."


def pause_trader(desk: Session, agent_id: int, reason: str) -> str:
    """Let nothing new be opened. Raises UsageError without a reason."""
    with desk.workspace.database.writing() as connections:
        conn = connections.project
        answer = person.pause(conn, account.load(conn, agent_id), reason)
    return f"The trader is {answer['trading_state']}."


def resume_trader(desk: Session, agent_id: int, reason: str) -> str:
    """Take a person's pause back, and no other reason. Raises UsageError without a reason."""
    words = f"resumed by {WHO}: {person.said(reason)}"
    with desk.workspace.database.writing() as connections:
        conn = connections.project
        answer = person.resume(conn, account.load(conn, agent_id), words)
    return f"The trader is {answer['trading_state']}."


def _goal(targets: Sequence[str], force: Sequence[str]) -> str:
    what = f"refresh {', '.join(targets)}" if targets else "refresh up to publish"
    return f"{what}, recompute {', '.join(force)}" if force else what
