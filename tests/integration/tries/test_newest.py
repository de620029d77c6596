"""Every query for "the newest" of snapshots, partitions, runs or attempts is about production, whatever is tried."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.execution.workspace import open_workspace
from agent.store import lineage
from agent.store.control import attempts, grid, history, measures, retention, runs
from agent.store.database.engine import Connections
from agent.store.outputs import catalog, projections, trials
from agent.store.state import load_states
from tests.integration.execution.test_reuse import run, shop, write
from tests.integration.tries.test_try import tried
from tests.paths import PROJECT

__all__ = ["shop"]
LATE = datetime(2100, 1, 1, tzinfo=UTC)
_TABLES = {"snapshots", "partitions", "runs", "attempts"}
_OF_THE_NEWEST = re.compile(r"func\.max|func\.count|\.desc\(\)")
TOTAL = ("total", "board", "noted")

# What asks for the newest, or counts -> how the test asks for it.
ASKED: dict[str, Callable[[Connections], Any]] = {
    "control/attempts.py of_component": lambda at: [attempts.of_component(at.control, 0, name, 50) for name in TOTAL],
    "control/attempts.py last_failed": lambda at: attempts.last_failed(at.control, 0, TOTAL),
    "control/attempts.py failing_since": lambda at: [attempts.failing_since(at.control, 0, name) for name in TOTAL],
    "control/attempts.py causes_between": lambda at: attempts.causes_between(at.control, 0, 0, 1000),
    "control/attempts.py expectations": lambda at: attempts.expectations(at.control, 0),
    "control/grid.py load_grid": lambda at: grid.load_grid(at.control, 0),
    "control/measures.py measure": lambda at: measures.measure(at.control),
    "control/history.py code_changes": lambda at: history.code_changes(at.control, 0),
    "control/runs.py _newest_first": lambda at: runs.list_runs(at.control),
    "control/runs.py newest_plan": lambda at: runs.newest_plan(at.control, 0),
    "control/runs.py _running_in": lambda at: runs._running_in(at.control, 0),
    "outputs/catalog.py snapshot_history": lambda at: [catalog.snapshot_history(at.project, one, 50) for one in TOTAL],
    "outputs/catalog.py latest_snapshot_id": lambda at: [catalog.latest_snapshot_id(at.project, one) for one in TOTAL],
    "outputs/catalog.py newest_watermark": lambda at: catalog.newest_watermark(at.project, TOTAL),
    "outputs/catalog.py quarantined": lambda at: catalog.quarantined(at.project),
    "outputs/projections.py backtest_runs": lambda at: projections.backtest_runs(at.project, 50),
    "outputs/trials.py _present_setup": lambda at: trials._present_setup(at.project),
    "lineage.py load_outputs": lambda at: [lineage.load_outputs(at, name, 50) for name in TOTAL],
    "state.py __init__": lambda at: load_states(at.project),
}
# The others, with why a try makes no difference to them; some have a test of their own below.
OTHERS = {
    "control/measures.py count_queued": "a cell of a grid waits as any other run does",
    "control/retention.py forget_runs": "below",
    "control/runs.py claim_next": "a cell of a grid is claimed as any other run is",
    "outputs/catalog.py find_version": "below",
    "outputs/catalog.py every_file": "each file of the lake, for who checks that they are whole",
}


def _asking() -> set[str]:
    """Functions of agent.store that look at one of these tables and ask for the newest rows or count some."""
    found = set()
    for path in sorted((PROJECT / "src/agent/store").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names = {
            alias.asname or alias.name
            for node in imported
            if node.module == "agent.store.tables"
            for alias in node.names
            if alias.name in _TABLES
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                body = ast.get_source_segment(text, node) or ""
                if _OF_THE_NEWEST.search(body) and any(re.search(rf"\b{name}\b", body) for name in names):
                    found.add(f"{path.relative_to(PROJECT / 'src/agent/store').as_posix()} {node.name}")
    return found


def test_every_such_query_is_known_here() -> None:
    missing = _asking() - ASKED.keys() - OTHERS.keys()
    assert not missing, f"say in this file how a try makes no difference to them: {sorted(missing)}"


def ask(folder: Path, *queries: Callable[[Connections], Any]) -> list[Any]:
    """Their answers, in a transaction for each."""
    answers = []
    with open_workspace(folder) as workspace:
        for query in queries:
            with workspace.database.reading() as connections:
                answers.append(query(connections))
    return answers


@pytest.fixture
def later(shop: Path) -> tuple[Path, dict[str, Any], int]:
    """A project with two runs and then two tries, what was answered before these, and the newest run by then."""
    run(shop)
    write(shop, "b", 5)
    (shop / "own.py").write_text((shop / "own.py").read_text().replace('b"total "', 'b"Total "'))
    run(shop)
    *answers, newest = ask(shop, *ASKED.values(), lambda at: runs.list_runs(at.control)[0].id)
    tried(shop, "total.factor=5")
    tried(shop, "total.factor=7", "noted.factor=3", name="two")
    return shop, dict(zip(ASKED, answers, strict=True)), newest


def test_a_try_changes_no_answer_about_production(later: tuple[Path, dict[str, Any], int]) -> None:
    shop, before, newest = later
    assert before["control/history.py code_changes"]["board"], "or there was nothing to be found"
    *answers, of_tries = ask(shop, *ASKED.values(), lambda at: runs.list_runs(at.control, runs.Wanted(try_id=2)))
    for name, answer in zip(ASKED, answers, strict=True):
        assert answer == before[name], name
    assert [one.id > newest for one in of_tries] == [True]


def test_the_version_of_a_try_is_no_version_of_productions(later: tuple[Path, dict[str, Any], int]) -> None:
    shop, _, _ = later
    with open_workspace(shop) as workspace:
        own = workspace.database.of_try(1)
        with own.reading() as of_try, workspace.database.reading() as production:
            version = load_states(of_try.project)["total"].output_version
            assert version is not None
            assert catalog.find_version(of_try.project, "total", version) is not None
            assert catalog.find_version(production.project, "total", version) is None


def test_runs_of_tries_let_none_of_productions_be_forgotten(later: tuple[Path, dict[str, Any], int]) -> None:
    shop, _, newest = later
    with open_workspace(shop) as workspace, workspace.database.writing() as connections:
        assert retention.forget_runs(connections.control, keep_runs=2, before=LATE) == 0
        assert retention.forget_runs(connections.control, keep_runs=1, before=LATE) == 1
        assert [one.id for one in runs.list_runs(connections.control)] == [newest]


def test_the_success_of_a_try_ends_no_failure_of_productions(shop: Path) -> None:
    run(shop)
    write(shop, "b", 5)
    (shop / "shut").touch()
    run(shop, status="FAILED")
    (since,) = ask(shop, ASKED["control/attempts.py failing_since"])
    assert since[1] is not None
    (shop / "shut").unlink()
    assert tried(shop, "total.factor=5")["board"] == "compute"
    assert ask(shop, ASKED["control/attempts.py failing_since"]) == [since]
