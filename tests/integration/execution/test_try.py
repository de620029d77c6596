"""A try: computed beside production, which it leaves byte for byte as it is; promoted, it computes nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from agent.errors import Conflict
from agent.execution.tries.change import read, written
from agent.execution.tries.performing import open_try, perform
from agent.execution.workspace import open_workspace
from agent.store import dump, state
from agent.store.database.engine import consistent
from agent.store.outputs import tries
from tests.integration.execution.test_reuse import edit, gc, only, run, shop, versions, what, write

__all__ = ["shop"]
_SAME = (
    "orchestrator_state",
    "markets",
    "predictions",
    "releases",
    "backtest_metrics",
    "runner",
    "schedules",
    "alerts",
)
_KEPT = ("snapshots", "partitions", "runs", "attempts", "events")


def tried(folder: Path, *sets: str, name: str = "one") -> dict[str, str]:
    with open_try(folder, read(sets), name, ("board", "noted")) as (one, workspace):
        report = perform(workspace, one, stop=lambda: None)
    assert report.status == "COMPLETED", report.error
    return what(report)


def rows(folder: Path) -> dict[str, list[Any]]:
    with open_workspace(folder) as workspace, consistent(workspace.database.project) as conn:
        return {name: [repr(row) for row in dump.rows_of(conn, name)] for name in dump.table_names(conn)}


def files(folder: Path) -> dict[str, str]:
    found = sorted((folder / ".tidemill" / "releases").rglob("*"))
    return {str(one): hashlib.sha256(one.read_bytes()).hexdigest() for one in found if one.is_file()}


def test_production_is_byte_for_byte_what_it_was(shop: Path) -> None:
    run(shop)
    before, released = rows(shop), files(shop)
    done = tried(shop, "total.factor=5")
    assert (only(done, "compute"), only(done, "skip")) == ({"total", "board"}, {"numbers", "noted"})
    after = rows(shop)
    for name in _SAME:
        if name in before:
            assert before[name] == after[name], name
    for name in _KEPT:
        if name in before:
            assert set(before[name]) <= set(after[name]), name
    assert released
    assert files(shop) == released
    assert only(run(shop), "skip") == {"numbers", "total", "board", "noted"}


def test_promoted_it_computes_nothing(shop: Path) -> None:
    run(shop)
    tried(shop, "total.factor=5")
    assert main(["--project-dir", str(shop), "promote", "one"]) == 0
    assert only(run(shop), "skip") == {"numbers", "total", "board", "noted"}, "it was only to be shown"
    assert main(["--project-dir", str(shop), "promote", "one", "--yes"]) == 0
    done = run(shop)
    assert only(done, "compute") == set()
    assert only(done, "reuse") == {"total", "board"}


def test_production_computed_it_and_the_try_takes_it(shop: Path) -> None:
    run(shop)
    edit(shop / "agent.toml", "[total]\n", "[total]\nfactor = 7\n") if "factor" not in (
        shop / "agent.toml"
    ).read_text() else edit(shop / "agent.toml", "[total]\nfactor = 1", "[total]\nfactor = 7")
    run(shop)
    done = tried(shop, "total.factor=1")
    assert only(done, "compute") == set()


def test_its_sources_are_not_asked(shop: Path) -> None:
    run(shop)
    write(shop, "b", 40)
    assert "numbers" in only(tried(shop, "total.factor=5"), "skip")


def test_it_goes_on_and_refuses_another_change(shop: Path) -> None:
    run(shop)
    tried(shop, "total.factor=5")
    assert only(tried(shop, "total.factor=5"), "compute") == set()
    with pytest.raises(Conflict, match="already"):
        tried(shop, "total.factor=6")


def test_gc_keeps_what_a_try_has_until_it_is_dropped(shop: Path) -> None:
    run(shop)
    tried(shop, "total.factor=5")
    with open_workspace(shop) as workspace:
        gc(workspace, days=4000)
        lake = {one.name for one in workspace.settings.lake_path.rglob("*.y*") if one.is_file()}
        assert lake
        with workspace.database.reading() as connections:
            one = tries.load(connections.project, "one")
        with workspace.database.of_try(one.id).reading() as connections:
            made = state.load_states(connections.project)
        assert made["total"].output_version != versions(shop)["total"]
        with workspace.database.writing() as connections:
            tries.drop(connections.project, one)
        gc(workspace, days=4000)
        assert not [one for one in workspace.settings.lake_path.rglob("*.y*") if one.is_file()]
    assert only(run(shop), "skip") == {"numbers", "total", "board", "noted"}


def test_settings_are_written_with_all_else_as_it_is() -> None:
    text = "# mine\n[total]\nfactor = 1  # one\n[noted]\nfactor = 3\n"
    assert written(text, read(["total.factor=2"])) == "# mine\n[total]\nfactor = 2\n[noted]\nfactor = 3\n"
    assert written(text, read(["other.x=a b"])).endswith('\n\n[other]\nx = "a b"\n')
