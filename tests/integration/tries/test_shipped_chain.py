"""A try of the shipped chain: production keeps every row and byte, and promoting computes nothing."""

from __future__ import annotations

from pathlib import Path

from agent.cli.main import main
from agent.execution.tries.change import read
from agent.execution.tries.performing import open_try, perform
from agent.execution.workspace import open_workspace
from tests.integration.execution.test_reuse import only, run, what
from tests.small import SETTINGS, small_project
from tests.unaltered import Production, production

BEFORE_MODEL = {"ticks", "bars", "features"}
AFTER_MODEL = {"inference", "backtest", "publish"}


def now(folder: Path) -> Production:
    with open_workspace(folder) as workspace:
        return production(workspace.database.project, workspace.settings.home)


def test_another_horizon_leaves_production_as_it_is_and_is_promoted_for_nothing(
    tmp_path: Path, database_url: str
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
    assert main(["--project-dir", str(folder), "promote", "six", "--yes"]) == 0
    done = run(folder)
    assert only(done, "compute") == set()
    assert only(done, "reuse") == computed
    assert set(done) == every
