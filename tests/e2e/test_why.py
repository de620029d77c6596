"""Issue 3, "Done when" 2 and 3, through the real command line: what runs after which change, and what explain says."""

from __future__ import annotations

import getpass
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.served import environment
from tests.small import MARKETS, small_project, write_bars

ALL = ["markets", "ticks", "features", "model", "inference", "backtest", "publish"]


def agent(folder: Path, *arguments: str, code: int = 0) -> str:
    """`agent …` in `folder` as a process of its own; its output."""
    done = subprocess.run(
        [sys.executable, "-m", "agent", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def run(folder: Path) -> dict[str, Any]:
    """One run; component -> what became of it, and its number under "run"."""
    report = json.loads(agent(folder, "run", "--json"))
    found = {one["component"]: one for one in report["components"]}
    return {**found, "run": report["run_id"]}


def computed(report: dict[str, Any]) -> list[str]:
    return [name for name in ALL if report[name]["step"] == "compute"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = small_project(tmp_path_factory.mktemp("why"))
    assert computed(run(folder)) == ALL
    return folder


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def current_file(folder: Path, component: str, key: str) -> Path:
    """The file behind a partition of the present output."""
    with closing(sqlite3.connect(folder / ".tidemill" / "state.sqlite")) as connection:
        (path,) = connection.execute(
            "SELECT path FROM partitions JOIN orchestrator_state ON output_snapshot_id = snapshot_id "
            "WHERE component = ? AND key = ?",
            [component, key],
        ).fetchone()
    return folder / ".tidemill" / "lake" / str(path)


def test_what_runs_after_which_change_and_why(project: Path) -> None:
    """One story, since each step needs the state that the one before left."""
    # A comment: nothing.
    replace(project / "own.py", "WINDOW = 12", "WINDOW = 12  # bars, half a day")
    assert computed(run(project)) == []
    assert agent(project, "explain", "publish").startswith("publish is up to date")

    # A window: features and what lies downstream; explain names the line before and after the run.
    replace(project / "own.py", "WINDOW = 12  # bars, half a day", "WINDOW = 24")
    assert agent(project, "explain", "backtest").splitlines() == [
        "features runs because WINDOW in own.py (line 12) changed.",
        "model runs if features comes out different.",
        "backtest runs if features or model comes out different.",
    ]
    report = run(project)
    assert computed(report) == ["features", "model", "inference", "backtest", "publish"]
    told = agent(project, "explain", "model", "--run", str(report["run"])).splitlines()
    assert told[0] == "features ran because WINDOW in own.py (line 12) changed."
    assert told[1].startswith("model ran because features changed (version ")
    assert told[2].startswith("model came out new: ")

    # The fee: backtest and publish alone.
    replace(project / "agent.toml", "fee_bps = 5.0", "fee_bps = 8.0")
    assert agent(project, "explain", "publish").splitlines() == [
        "backtest runs because the setting fee_bps changed from 5.0 to 8.0.",
        "publish runs if backtest comes out different.",
    ]
    assert computed(run(project)) == ["backtest", "publish"]


def test_an_appended_day_reaches_what_it_must_and_the_model_by_its_policy(project: Path) -> None:
    replace(project / "agent.toml", "[model]\n", '[model]\nretrain = "rows"\nretrain_rows = 5000\n')
    assert "model is up to date" in agent(project, "explain", "model")  # a policy says when, not what
    replace(project / "agent.toml", "[model]\n", "[model]\ncost_bps = 11.0\n")
    only = "model runs because the setting cost_bps changed from 10.0 to 11.0.\n"
    assert agent(project, "explain", "model") == only  # a rule that changed as well is no cause
    replace(project / "agent.toml", "cost_bps = 11.0\n", "")
    run(project)
    for market in MARKETS:
        write_bars(project, market, 76)
    assert "unless it waits until 5000 new rows (0 so far)" in agent(project, "plan")
    told = agent(project, "explain", "features").splitlines()
    assert "ticks runs because the source files has new data (data/ABC.csv changed, data/XYZ.csv changed)." in told
    agent(project, "run", "--target", "ticks")
    plan = {step["component"]: step for step in json.loads(agent(project, "plan", "--json"))}
    assert plan["features"]["changed"]["ticks"] == ["2024-03"]  # of 2024-01, -02 and -03
    before = current_file(project, "features", "features/2024-01")
    report = run(project)
    assert computed(report) == ["features", "inference", "backtest", "publish"]
    assert report["model"]["step"] == "defer"
    assert current_file(project, "features", "features/2024-01") == before
    assert agent(project, "explain", "model").splitlines()[-1] == "model is deferred until 5000 new rows (48 so far)."
    told = agent(project, "explain", "model", "--run", str(report["run"])).splitlines()
    assert told[-2].startswith(
        "model was stale because features changed (version "
    )  # what it saw, not what was foreseen
    assert told[-1] == "model was deferred until 5000 new rows (48 so far)."


def test_the_first_release_is_recomputed_from_what_it_recorded(project: Path) -> None:
    """After all of the above: the data moved on, and a line of the own feature is another one."""
    first = json.loads(agent(project, "state", "--json"))["releases"][-1]["name"]
    found = json.loads(agent(project, "reproduce", first, "--json", code=1))
    outcomes = {one["component"]: one["outcome"] for one in found["components"]}
    assert outcomes == {
        "markets": "taken as recorded",
        "ticks": "taken as recorded",
        "features": "different",
        "model": "same",
        "inference": "same",
        "backtest": "same",
        "publish": "same",
    }
    changed = {one["component"]: one["code_changes"] for one in found["components"] if not one["is_code_same"]}
    assert [name.rpartition(":")[2] for name in changed.pop("features")] == ["WINDOW"]
    assert changed == {}


@pytest.mark.parametrize("hidden", [False, True])
def test_an_overwritten_byte_is_found_explained_repaired_and_goes_no_further(project: Path, hidden: bool) -> None:
    """`hidden`: size and time of change look right, so that only `agent checks --deep` can tell."""
    run(project)
    path = current_file(project, "features", "bars/2024-02")
    before, times = path.read_bytes(), path.stat()
    assert b"Polars" in before  # the writer's name: no value of the table
    path.write_bytes(before.replace(b"Polars", b"Polarz"))
    if hidden:
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert json.loads(agent(project, "checks", "--json"))["findings"] == []
    found = json.loads(agent(project, "checks", "--json", *(["--deep"] if hidden else []), code=1))["findings"]
    found = [one for one in found if "earlier output" not in one["mend"]]  # the altered file of the round before
    assert [(one["component"], one["key"]) for one in found] == [("features", "bars/2024-02")]
    assert "`agent run` computes it anew" in found[0]["mend"]
    told = agent(project, "explain", "publish").splitlines()[0]
    expected = (
        f"features runs because its partition bars/2024-02 was marked by a person ({getpass.getuser()}: agent checks "
        "--deep found its file altered)."
        if hidden
        else "features runs because its file bars/2024-02 is no longer what was written."
    )
    assert told == expected
    report = run(project)
    assert computed(report) == ["features"]
    assert report["features"]["is_cut_off"]
    assert current_file(project, "features", "bars/2024-02").read_bytes() == before
    assert "all is well" in agent(project, "checks")
