"""One run from start to end in an opened workspace: what the command line, the worker and the runner all call."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from agent import identity
from agent.clock import Clock, SystemClock
from agent.core.events import CodeChanged, RunFailed
from agent.errors import AgentError, DatabaseError
from agent.execution.computing import Computer
from agent.execution.engine import Engine, Finished, Report
from agent.execution.host.interface import CodeMoved
from agent.execution.runlog import Request, RunLog, Watcher
from agent.execution.workspace import Workspace
from agent.runtime.advance import Noticeboard
from agent.runtime.around import Around, Ended
from agent.store.control import runs
from agent.store.control.runs import Run

NOTHING = Around()
GENERATIONS = 3  # of code that a run may begin again with
logger = logging.getLogger("tidemill.session")


def perform(
    workspace: Workspace,
    request: Request,
    *,
    queued: Run | None = None,
    manual: bool = True,
    wait: bool = False,
    around: Around = NOTHING,
    stop: Callable[[], str | None] = lambda: None,
    watchers: tuple[Watcher, ...] = (),
    clock: Clock | None = None,
) -> Report:
    """Perform `request`; `queued` is its row where it comes from the queue and is RUNNING already.

    Raises Busy when another process holds a component and `wait` is off, LeaseLost when one took over while this
    process slept; the run is closed in every case that leaves the database reachable. `around` says
    what goes before the run and what follows it; whoever performs a run for people gets it from `agent.service.wiring`.
    """
    clock = clock or SystemClock()
    recover(workspace, clock, around)
    around.prepare(workspace.settings, workspace.database, stop, request.trigger)
    log = RunLog(
        workspace.database,
        clock,
        request,
        owner=identity.own(),
        lease_seconds=workspace.settings.executor.lease_seconds,
        git_commit=git_commit(workspace.base),
        run=queued,
    )
    board = Noticeboard(workspace.settings.home, lambda: log.run_id)
    log.watchers = (*watchers, board)
    try:
        return _decided(workspace, log, clock, manual=manual, wait=wait, stop=stop)
    except BaseException as error:
        _close(log, error.what if isinstance(error, AgentError) else f"{type(error).__name__}: {error}")
        raise
    finally:
        board.close()
        _follow(workspace, log, around)


def _decided(
    workspace: Workspace, log: RunLog, clock: Clock, *, manual: bool, wait: bool, stop: Callable[[], str | None]
) -> Report:
    """Perform the run with one generation of code; with the next one, decided again, where the code changed before
    anything was computed with it."""
    earlier: dict[str, Finished] = {}
    with ExitStack() as stack:
        for generation in range(GENERATIONS + 1):
            computer = Computer(workspace.host, workspace.origin, workspace.settings.executor.kind)
            engine = Engine(workspace, clock, log, computer, manual=manual, wait=wait, stop=stop, earlier=earlier)
            try:
                with closing(computer):
                    return engine.execute()
            except CodeMoved as moved:
                if generation == GENERATIONS:
                    raise AgentError(
                        f"code of the project changed each of the {GENERATIONS + 1} times that it was to compute",
                        where=moved.where,
                        fix="run again when the files are left alone; nothing was computed with them",
                    ) from moved
                earlier = engine.computed()
                logger.warning("%s (%s): the run decides again", moved.what, moved.where)
                log.add(CodeChanged(moved.files, generation + 1, GENERATIONS))
                workspace = stack.enter_context(workspace.renewed())
    raise AssertionError("a run ends, or fails")


def recover(workspace: Workspace, clock: Clock, around: Around = NOTHING) -> None:
    """Close the runs that dead processes left RUNNING; their components are taken over when they are next due."""
    with workspace.database.reading() as connections:
        if not runs.any_running(connections.control):
            return
    from agent.store.control import attempts  # most runs find nothing left behind

    sys.audit("tidemill.point", "run.recovering")
    # A try changes nothing of production's, nor of another try's: production's next run closes all.
    own = runs.of_try(workspace.database.project_id, workspace.database.try_id) if workspace.is_try else None
    with workspace.database.writing() as connections:
        closed = runs.abandon_runs(connections.control, clock.now(), only=own)
        attempts.abandon_attempts_of_ended_runs(connections, clock.now())
    for run in closed:
        logger.warning("run %s was left behind by a process that died; it is closed as FAILED", run.id)
        if run.try_id == 0:
            around.follow(Ended(run, workspace.settings, workspace.database))


def _follow(workspace: Workspace, log: RunLog, around: Around) -> None:
    """Do what follows the run, if it began and its end is recorded: else whoever closes it does."""
    if log.run is None or not around.after:
        return
    try:
        with workspace.database.reading() as connections:
            run = runs.load_run(connections.control, log.run.id)
    except DatabaseError as lost:
        logger.warning("what follows run %s is left out: %s", log.run.id, lost.what)
        return
    if run.status in runs.FINAL:
        around.follow(Ended(run, workspace.settings, workspace.database, workspace.releasing))


def git_commit(base: Path) -> str | None:
    """Commit that the project's folder is checked out at, read from its files; None where it is no git work tree."""
    for folder in (base, *base.parents):
        git = folder / ".git"
        if git.is_dir():
            break
    else:
        return None
    try:
        head = (git / "HEAD").read_text(encoding="ascii").strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        loose = git / name
        if loose.is_file():
            return loose.read_text(encoding="ascii").strip()
        for line in (git / "packed-refs").read_text(encoding="utf-8").splitlines():
            if line.endswith(f" {name}"):
                return line.split()[0]
    except (OSError, UnicodeDecodeError):
        return None
    return None


def _close(log: RunLog, error: str) -> None:
    """Mark a run that ended by an exception as failed, if the database lets us and it is not closed yet."""
    if log.run is None:
        return
    try:
        with log.database.writing() as connections:
            if runs.move_run(connections.control, log.run.id, "FAILED", from_statuses=("RUNNING",), error=error):
                log.add(RunFailed(error))
                log.flush(connections)
    except DatabaseError as lost:
        logger.warning("cannot record the end of run %s (%s); the next run closes it", log.run.id, lost.what)
