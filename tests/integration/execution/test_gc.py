"""gc on real runs: what it takes, what it must never take, beside attempts and after crashes."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent import identity
from agent.clock import SystemClock
from agent.core.events import Event, Progress
from agent.core.model import Mark
from agent.errors import Conflict, NotFound
from agent.execution.pointer import point_to_current
from agent.execution.release import current_name
from agent.execution.runlog import Request
from agent.execution.session import perform
from agent.execution.upkeep.gc import READER_TIME, Collected, collect
from agent.execution.upkeep.integrity import examine
from agent.execution.upkeep.reproduce import reproduce
from agent.execution.workspace import Workspace, open_workspace
from agent.sections import lake
from agent.store import leases, state
from agent.store.outputs import catalog, garbage, releases
from pipelines.lake import files_below
from tests.examples import examples
from tests.small import SETTINGS, write_bars
from tests.tiny import bring_up_to_date, opened, run, steps, tiny_project

LATER = timedelta(days=1)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return tiny_project(tmp_path / "project")


@pytest.fixture
def project_anywhere(tmp_path: Path, database_url: str) -> Path:
    """The same on SQLite and on PostgreSQL."""
    return tiny_project(tmp_path / "project", url=database_url)


def gc(
    workspace: Workspace,
    *,
    keep_releases: int = 1,
    keep_days: float = 0,
    later: timedelta = LATER,
    dry_run: bool = False,
) -> Collected:
    """Collect as if `later` had passed, with no results kept (of those see test_reuse.py)."""
    now = SystemClock().now() + later
    return collect(
        workspace.settings.with_parts(lake=lake.Settings(keep_results_days=0)),
        workspace.database,
        workspace.releasing,
        keep_releases=keep_releases,
        keep_days=keep_days,
        now=now,
        dry_run=dry_run,
    )


def unreferenced(workspace: Workspace) -> set[str]:
    with workspace.database.reading() as connections:
        known = catalog.referenced_paths(connections.project)
    lake = workspace.settings.lake_path
    return {path.relative_to(lake).as_posix() for path in files_below(lake)} - known


def folders(workspace: Workspace) -> set[str]:
    return {path.name for path in workspace.settings.releases_path.iterdir()} - {"current"}


def names(workspace: Workspace) -> list[str]:
    with workspace.database.reading() as connections:
        return [one.name for one in releases.list_releases(connections.project, 100)]


def assert_whole(workspace: Workspace) -> None:
    assert examine(workspace, deep=True, by="test").findings == ()
    assert set(steps(bring_up_to_date(workspace)).values()) == {"skip"}


def test_old_outputs_and_releases_go_and_the_present_stays(project_anywhere: Path) -> None:
    project = project_anywhere
    for values in ((1, 2, 3), (1, 2, 4), (1, 2, 5)):
        run(project, values)
    with opened(project) as workspace:
        newest, *older = names(workspace)
        found = gc(workspace)
        assert found.releases == tuple(sorted(older))
        assert folders(workspace) == {newest} == set(names(workspace))
        # board shares its metrics.json between all three;
        # numbers wrote all three partitions in each run, since a changed setting redoes them all
        assert (found.snapshots, found.files) == (6, 10)
        assert_whole(workspace)
        assert gc(workspace) == Collected((), 0, 0, 0, (), ())


def test_what_was_replaced_a_moment_ago_stays_for_those_who_read_it(project: Path) -> None:
    run(project, (1,))
    run(project, (2,))
    with opened(project) as workspace:
        just_in_time = READER_TIME - timedelta(minutes=1)
        assert gc(workspace, later=just_in_time) == Collected((), 0, 0, 0, (), ())
        assert gc(workspace, keep_days=2).snapshots == 0  # the release is old enough, its outputs are not
        assert gc(workspace).snapshots == 3


def test_a_dry_run_says_the_same_and_takes_nothing(project: Path) -> None:
    run(project, (1,))
    run(project, (2,))
    with opened(project) as workspace:
        before = sorted(files_below(workspace.settings.home))
        said = gc(workspace, dry_run=True)
        after = sorted(files_below(workspace.settings.home))
        assert [path for path in before if path.suffix != ".sqlite-shm"] == [
            path for path in after if path.suffix != ".sqlite-shm"
        ]
        assert said.files == 3
        assert gc(workspace) == said


def test_a_file_beside_the_releases_stays_while_one_of_them_refers_to_it(project: Path) -> None:
    code = project / "tiny.py"
    text = code.read_text(encoding="utf-8")
    more = """    name = "odd" if int(ctx.inputs["total"].read_bytes("total")) % 2 else "even"
    ctx.write_bytes(f".shared/{name}.js", name.encode())
"""
    code.write_text(text + more, encoding="utf-8")
    for values in ((1, 2), (3, 3), (4, 4), (5, 5)):
        run(project, values)
    with opened(project) as workspace:
        beside = workspace.settings.releases_path / "shared"
        assert {path.name for path in beside.iterdir()} == {"odd.js", "even.js"}
        (beside / ".odd.js.1.2.draft").write_text("left behind", encoding="utf-8")
        with workspace.database.writing() as connections:
            token = leases.take(connections.project, leases.of_component("board"), identity.own(), 60).token
        assert gc(workspace, keep_releases=3).folders == (".odd.js.1.2.draft",)  # a release may just be being made
        with workspace.database.writing() as connections:
            leases.release(connections.project, leases.of_component("board"), token)
        assert gc(workspace, keep_releases=3).folders[-1] == "odd.js"
        assert {path.name for path in beside.iterdir()} == {"even.js"}
        gc(workspace)
        assert (beside / "even.js").read_text(encoding="utf-8") == "even"
        (beside / "even.js").unlink()  # laid out again from the lake by the next run
        bring_up_to_date(workspace)
        assert_whole(workspace)
        assert (beside / "even.js").read_text(encoding="utf-8") == "even"


def test_a_release_in_force_keeps_all_it_was_made_from(project: Path) -> None:
    for values in ((1, 2), (3, 4), (5, 6)):
        run(project, values)
    with opened(project) as workspace:
        _, middle, oldest = names(workspace)
        with workspace.database.writing() as connections:
            releases.make_current(connections.project, oldest)
        point_to_current(workspace)
        assert gc(workspace).releases == (middle,)
        assert current_name(workspace.settings.releases_path) == oldest
        _, verdicts = reproduce(workspace, oldest)
        assert [(one.component, one.outcome) for one in verdicts] == [
            ("numbers", "same"),
            ("total", "same"),
            ("board", "same"),
        ]


def test_a_partition_stays_while_any_kept_snapshot_shares_it(project: Path) -> None:
    tiny_project(project, (1, 2))
    with opened(project) as workspace:
        perform(workspace, Request(targets=("numbers",)))
        with workspace.database.writing() as connections:
            state.mark_dirty(connections.project, "numbers", Mark(reason="test", partitions=("n1",)))
        perform(workspace, Request(targets=("numbers",)))
        found = gc(workspace)
        assert (found.snapshots, found.files) == (1, 1)  # the earlier snapshot of numbers shared n0 with this one
        perform(workspace, Request(targets=("board",)))
        assert_whole(workspace)


def test_gc_beside_an_attempt_takes_nothing_it_writes_or_reads(project_anywhere: Path) -> None:
    project = project_anywhere
    run(project, (1, 2, 3))
    collected = []

    def watch(event: Event | Progress) -> None:
        if isinstance(event, Progress):  # numbers has just written a file that no row refers to yet
            with opened(project) as other:
                collected.append(gc(other).files)
                assert len(unreferenced(other)) == len(collected)

    path = project / "agent.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("[1, 2, 3]", "[7, 8, 9]"), encoding="utf-8")
    with opened(project) as workspace:
        assert bring_up_to_date(workspace, watchers=(watch,)).status == "COMPLETED"
        assert collected == [0, 0, 0]
        assert unreferenced(workspace) == set()
        assert_whole(workspace)


def test_outputs_replaced_while_a_lease_is_held_stay(project: Path) -> None:
    run(project, (1,))
    with opened(project) as workspace, workspace.database.writing() as connections:
        token = leases.take(connections.project, leases.of_component("total"), identity.own(), 86_400).token
    path = project / "agent.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("[1]", "[2]"), encoding="utf-8")
    with opened(project) as workspace:
        perform(workspace, Request(targets=("numbers",)))
        # Whoever holds the lease on total may be reading the numbers of before.
        assert gc(workspace).snapshots == 0
        with workspace.database.writing() as connections:
            leases.release(connections.project, leases.of_component("total"), token)
        bring_up_to_date(workspace)
        assert gc(workspace).snapshots == 3


def test_files_of_a_dead_attempt_go_and_those_of_a_held_lease_stay(project_anywhere: Path) -> None:
    project = project_anywhere
    run(project, (1,))
    with opened(project) as workspace:
        lake = workspace.lake
        with workspace.database.writing() as connections:
            token = leases.take(connections.project, leases.of_component("total"), identity.own(), 60).token
        abandoned = lake.path_of(lake.write_bytes("total", "total", b"dead", attempt=f"t{token - 1}"))
        at_work = lake.path_of(lake.write_bytes("total", "total", b"alive", attempt=f"t{token}"))
        assert gc(workspace, later=timedelta(0)).files == 1
        assert (abandoned.exists(), at_work.exists()) == (False, True)
        with workspace.database.writing() as connections:
            leases.release(connections.project, leases.of_component("total"), token)
        assert gc(workspace, later=timedelta(0)).files == 1
        assert unreferenced(workspace) == set()


def test_a_crash_between_rows_and_files_is_made_good_by_the_next_gc(project: Path) -> None:
    run(project, (1,))
    run(project, (2,))
    with opened(project) as workspace:
        now = SystemClock().now() + LATER
        with workspace.database.writing() as connections:
            doomed = garbage.find_doomed(
                connections.project,
                keep_releases=1,
                releases_before=now,
                snapshots_before=now,
                results_before=now,
                slack=READER_TIME,
                removes=True,
            )
            garbage.remove(connections.project, doomed)
        assert len(unreferenced(workspace)) == 3
        assert_whole(workspace)
        found = gc(workspace)
        assert (found.snapshots, found.files, len(found.folders)) == (0, 3, 1)
        assert unreferenced(workspace) == set()


def test_drafts_go_when_old_and_other_peoples_files_never(project: Path) -> None:
    run(project, (1,))
    with opened(project) as workspace:
        root = workspace.settings.releases_path
        young, old = root / ".2020-01-01-abc.1.draft", root / ".2020-01-01-abc.2.draft"
        for folder in (young, old):
            folder.mkdir()
        (workspace.settings.lake_path / "notes.txt").write_text("mine", encoding="utf-8")
        two_days_ago = datetime.now(UTC).timestamp() - 2 * 86_400
        os.utime(old, (two_days_ago, two_days_ago))
        found = gc(workspace, later=timedelta(0))
        assert (found.folders, found.unknown) == ((old.name,), ("notes.txt",))
        assert young.exists()
        assert (workspace.settings.lake_path / "notes.txt").exists()


def test_two_at_once_do_not_get_in_each_others_way(project: Path) -> None:
    run(project, (1,))
    with opened(project) as workspace:
        old = [f"2020-01-01-{number:012x}" for number in range(300)]  # of releases whose rows are gone
        for name in old:
            (workspace.settings.releases_path / name).mkdir()
        together = threading.Barrier(2)

        def collect_too(_number: int) -> set[str]:
            together.wait(60)
            return set(gc(workspace).folders)

        with ThreadPoolExecutor(2) as threads:
            assert set.union(*threads.map(collect_too, range(2))) == set(old)
        assert len(folders(workspace)) == 1
        assert_whole(workspace)


def test_an_output_replaced_and_taken_while_a_run_looks_is_no_fault(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project, (1, 2))
    load, others = catalog.load_snapshot, [(3, 4)]

    def load_late(conn: Any, snapshot_id: int) -> Any:
        """Another one goes on, just before a run reads the output that it is to decide from."""
        if others:
            count_anew(project, others.pop())
            with opened(project) as other:
                assert gc(other).snapshots > 0
        return load(conn, snapshot_id)

    count_anew(project, (1, 3))
    with opened(project) as workspace:
        monkeypatch.setattr(catalog, "load_snapshot", load_late)
        report = bring_up_to_date(workspace)
        assert report.status == "COMPLETED", report.error
        assert others == []
        monkeypatch.undo()
        assert_whole(workspace)


def test_an_output_whose_rows_are_gone_for_good_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(project, (1, 2))
    count_anew(project, (1, 3))

    def gone(_conn: Any, snapshot_id: int) -> Any:
        raise NotFound("there is no snapshot", where=str(snapshot_id), fix="none")

    with opened(project) as workspace:
        monkeypatch.setattr(catalog, "load_snapshot", gone)
        with pytest.raises(NotFound):
            bring_up_to_date(workspace)


def count_anew(project: Path, values: tuple[int, ...]) -> None:
    """The numbers alone, computed anew: what reads them has not run yet."""
    toml = project / "agent.toml"
    text = toml.read_text(encoding="utf-8")
    toml.write_text(text[: text.index("values =")] + f"values = {list(values)}\n", encoding="utf-8")
    with opened(project) as workspace:
        report = perform(workspace, Request(targets=("numbers",)))
        assert report.status == "COMPLETED", report.error


def test_many_appends_leave_one_file_a_partition_and_the_version_of_one_load(tmp_path: Path) -> None:
    """docs/decisions/0004-no-compaction.md: a hundred appends with EXAMPLES=100."""
    appends = examples(30)
    once, often = tmp_path / "once", tmp_path / "often"
    for folder in (once, often):
        folder.mkdir()
        (folder / "agent.toml").write_text(SETTINGS.replace('modules = ["own.py"]', ""), encoding="utf-8")
    write_bars(once, "ABC", 40)
    whole = (once / "data" / "ABC.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    with open_workspace(once) as workspace:
        expected = perform(workspace, Request(targets=("ticks",))).components[-1].version
    (often / "data").mkdir()
    with open_workspace(often) as workspace:
        for lines in range(len(whole) - appends + 1, len(whole) + 1):
            (often / "data" / "ABC.csv").write_text("".join(whole[:lines]), encoding="utf-8")
            report = perform(workspace, Request(targets=("ticks",)))
        assert report.components[-1].version == expected
        found = gc(workspace)
        assert found.snapshots >= appends - 1
        files = [path.name.partition(".")[0] for path in files_below(workspace.settings.lake_path / "ticks")]
        assert sorted(name for name in files if name) == ["2024-01", "2024-02"]
        assert unreferenced(workspace) == set()


def test_a_lake_of_another_database_is_left_alone(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project, (1,))
    run(project, (2,))
    other, empty = tiny_project(tmp_path / "other"), tiny_project(tmp_path / "empty")
    for values in ((1,), (2,), (3,)):
        run(other, values)
    with opened(empty):
        pass
    for home, database in ((project, other), (other, project), (project, empty)):
        monkeypatch.setenv("AGENT_HOME", str(home / ".tidemill"))
        monkeypatch.setenv("AGENT_DATABASE_URL", f"sqlite:///{database / '.tidemill' / 'state.sqlite'}")
        with opened(project) as workspace, pytest.raises(Conflict, match="do not belong together"):
            gc(workspace)
