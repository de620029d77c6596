"""The main job as a stranger runs it: real processes, the embedded default, the shipped sample, seed 004's SQL."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.processes import Nursery
from tests.served import copy_home, environment
from tests.terminal import Terminal

SEED_QUERY = """
SELECT component, last_run_at, is_dirty, run_count, failure_count
FROM orchestrator_state
ORDER BY component;
"""
COMMAND = ("python", "-m", "agent.orchestrator")
SEVEN = ["backtest", "features", "inference", "markets", "model", "publish", "ticks"]
MODULES_LEFT_ALONE = ("polars", "pandas", "sklearn", "numpy", "pyarrow", "rich", "alembic", "multiprocessing")


def orchestrator(
    folder: Path, *arguments: str, env: dict[str, str] | None = None, flags: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """`python -m agent.orchestrator` in `folder` as a process from its very start."""
    return subprocess.run(
        [sys.executable, *flags, "-m", "agent.orchestrator", *arguments],
        cwd=folder,
        env=environment(**(env or {})),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def rows(folder: Path) -> list[tuple[object, ...]]:
    """What the seed's query shows."""
    with closing(sqlite3.connect(folder / ".tidemill" / "state.sqlite")) as connection:
        return connection.execute(SEED_QUERY).fetchall()


def versions(folder: Path) -> dict[str, str]:
    """Component -> version of its present output."""
    with closing(sqlite3.connect(folder / ".tidemill" / "state.sqlite")) as connection:
        return dict(connection.execute("SELECT component, output_version FROM orchestrator_state").fetchall())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the pipeline has run once, on the embedded default."""
    return copy_home(tmp_path_factory, tmp_path_factory.mktemp("main-job"))


def test_seeds_query_shows_seven_clean_components(project: Path) -> None:
    found = rows(project)
    assert [row[0] for row in found] == SEVEN
    assert all(row[1] is not None for row in found)
    assert [row[2:] for row in found] == [(0, 1, 0)] * 7


def test_a_second_run_does_nothing_and_loads_nothing_heavy(project: Path) -> None:
    done = orchestrator(project, flags=("-X", "importtime"))
    assert done.returncode == 0
    assert "Nothing to do: all 7 components are up to date" in done.stdout
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "sqlalchemy" in loaded
    assert not loaded & set(MODULES_LEFT_ALONE)
    assert [row[2:] for row in rows(project)] == [(0, 1, 0)] * 7


def test_the_release_is_whole_and_current(project: Path) -> None:
    current = project / ".tidemill" / "releases" / "current"
    assert {path.name for path in current.iterdir()} >= {
        "manifest.json",
        "predictions.parquet",
        "predictions.csv",
        "metrics.json",
        "model_card.md",
        "report.html",
    }
    with closing(sqlite3.connect(project / ".tidemill" / "state.sqlite")) as connection:
        names = connection.execute("SELECT name FROM releases WHERE is_current").fetchall()
        markets = connection.execute("SELECT count(*) FROM markets").fetchone()
        predictions = connection.execute("SELECT count(*), min(probability), max(probability) FROM predictions")
        count, low, high = predictions.fetchone()
    assert [name for (name,) in names] == [current.readlink().name]
    assert markets == (5,)
    assert count == 5
    assert 0 <= low <= high <= 1


def test_json_output_is_one_object(project: Path, heavy_nursery: Nursery) -> None:
    report = json.loads(Terminal(project, heavy_nursery).run(*COMMAND, "--json"))
    assert report["status"] == "COMPLETED"
    assert {one["step"] for one in report["components"]} == {"skip"}


def test_unknown_component_is_a_usage_error(project: Path, heavy_nursery: Nursery) -> None:
    done = Terminal(project, heavy_nursery).type(*COMMAND, "--target", "featurs")
    assert done.returncode == 2
    assert "there is no component 'featurs'" in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_setting_names_file_and_neighbour(tmp_path: Path, terminal: Terminal) -> None:
    (tmp_path / "agent.toml").write_text("[features]\nintervall = 3600\n[backtst]\nfee_bps = 1\n", encoding="utf-8")
    done = terminal.type(*COMMAND)
    assert done.returncode == 2
    assert "did you mean 'interval'?" in done.stderr
    assert "did you mean [backtest]?" in done.stderr
    assert str(tmp_path / "agent.toml") in done.stderr
    assert not (tmp_path / ".tidemill" / "state.sqlite").exists()


def test_a_mark_recomputes_and_early_cutoff_stops_there(tmp_path: Path, project: Path, terminal: Terminal) -> None:
    import shutil

    shutil.copytree(project / ".tidemill", tmp_path / ".tidemill", symlinks=True, copy_function=shutil.copy2)
    before = versions(tmp_path)
    with closing(sqlite3.connect(tmp_path / ".tidemill" / "state.sqlite")) as connection, connection:
        connection.execute("UPDATE orchestrator_state SET is_dirty = true WHERE component = 'features'")
    report = json.loads(terminal.run(*COMMAND, "--json"))
    steps = {one["component"]: one["step"] for one in report["components"]}
    assert [name for name, step in steps.items() if step == "compute"] == ["features"]
    assert versions(tmp_path) == before
    counts = {row[0]: row[3] for row in rows(tmp_path)}
    assert counts == dict.fromkeys(SEVEN, 1) | {"features": 2}


def test_from_scratch_on_postgresql_gives_the_same(
    project: Path, tmp_path: Path, postgres_url: str, heavy_nursery: Nursery
) -> None:
    """The same versions, though on one thread; the seed's statements to the letter; nothing to do the second time."""
    env = {"AGENT_DATABASE_URL": postgres_url, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    done = orchestrator(tmp_path, "--mode", "once", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Release " in done.stdout
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        found = connection.execute(SEED_QUERY).fetchall()
        assert [row[0] for row in found] == SEVEN
        assert [row[2:] for row in found] == [(False, 1, 0)] * 7
        recorded = connection.execute("SELECT component, output_version FROM orchestrator_state").fetchall()
        assert dict(recorded) == versions(project)
        connection.execute("UPDATE orchestrator_state SET is_dirty = true WHERE component = 'features'")
    terminal = Terminal(tmp_path, heavy_nursery, env)
    report = json.loads(terminal.run(*COMMAND, "--json"))
    assert [one["component"] for one in report["components"] if one["step"] == "compute"] == ["features"]
    assert "Nothing to do" in terminal.run(*COMMAND)
