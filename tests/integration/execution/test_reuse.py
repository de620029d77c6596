"""Results are found again: what was computed once is taken, and a wrong result never."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.core.model import Compute
from agent.execution.engine import Report
from agent.execution.planning import think
from agent.execution.runlog import Request
from agent.execution.session import perform
from agent.execution.survey import Inspector
from agent.execution.workspace import Workspace, open_workspace
from agent.store import state
from tests.small import small_project

WHOLE_CHAIN = ("markets", "ticks", "features", "model", "inference", "backtest", "publish")


def what(report: Report) -> dict[str, str]:
    """Component -> what was done: compute, reuse, skip, defer or block."""
    assert report.status == "COMPLETED", report.error
    return {
        one.component: "reuse" if isinstance(one.step, Compute) and one.step.reuse else type(one.step).__name__.lower()
        for one in report.components
    }


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def run(folder: Path, **options: Any) -> dict[str, str]:
    with open_workspace(folder) as workspace:
        return what(perform(workspace, Request(**options)))


def planned(folder: Path) -> dict[str, str]:
    with open_workspace(folder) as workspace:
        plan = think(workspace, Inspector(workspace), Request(), now=workspace.database.now()).plan
    return {
        step.component: "reuse" if isinstance(step, Compute) and step.reuse else type(step).__name__.lower()
        for step in plan.steps
    }


def states_of(workspace: Workspace) -> dict[str, Any]:
    with workspace.database.reading() as connections:
        return state.load_states(connections.project)


def versions(folder: Path) -> dict[str, str]:
    with open_workspace(folder) as workspace:
        return {name: one.output_version for name, one in states_of(workspace).items()}


def only(done: dict[str, str], *, kind: str) -> set[str]:
    return {name for name, one in done.items() if one == kind}


@pytest.fixture
def chain(tmp_path: Path, database_url: str) -> Path:
    """The seven components over two markets of bars, with a fee that is set, on either kind of database."""
    folder = small_project(tmp_path, days=40)
    with (folder / "agent.toml").open("a", encoding="utf-8") as file:
        file.write(f"[database]\nurl = {json.dumps(database_url)}\n[markets.costs.spot]\nfee_bps = 5.0\n")
    return folder


def test_a_fee_and_a_branch_that_come_back_compute_nothing(chain: Path) -> None:
    toml, own = chain / "agent.toml", chain / "own.py"
    assert only(run(chain), kind="compute") == set(WHOLE_CHAIN)
    first = versions(chain)
    edit(toml, "fee_bps = 5.0", "fee_bps = 10.0")
    assert "backtest" in only(run(chain), kind="compute")
    other = versions(chain)
    assert other["backtest"] != first["backtest"]
    edit(toml, "fee_bps = 10.0", "fee_bps = 5.0")
    foreseen = planned(chain)
    third = run(chain)
    assert only(third, kind="compute") == set()
    assert {"markets", "model", "backtest", "publish"} <= only(third, kind="reuse") == only(foreseen, kind="reuse")
    assert versions(chain) == first
    assert set(run(chain).values()) == {"skip"}

    edit(own, "WINDOW = 12", "WINDOW = 24")  # another branch
    assert {"features", "model"} <= only(run(chain), kind="compute")
    assert versions(chain) != first
    edit(own, "WINDOW = 24", "WINDOW = 12")
    assert only(run(chain), kind="compute") == set()
    assert versions(chain) == first
