"""Issue 3, "Done when" 2 and 3, through the real command line: what runs after which change, and what explain says.

Each command is a process of its own, forked by the nursery: forty of them would spend most of their time on imports.
"""

from __future__ import annotations

import getpass
import json
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Nursery
from tests.small import MARKETS, small_project, write_bars
from tests.terminal import Terminal

ALL = ["markets", "ticks", "features", "model", "inference", "backtest", "publish"]


@dataclass
class Project:
    """A small project, and a terminal in its folder."""

    folder: Path
    terminal: Terminal

    def agent(self, *arguments: str, code: int = 0) -> str:
        """`agent …` as a process of its own; its output."""
        return self.terminal.run("agent", *arguments, code=code)

    def run(self) -> dict[str, Any]:
        """One run; component -> what became of it, and its number under "run"."""
        report = json.loads(self.agent("run", "--json"))
        return {**{one["component"]: one for one in report["components"]}, "run": report["run_id"]}

    def replace(self, name: str, old: str, new: str) -> None:
        """Edit a file."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def current_file(self, component: str, key: str) -> Path:
        """The file behind a partition of the present output."""
        with closing(sqlite3.connect(self.folder / ".tidemill" / "state.sqlite")) as connection:
            (path,) = connection.execute(
                "SELECT path FROM partitions WHERE replaced_by IS NULL AND component = ? AND key = ?",
                [component, key],
            ).fetchone()
        return self.folder / ".tidemill" / "lake" / str(path)


def computed(report: dict[str, Any]) -> list[str]:
    return [name for name in ALL if report[name]["step"] == "compute"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, heavy_nursery: Nursery) -> Project:
    folder = small_project(tmp_path_factory.mktemp("why"))
    made = Project(folder, Terminal(folder, heavy_nursery))
    assert computed(made.run()) == ALL
    return made


def test_what_runs_after_which_change_and_why(project: Project) -> None:
    """One story, since each step needs the state that the one before left, in whichever xdist worker."""
    _edits_reach_what_they_must(project)
    _an_appended_day_reaches_what_it_must_and_the_model_by_its_policy(project)
    _the_first_release_is_recomputed_from_what_it_recorded(project)


def _edits_reach_what_they_must(project: Project) -> None:
    # A comment: nothing.
    project.replace("own.py", "WINDOW = 12", "WINDOW = 12  # bars, half a day")
    assert computed(project.run()) == []
    assert project.agent("explain", "publish").startswith("publish is up to date")

    # A window: features and what lies downstream; explain names the line before and after the run.
    project.replace("own.py", "WINDOW = 12  # bars, half a day", "WINDOW = 24")
    assert project.agent("explain", "backtest").splitlines() == [
        "features runs because WINDOW in own.py (line 12) changed.",
        "model runs if features comes out different.",
        "inference runs if features or model comes out different.",
        "backtest runs if features, model or inference comes out different.",
    ]
    report = project.run()
    assert computed(report) == ["features", "model", "inference", "backtest", "publish"]
    told = project.agent("explain", "model", "--run", str(report["run"])).splitlines()
    assert told[0] == "features ran because WINDOW in own.py (line 12) changed."
    assert told[1].startswith("model ran because features changed (version ")
    assert told[2].startswith("model came out new: ")

    # The random entries' seed: backtest and publish alone.
    project.replace("agent.toml", "seed = 5", "seed = 8")
    assert project.agent("explain", "publish").splitlines() == [
        "backtest runs because the setting seed changed from 5 to 8.",
        "publish runs if backtest comes out different.",
    ]
    assert computed(project.run()) == ["backtest", "publish"]


def _an_appended_day_reaches_what_it_must_and_the_model_by_its_policy(project: Project) -> None:
    project.replace("agent.toml", "[model]\n", '[model]\nretrain = "rows"\nretrain_rows = 5000\n')
    assert "model is up to date" in project.agent("explain", "model")  # a policy says when, not what
    project.replace("agent.toml", "[model]\n", "[model]\nembargo_bars = 1\n")
    only = "model runs because the setting embargo_bars changed from 0 to 1.\n"
    assert project.agent("explain", "model") == only  # a rule that changed as well is no cause
    project.replace("agent.toml", "embargo_bars = 1\n", "")
    project.run()
    for market in MARKETS:
        write_bars(project.folder, market, 76)
    assert "unless it waits until 5000 new rows (0 so far)" in project.agent("plan")
    told = project.agent("explain", "features").splitlines()
    assert (
        "ticks runs because there is new data in the source files (data/ABC.csv changed, data/XYZ.csv changed)." in told
    )
    project.agent("run", "--target", "ticks")
    plan = {step["component"]: step for step in json.loads(project.agent("plan", "--json"))}
    assert plan["features"]["changed"]["ticks"] == ["bars/2024-03"]  # of 2024-01, -02 and -03
    before = project.current_file("features", "features/2024-01")
    report = project.run()
    assert computed(report) == ["features", "inference", "backtest", "publish"]
    assert report["model"]["step"] == "defer"
    assert project.current_file("features", "features/2024-01") == before
    assert project.agent("explain", "model").splitlines()[-1] == "model is deferred until 5000 new rows (48 so far)."
    told = project.agent("explain", "model", "--run", str(report["run"])).splitlines()
    assert told[-2].startswith(
        "model was stale because features changed (version "
    )  # what it saw, not what was foreseen
    assert told[-1] == "model was deferred until 5000 new rows (48 so far)."


def _the_first_release_is_recomputed_from_what_it_recorded(project: Project) -> None:
    """After all of the above: the data moved on, and a line of the own feature is another one."""
    first = json.loads(project.agent("state", "--json"))["releases"][-1]["name"]
    found = json.loads(project.agent("reproduce", first, "--json", code=1))
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
@pytest.mark.parametrize(
    ("key", "outputs"), [("features/2024-02", ["features"]), ("bars/2024-02", ["features", "ticks"])]
)
def test_an_overwritten_byte_is_found_explained_repaired_and_goes_no_further(
    project: Project, hidden: bool, key: str, outputs: list[str]
) -> None:
    """`hidden`: size and time of change look right, so that only `agent checks --deep` can tell. A file of bars belongs
    to two outputs: features refers to that of ticks."""
    project.run()
    path = project.current_file("features", key)
    before, times = path.read_bytes(), path.stat()
    assert b"Polars" in before  # the writer's name: no value of the table
    path.write_bytes(before.replace(b"Polars", b"Polarz"))
    if hidden:
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert json.loads(project.agent("checks", "--json"))["findings"] == []
    found = json.loads(project.agent("checks", "--json", *(["--deep"] if hidden else []), code=1))["findings"]
    found = [one for one in found if "earlier output" not in one["fix"]]  # the altered file of the round before
    assert [(one["component"], one["key"]) for one in found] == [(name, key) for name in outputs]
    assert "`agent run` computes it again" in found[0]["fix"]
    told = next(line for line in project.agent("explain", "publish").splitlines() if line.startswith(outputs[-1]))
    expected = (
        f"{outputs[-1]} runs because its partition {key} was marked by a person ({getpass.getuser()}: agent checks "
        "--deep found its file altered)."
        if hidden
        else f"{outputs[-1]} runs because its file {key} is no longer what was written."
    )
    assert told == expected
    report = project.run()
    assert computed(report) == outputs[::-1]
    assert all(report[name]["is_cut_off"] for name in outputs)
    assert project.current_file("features", key).read_bytes() == before
    assert "all is well" in project.agent("checks")
