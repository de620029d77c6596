"""A project that is not the default. In the server's PostgreSQL it has a schema, and a success is one commit; with a
database of its own it is two, of which the second may fail or go unanswered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from agent import identity
from agent import settings as agent_settings
from agent.core.events import Event, Finished, Progress
from agent.core.model import Mark
from agent.errors import LeaseLost
from agent.execution import attempt, commit
from agent.execution.engine import Report
from agent.execution.host.local import LocalHost
from agent.execution.release import current_name
from agent.execution.runlog import Request
from agent.execution.session import perform
from agent.execution.workspace import Workspace, open_workspace
from agent.service import projects
from agent.store import leases, state
from agent.store.control import attempts, events, runs
from agent.store.control.attempts import Attempt
from agent.store.database.engine import Connections, Database, open_engine
from agent.store.outputs import catalog, releases
from agent.store.tables import snapshots
from tests.tiny import steps, tiny_project

NOW = datetime(2100, 1, 31, 12, tzinfo=UTC)  # after the real run of `workspace`
NUMBERS = "numbers"
ELSEWHERE = "far-away/boot/pid:[1]/7/9"


@pytest.fixture(
    params=[
        "two files",
        pytest.param("a schema", marks=pytest.mark.postgres),
        pytest.param("a URL of its own", marks=pytest.mark.postgres),
    ]
)
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workspace]:
    """A project beside the server's own, in which numbers were computed once."""
    database_url: str = request.getfixturevalue("sqlite_url" if request.param == "two files" else "postgres_url")
    own_url = f"{database_url}{'&' if '?' in database_url else '?'}schema=mine" if "URL" in request.param else ""
    (tmp_path / "agent.toml").write_text(f'[api]\nproject_roots = ["{tmp_path}"]\n', encoding="utf-8")
    settings = agent_settings.load(tmp_path, {"AGENT_DATABASE_URL": database_url})
    own = open_engine(database_url)
    with ExitStack() as stack:
        server = Database(control=own, project=own)
        stack.callback(server.close)
        folder = tiny_project(tmp_path / "other", url=own_url)
        project = projects.create(server, settings, name="other", local_path=str(folder), now=NOW)
        opened = stack.enter_context(open_workspace(folder, control=settings, project_id=project.id))
        assert opened.database.is_one is (request.param == "a schema")
        assert run(opened).status == "COMPLETED"
        yield opened


def run(workspace: Workspace, **options: Any) -> Report:
    return perform(workspace, Request(targets=(NUMBERS,)), **options)


def mark(workspace: Workspace) -> None:
    """Ask for a partition that there is not: everything is carried over, and no snapshot is written."""
    with workspace.database.writing() as connections:
        state.mark_dirty(connections.project, NUMBERS, Mark(reason="test", partitions=("absent",)))


def attempts_of(workspace: Workspace) -> list[Attempt]:
    """Attempts at numbers, the oldest first."""
    with workspace.database.reading() as connections:
        ids = sorted(one.id for one in runs.list_runs(connections.control))
        return [one for run_id in ids for one in attempts.list_attempts(connections.control, run_id)]


def ends_told(workspace: Workspace, report: Report) -> list[dict[str, Any]]:
    """What the history of a run tells of the end of its attempts."""
    with workspace.database.reading() as connections:
        told = [event.payload for event in events.load_events(connections.control, report.run_id)]
    return [payload for payload in told if payload.get("phase") in ("finished", "cut off")]


def recorded(workspace: Workspace) -> tuple[int, int]:
    """Successes in the state of numbers, and snapshots of them."""
    with workspace.database.reading() as connections:
        count = sa.select(sa.func.count()).select_from(snapshots).where(snapshots.c.component == NUMBERS)
        return state.load_states(connections.project)[NUMBERS].run_count, connections.project.scalar(count) or 0


@dataclass(eq=False)  # by identity: SQLAlchemy keeps its listeners in a dict
class Fault:
    """The connection to the server's database is lost at the next COMMIT that writes, once `armed`."""

    is_written: bool
    armed: bool = False
    times: int = 0
    writers: set[int] = field(default_factory=set)

    def execute(self, conn: sa.Connection, _cursor: object, statement: str, *_: object) -> None:
        """Note a connection that writes: the threads of a heartbeat read meanwhile."""
        if statement.startswith(("INSERT", "UPDATE")):
            self.writers.add(id(conn))

    def __call__(self, conn: sa.Connection) -> None:
        is_writer = id(conn) in self.writers
        self.writers.discard(id(conn))
        if not self.armed or not is_writer:
            return
        self.armed = False
        self.times += 1
        if self.is_written:
            dbapi = conn.connection.dbapi_connection
            assert dbapi is not None
            dbapi.commit()
        raise sa.exc.OperationalError("COMMIT", {}, psycopg.OperationalError("server closed the connection"))


@contextmanager
def lost_commit(
    workspace: Workspace, *, is_written: bool, of: str = NUMBERS
) -> Iterator[Callable[[str, dict[str, Any]], None]]:
    """A watcher of a run, which loses the first COMMIT that records the success of component `of`."""
    fault = Fault(is_written)

    def watch(event: Event | Progress) -> None:
        is_end = isinstance(event, Finished) and event.component == of
        fault.armed = fault.armed or (is_end and not fault.times)

    sa.event.listen(workspace.database.control, "commit", fault)
    sa.event.listen(workspace.database.control, "before_cursor_execute", fault.execute)
    yield watch
    sa.event.remove(workspace.database.control, "commit", fault)
    sa.event.remove(workspace.database.control, "before_cursor_execute", fault.execute)
    assert fault.times == 1


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """What `commit_success` returned, each time it did."""
    found: list[int | None] = []

    def noting(*arguments: Any) -> int | None:
        found.append(commit.commit_success(*arguments))
        return found[-1]

    monkeypatch.setattr(attempt, "commit_success", noting)
    return found


@pytest.mark.parametrize("is_written", [False, True], ids=["not committed", "answer lost"])
@pytest.mark.parametrize("is_cut_off", [False, True], ids=["changed", "cut off"])
def test_a_success_whose_last_commit_is_lost_is_recorded_once(
    workspace: Workspace, answers: list[int | None], *, is_cut_off: bool, is_written: bool
) -> None:
    if is_cut_off:
        mark(workspace)
    else:
        values = {**workspace.origin.values, NUMBERS: {"values": [4, 5, 6]}}
        origin = replace(workspace.origin, values=values)
        workspace = replace(workspace, origin=origin, host=LocalHost(origin))
    with lost_commit(workspace, is_written=is_written) as watch:
        report = run(workspace, watchers=(watch,))
    assert (report.status, [one.is_cut_off for one in report.components]) == ("COMPLETED", [is_cut_off])
    is_new = workspace.database.is_one and not is_written  # nothing was recorded: the second call records all of it
    assert [answer is None for answer in answers] == [not is_new]  # of the second call; the first raised
    assert recorded(workspace) == (2, 1 if is_cut_off else 2)
    first, second = attempts_of(workspace)
    assert (first.status, second.status) == ("succeeded", "succeeded")
    done = report.components[0]
    assert (second.output_version, second.is_cut_off) == (done.version, is_cut_off)
    assert (second.rows, second.seconds) == (done.rows, done.seconds)
    assert second.finished_at is not None
    assert [told["version"] for told in ends_told(workspace, report)] == [done.version]
    assert steps(run(workspace)) == {NUMBERS: "skip"}
    assert len(attempts_of(workspace)) == 2


@pytest.mark.parametrize("is_written", [False, True], ids=["not committed", "answer lost"])
def test_a_release_whose_last_commit_is_lost_is_in_force_on_disk_too(
    workspace: Workspace, answers: list[int | None], *, is_written: bool
) -> None:
    with lost_commit(workspace, is_written=is_written, of="board") as watch:
        report = perform(workspace, Request(targets=("board",)), watchers=(watch,))
    assert report.status == "COMPLETED"
    assert (answers[-1] is None) is (is_written or not workspace.database.is_one)
    with workspace.database.reading() as connections:
        release = releases.current_release(connections.project)
    assert release is not None
    assert current_name(workspace.settings.releases_path) == release.name


def test_a_success_of_which_neither_database_knows_is_refused(workspace: Workspace, answers: list[int | None]) -> None:
    def overtake(event: Event | Progress) -> None:
        if isinstance(event, Progress) and event.done == 0:
            with workspace.database.writing() as connections:
                token = state.load_states(connections.project)[NUMBERS].lease_token
                leases.extend(connections.project, leases.of_component(NUMBERS), token, 0)  # it ends now
                leases.take(connections.project, leases.of_component(NUMBERS), ELSEWHERE, 600)

    mark(workspace)
    with pytest.raises(LeaseLost, match="taken over"):
        run(workspace, watchers=(overtake,))
    assert answers == []
    assert recorded(workspace) == (1, 1)
    assert [one.status for one in attempts_of(workspace)] == ["succeeded", "running"]  # its successor closes it


# --- is_recorded by itself ----------------------------------------------------------------------------------------


def begin(connections: Connections) -> tuple[int, int]:
    """A new attempt at numbers, as one begins: its id and token."""
    owner, control = identity.own(), connections.control
    free = leases.find_free(connections.project, leases.of_component(NUMBERS))
    token = state.begin_attempt(connections.project, free, owner, 60).token
    row = runs.create_run(
        control,
        project_id=connections.project_id,
        goal="x",
        targets=(),
        force=(),
        trigger="person",
        status="RUNNING",
        owner=owner,
        lease_seconds=60,
        now=NOW,
    )
    attempt_id = attempts.start_attempt(
        control, run_id=row.id, component=NUMBERS, number=1, token=token, owner=owner, reasons=(), now=NOW
    )
    return attempt_id, token


def succeed(connections: Connections, attempt_id: int, token: int, *, is_cut_off: bool) -> None:
    """What the project's half of a success writes."""
    before = state.load_states(connections.project)[NUMBERS]
    code_version, settings_hash = before.code_version, before.settings_hash
    snapshot_id, version = before.output_snapshot_id, before.output_version
    assert code_version is not None
    assert settings_hash is not None
    assert snapshot_id is not None
    assert version is not None
    if not is_cut_off:
        snapshot_id = catalog.save_snapshot(
            connections.project,
            catalog.load_snapshot(connections.project, snapshot_id),
            attempt_id=attempt_id,
            token=token,
            inputs={},
            code_version=code_version,
            settings_hash=settings_hash,
            settings={},
            now=NOW,
        )
    assert state.commit_success(
        connections.project,
        NUMBERS,
        token,
        now=NOW,
        code_version=code_version,
        code_files={},
        settings_hash=settings_hash,
        settings={},
        libraries={},
        inputs={},
        output_version=version,
        output_snapshot_id=snapshot_id,
        output_rows=3,
        duration_s=1.0,
    )


def known(connections: Connections, attempt_id: int, token: int) -> bool:
    return attempts.is_recorded(connections.project, attempt_id, NUMBERS, token)


def test_a_changed_output_shows_in_its_snapshot_whoever_holds_the_lease_now(workspace: Workspace) -> None:
    with workspace.database.writing() as connections:
        attempt_id, token = begin(connections)
        succeed(connections, attempt_id, token, is_cut_off=False)
        leases.take(connections.project, leases.of_component(NUMBERS), ELSEWHERE, 60)
        assert known(connections, attempt_id, token)


def test_an_output_that_stayed_shows_in_the_lease_given_back(workspace: Workspace) -> None:
    with workspace.database.writing() as connections:
        attempt_id, token = begin(connections)
        succeed(connections, attempt_id, token, is_cut_off=True)
        assert known(connections, attempt_id, token)


def test_what_was_not_recorded_is_not_known(workspace: Workspace) -> None:
    with workspace.database.writing() as connections:
        attempt_id, token = begin(connections)
        assert not known(connections, attempt_id, token)  # it holds the lease still
        state.commit_failure(connections.project, NUMBERS, token, now=NOW, error="no", next_retry_at=None)
        assert not known(connections, attempt_id, token)  # given back with a failure
        overtaken, old = begin(connections)
        leases.extend(connections.project, leases.of_component(NUMBERS), old, 0)
        leases.take(connections.project, leases.of_component(NUMBERS), ELSEWHERE, 60)
        assert not known(connections, overtaken, old)  # another one holds the lease


@pytest.mark.parametrize("ending", ["output stayed", "given up"])
def test_an_attempt_whose_process_died_between_the_two_commits(workspace: Workspace, ending: str) -> None:
    with workspace.database.writing() as connections:
        attempt_id, token = begin(connections)
        run_id = max(run.id for run in runs.list_runs(connections.control))
    with workspace.database.writing() as connections:
        if ending == "given up":
            assert state.give_up_attempt(connections.project, NUMBERS, token)
        else:
            succeed(connections, attempt_id, token, is_cut_off=True)
        runs.move_run(connections.control, run_id, "FAILED", from_statuses=("RUNNING",))
    with workspace.database.writing() as connections:
        (closed,) = attempts.abandon_attempts_of_ended_runs(connections, NOW)
    assert closed.id == attempt_id
    found = (closed.status, closed.is_cut_off, closed.rows)
    assert found == (("crashed", None, None) if ending == "given up" else ("succeeded", True, 3))
