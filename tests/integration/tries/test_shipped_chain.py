"""A try of the shipped chain: production keeps every row and byte, and promoting computes nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

import pipelines
from agent.cli.main import main
from agent.errors import NotFound
from agent.execution.tries.change import read
from agent.execution.tries.performing import open_try, perform
from agent.execution.workspace import open_workspace
from pipelines.errors import PipelineError
from tests.integration.execution.test_reuse import only, run, what
from tests.small import SETTINGS, small_project
from tests.unaltered import Production, production

BEFORE_MODEL = {"ticks", "bars", "features"}
AFTER_MODEL = {"inference", "backtest", "publish"}


def now(folder: Path) -> Production:
    with open_workspace(folder) as workspace:
        return production(workspace.database.project, workspace.settings.home)


def test_another_horizon_leaves_production_as_it_is_and_is_promoted_for_nothing(
    tmp_path: Path, database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_project(tmp_path)
    (folder / "agent.toml").write_text(f"[database]\nurl = '{database_url}'\n{SETTINGS}", encoding="utf-8")
    every = only(run(folder), "compute")
    before = now(folder)
    assert before.rows["markets"]
    assert before.rows["predictions"]
    assert before.rows["backtest_metrics"]
    with open_try(folder, read(["model.horizon_bars=6"]), "six") as (one, workspace):
        report = perform(workspace, one, stop=lambda: None)
    assert report.status == "COMPLETED", report.error
    computed = only(what(report), "compute")
    assert {"model", *AFTER_MODEL} <= computed
    assert not BEFORE_MODEL & computed
    before.require_kept(now(folder))
    _require_compared(folder, capsys)
    monkeypatch.chdir(folder)
    mine, theirs = pipelines.load("predictions", of="six"), pipelines.load("predictions")
    assert (mine.get_column("horizon_bars")[0], theirs.get_column("horizon_bars")[0]) == (6, 5)
    assert pipelines.load("features", of="six").equals(pipelines.load("features")), "it is production's"
    with pytest.raises(NotFound, match=r"no try 'seven'(?s:.*)known are: six"):
        pipelines.load("predictions", of="seven")
    with pytest.raises(PipelineError, match="give one of them"):
        pipelines.load("predictions", of="six", as_known_at=datetime(2024, 2, 1, tzinfo=UTC))
    assert main(["--project-dir", str(folder), "promote", "six", "--yes"]) == 0
    done = run(folder)
    assert only(done, "compute") == set()
    assert only(done, "reuse") == computed
    assert set(done) == every


def _require_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `agent diff` says of the try against the release in force, whichever is named first."""
    capsys.readouterr()
    assert main(["--project-dir", str(folder), "--json", "diff", "six", "current"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["after"] == "six"
    assert found["headline"] == "Only [model] horizon_bars 5 → 6 differs"
    assert found["code"] == {}
    assert {"model", *AFTER_MODEL} == set(found["versions"])
    names = {figure["name"] for figure in found["figures"]}
    assert {"assessment", "Brier score", "total return of the backtest"} <= names
    assert "Brier score" not in found["pairs"], "rows of two horizons have two outcomes"
    assert found["pairs"]["return of the backtest a step"]["blocks"] > 10
    assert set(found["costs"]["six"]["computed"]) == {"model", *AFTER_MODEL}
    assert found["costs"]["six"]["seconds"] > 0
    assert main(["--project-dir", str(folder), "--json", "diff", "current", "six"]) == 0
    assert json.loads(capsys.readouterr().out) == found
    assert main(["--project-dir", str(folder), "diff", "six", "current"]) == 0
    text = capsys.readouterr().out
    assert "What try six took:" in text
    assert "95 % interval" in text
