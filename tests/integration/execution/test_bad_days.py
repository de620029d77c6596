"""Disk full, lake that cannot be written, database gone, state broken by hand, files deleted: made to happen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from agent.clock import AsOfClock
from agent.execution.upkeep.tidy import Upkeep
from agent.execution.workspace import open_workspace
from agent.runtime.around import Ended
from agent.store.control import runs
from tests.torture.world import Nursery, World


@pytest.fixture
def world(tmp_path: Path, sqlite_url: str, nursery: Nursery) -> Iterator[World]:
    made = World(tmp_path / "project", sqlite_url, nursery)
    yield made
    made.kill_all()


def slow_totals(world: World) -> None:
    while not world.rows("SELECT 1 FROM attempts WHERE component = 'totals' AND status = 'running'"):
        assert not world.started[-1].is_over, world.started[-1].said()


def test_no_room_for_a_file(world: World) -> None:
    world.run()
    before = world.versions()
    (world.folder / "data" / "day009.txt").write_text("1\n" * 2_000_000)
    process = world.start("orchestrator", "--target", "bulletin", env={"TIDE_FILE_BYTES": "3000000"})
    assert process.wait() == 1
    assert "cannot write: File too large" in process.said()
    assert "free disk space" in process.said()
    assert "Traceback" not in process.said()
    assert world.versions() == before
    world.run()
    world.require_sound()


def test_a_lake_that_cannot_be_written(world: World) -> None:
    home = world.folder / ".tidemill"
    home.mkdir()
    (home / "lake").write_text("in the way")
    process = world.run(code=1)
    assert "cannot write: " in process.said()
    assert str(home / "lake") in process.said()
    (home / "lake").unlink()
    world.run()
    world.require_sound()


def test_an_input_deleted_while_it_is_needed(world: World) -> None:
    world.run()
    world.write(1, [9])
    world.flag("slow")
    process = world.start_run()
    slow_totals(world)
    for path in (world.folder / ".tidemill/lake/sums").iterdir():
        path.unlink()
    world.flag("slow", on=False)
    assert process.wait() == 1
    assert "is missing" in process.said()
    assert "`agent run` makes it again" in process.said()
    world.run()
    world.require_sound()


def test_a_database_taken_away_in_the_middle(world: World) -> None:
    database = Path(world.url.removeprefix("sqlite:///"))
    world.lease_seconds = 1
    world.settings()
    world.flag("slow")
    process = world.start_run()
    slow_totals(world)
    held = world.folder / "held"
    held.mkdir()
    files = [path for path in database.parent.iterdir() if path.name.startswith(database.name)]
    for path in files:
        path.rename(held / path.name)
    world.flag("slow", on=False)
    assert process.wait() == 2, process.said()
    assert "the database file was deleted or replaced while this process had it open" in process.said()
    assert "Traceback" not in process.said(), process.said()
    for path in database.parent.iterdir():
        if path.name.startswith(database.name):
            path.unlink()
    for path in held.iterdir():
        path.rename(database.parent / path.name)
    world.run()
    world.require_sound()


@pytest.mark.parametrize("column", ["input_versions", "code_files", "libraries", "marked_partitions"])
def test_a_state_broken_by_hand_is_recomputed(world: World, column: str) -> None:
    world.run()
    with world.connected(write=True) as conn:
        conn.execute(sa.text(f"UPDATE orchestrator_state SET {column} = '{{broken' WHERE component = 'sums'"))
    process = world.run()
    assert f"{column} in its row of orchestrator_state cannot be read" in process.said()
    assert [e["payload"]["component"] for e in world.history() if e["payload"].get("phase") == "cut off"] == ["sums"]
    world.require_sound()


def test_a_dead_holder_is_taken_over_whatever_the_clock_did(world: World) -> None:
    """A clock that was wrong by ten years when the lease was taken: the holder's death counts, not the time."""
    process = world.start_run(fault={"point": "attempt.computed", "do": "kill"})
    process.wait()
    with world.connected(write=True) as conn:
        conn.execute(sa.text("UPDATE orchestrator_state SET lease_expires_at = '2096-01-01 00:00:00.000000'"))
        conn.execute(sa.text("UPDATE runs SET lease_expires_at = '2096-01-01 00:00:00.000000'"))
    world.run()
    world.require_sound()


def test_a_row_refused_by_the_database_is_the_components_failure(world: World) -> None:
    """What a component projects is refused: recorded as its failure, and nothing is left running."""
    world.run()
    with world.connected(write=True) as conn:
        conn.execute(
            sa.text(
                "CREATE TRIGGER refuse BEFORE INSERT ON snapshots WHEN NEW.component = 'totals' "
                "BEGIN SELECT RAISE(ABORT, 'refused by a trigger'); END"
            )
        )
    world.write(1, [9])
    process = world.run(code=1)
    assert "refused by a trigger" in process.said()
    assert world.attempts("running") == 0
    with world.connected(write=True) as conn:
        conn.execute(sa.text("DROP TRIGGER refuse"))
    world.run()
    world.require_sound()


def test_rows_of_the_catalog_deleted_by_hand(world: World) -> None:
    world.run()
    with world.connected(write=True) as conn:
        conn.execute(sa.text("DELETE FROM snapshots WHERE component = 'sums'"))
    process = world.start_run()
    assert process.wait() in (0, 1, 2), process.said()
    assert "Traceback" not in process.said()


def test_old_runs_and_outputs_are_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.settings("[retention]\nkeep_days = 1\nkeep_runs = 2\nkeep_output_days = 0\nkeep_releases = 1\n")
    for number in range(4):
        world.write(1, [number])
        world.run()
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "torture" / "plugins"))
    with open_workspace(world.folder) as workspace:
        now = datetime.now(UTC)
        with workspace.database.reading() as connections:
            run = runs.load_run(connections.control, 4)
        ended = Ended(run, workspace.settings, workspace.database, workspace.releasing)
        Upkeep(AsOfClock(now))(ended)
        assert len(world.rows("SELECT id FROM runs")) == 4
        Upkeep(AsOfClock(now + timedelta(days=2)))(ended)
        assert [row["id"] for row in world.rows("SELECT id FROM runs ORDER BY id")] == [3, 4]
        assert {row["run_id"] for row in world.rows("SELECT run_id FROM events UNION SELECT run_id FROM attempts")} == {
            3,
            4,
        }
    assert len(world.rows("SELECT name FROM releases")) == 1
    assert json.loads((world.folder / ".tidemill/releases/current/metrics.json").read_text()) == {"total": 12}
