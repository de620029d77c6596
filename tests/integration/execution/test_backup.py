"""Backup and restore: consistent beside a run, refused when damaged, between both kinds of database."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from agent import identity
from agent.core.events import Event, Progress
from agent.errors import Busy, Conflict, UsageError
from agent.execution.upkeep.backup import DamagedBackup, restore_backup, write_backup
from agent.execution.upkeep.gc import collect
from agent.execution.upkeep.integrity import examine
from agent.execution.workspace import Workspace, read_settings
from agent.store import collecting, dump, leases, tables
from agent.store.control import runs
from agent.store.database.engine import consistent
from pipelines.errors import PipelineError
from tests.tiny import bring_up_to_date, opened, run, steps, tiny_project

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tiny_project(tmp_path / "project")
    run(folder)
    run(folder, (4, 5))
    return folder


@pytest.fixture
def backup(project: Path, tmp_path: Path) -> Path:
    target = tmp_path / "backup.tar"
    with opened(project) as workspace:
        done = write_backup(workspace, target, NOW)
    assert (done.files, done.tables) == (
        6 + 4,
        len(tables.in_one_schema().tables) - 1,
    )  # a lake's identity is its database's alone
    return target


def here(workspace: Workspace) -> Workspace:
    """The same with its code in this process, as a command has it: the contracts of tables are checked by it."""
    _, project = read_settings(workspace.base)
    host: Any = SimpleNamespace(facts=workspace.facts, project=project)
    return replace(workspace, host=host)


def content(folder: Path) -> dict[str, list[dict[str, Any]]]:
    with opened(folder) as workspace, consistent(workspace.database.project) as conn:
        return {name: list(dump.rows_of(conn, name)) for name in dump.table_names(conn)}


def assert_restored(folder: Path, expected: dict[str, list[dict[str, Any]]]) -> None:
    found = content(folder)
    for name, wanted in expected.items():
        assert found[name] == wanted, name
    with opened(folder) as workspace:
        assert examine(here(workspace), deep=True, by="test").findings == ()
        assert examine(here(workspace), deep=False, by="test").hashed == 0  # times of change came back too
        assert set(steps(bring_up_to_date(workspace)).values()) == {"skip"}


def test_what_was_saved_comes_back_and_nothing_is_recomputed(project: Path, backup: Path, tmp_path: Path) -> None:
    other = tiny_project(tmp_path / "other", (4, 5))
    done = restore_backup(backup, other)
    assert done.files == 10
    assert_restored(other, content(project))
    run(other, (6,))  # numbers go on where they were: nothing is given twice
    with opened(other) as workspace, workspace.database.reading() as connections:
        assert [one.id for one in runs.list_runs(connections.control)] == [4, 3, 2, 1]


@pytest.mark.postgres
def test_from_sqlite_to_postgres_and_back(project: Path, backup: Path, postgres_url: str, tmp_path: Path) -> None:
    expected = content(project)
    server = tiny_project(tmp_path / "server", (4, 5), url=postgres_url)
    restore_backup(backup, server)
    assert_restored(server, expected)
    run(server, (6,))
    with opened(server) as workspace:
        write_backup(workspace, tmp_path / "second.tar", NOW)
    expected = content(server)
    back = tiny_project(tmp_path / "back", (6,))
    restore_backup(tmp_path / "second.tar", back)
    assert_restored(back, expected)


def test_a_backup_made_in_the_middle_of_a_run_is_whole(project: Path, tmp_path: Path) -> None:
    target, other = tmp_path / "middle.tar", tiny_project(tmp_path / "other", (7, 8))

    def watch(event: Event | Progress) -> None:
        if isinstance(event, Progress) and not target.exists():
            with opened(project) as beside:
                write_backup(beside, target, NOW)

    tiny_project(project, (7, 8))
    with opened(project) as workspace:
        assert bring_up_to_date(workspace, watchers=(watch,)).status == "COMPLETED"
    restore_backup(target, other)
    with opened(other) as workspace:
        with workspace.database.reading() as connections:
            (left,) = runs.list_runs(connections.control, runs.Wanted(("RUNNING",)))
        report = bring_up_to_date(workspace)
        assert steps(report) == {"numbers": "compute", "total": "compute", "board": "compute"}
        with workspace.database.reading() as connections:
            assert runs.load_run(connections.control, left.id).status == "FAILED"
        assert examine(here(workspace), deep=True, by="test").findings == ()


@pytest.mark.parametrize("where", [0.2, 0.5, 0.95])
def test_a_changed_byte_is_refused_and_nothing_is_changed(backup: Path, tmp_path: Path, where: float) -> None:
    data = bytearray(backup.read_bytes())
    with tarfile.open(backup) as tar:
        members = [one for one in tar if one.size > 0]
    member = members[int(where * len(members))]
    data[member.offset_data] ^= 1
    backup.write_bytes(data)
    other = tiny_project(tmp_path / "other")
    with pytest.raises(DamagedBackup, match="the backup is refused"):
        restore_backup(backup, other)
    assert list((other / ".tidemill").iterdir()) == []


def test_half_a_backup_and_no_backup_are_refused(backup: Path, tmp_path: Path) -> None:
    other = tiny_project(tmp_path / "other")
    backup.write_bytes(backup.read_bytes()[: backup.stat().st_size // 2 // 512 * 512])
    with pytest.raises(DamagedBackup, match="the backup is refused"):
        restore_backup(backup, other)
    (tmp_path / "text.tar").write_text("no tar", encoding="utf-8")
    with pytest.raises(DamagedBackup, match="cannot be read"):
        restore_backup(tmp_path / "text.tar", other)
    with pytest.raises(UsageError, match="no such file"):
        restore_backup(tmp_path / "nowhere.tar", other)


def test_what_is_there_is_replaced_only_when_told(project: Path, backup: Path) -> None:
    expected = content(project)
    run(project, (9, 9, 9))
    with pytest.raises(Conflict, match="there is a state here already"):
        restore_backup(backup, project)
    with opened(project) as workspace, consistent(workspace.database.project) as conn:
        before = {row["component"]: row["lease_token"] for row in dump.rows_of(conn, "orchestrator_state")}
    restore_backup(backup, project, force=True)
    found = content(project)
    tokens = {row["component"]: row["lease_token"] for row in found["orchestrator_state"]}
    assert tokens == before  # they never go back: a file's name must not come twice
    assert found["partitions"] == expected["partitions"]
    tiny_project(project, (4, 5))
    with opened(project) as workspace:
        assert set(steps(bring_up_to_date(workspace)).values()) == {"skip"}
        assert (
            collect(
                workspace.settings, workspace.database, workspace.releasing, keep_releases=5, keep_days=9, now=NOW
            ).files
            == 5
        )  # those of (9, 9, 9)


def test_a_held_lease_is_not_pulled_from_under_its_holder(project: Path, backup: Path) -> None:
    with opened(project) as workspace, workspace.database.writing() as connections:
        leases.take(connections.project, leases.of_component("total"), identity.own(), 60)
    with pytest.raises(Busy, match="component total is being run by"):
        restore_backup(backup, project, force=True)


def test_nor_is_that_of_a_collector_whose_tokens_go_on(project: Path, tmp_path: Path) -> None:
    target, name = tmp_path / "collected.tar", leases.of_collector("polymarket")
    with opened(project) as workspace:
        with workspace.database.writing() as connections:
            collecting.ensure_collector(connections.project, "polymarket")
            lease = leases.take(connections.project, name, identity.own(), 60)
            leases.release(connections.project, name, lease.token)
        write_backup(workspace, target, NOW)
        with workspace.database.writing() as connections:
            lease = leases.take(connections.project, name, identity.own(), 60)
        with pytest.raises(Busy, match="source polymarket is being collected by"):
            restore_backup(target, project, force=True)
        with workspace.database.writing() as connections:
            leases.release(connections.project, name, lease.token)
    restore_backup(target, project, force=True)
    with opened(project) as workspace, workspace.database.reading() as connections:
        assert collecting.load_collectors(connections.project)["polymarket"]["lease_token"] == lease.token == 2


def test_a_lake_that_is_not_whole_is_not_saved(project: Path, tmp_path: Path) -> None:
    with opened(project) as workspace:
        (path,) = (workspace.settings.lake_path / "total").glob("total.*.t2")
        data = path.read_bytes()
        path.write_bytes(b"99")
        with pytest.raises(PipelineError, match="altered since it was written"):
            write_backup(workspace, tmp_path / "bad.tar", NOW)
        path.unlink()
        with pytest.raises(PipelineError, match="is missing"):
            write_backup(workspace, tmp_path / "bad.tar", NOW)
        path.write_bytes(data)
        write_backup(workspace, tmp_path / "good.tar", NOW)
        with pytest.raises(UsageError, match="file of that name already"):
            write_backup(workspace, tmp_path / "good.tar", NOW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good.tar", "project"]


def test_rows_survive_json_with_their_types(sqlite_url: str) -> None:
    from agent.store.database.engine import open_engine, writing

    engine = open_engine(sqlite_url)
    with writing(engine) as conn:
        conn.execute(
            sa.insert(tables.orchestrator_state).values(
                component="x",
                last_run_at=NOW,
                marked_partitions=[],
                settings={"a": None, "b": [1.5, "é"]},
                code_files=None,
            )
        )
    with consistent(engine) as conn:
        before = list(dump.rows_of(conn, "orchestrator_state"))
    assert before[0]["last_run_at"] == "2026-01-31T12:00:00+00:00"
    with writing(engine) as conn:
        dump.replace_all(conn, {"orchestrator_state": before})
        assert list(dump.rows_of(conn, "orchestrator_state")) == before
        nulls = sa.text("SELECT count(*) FROM orchestrator_state WHERE code_files IS NULL AND marked_partitions = '[]'")
        assert conn.scalar(nulls) == 1
    engine.dispose()
