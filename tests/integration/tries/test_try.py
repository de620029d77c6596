"""A try: computed beside production, which it leaves byte for byte as it is; promoted, it computes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli.main import main
from agent.clock import SystemClock
from agent.errors import Conflict
from agent.execution.session import recover
from agent.execution.tries.change import read, written
from agent.execution.tries.performing import open_try, perform
from agent.execution.workspace import open_workspace
from agent.runtime.around import Around
from agent.service import queue
from agent.store import leases, state
from agent.store.control import runs
from agent.store.outputs import tries
from tests.integration.execution.test_reuse import edit, gc, only, run, shop, versions, what, write
from tests.unaltered import Production, production

__all__ = ["shop"]


def tried(folder: Path, *sets: str, name: str = "one") -> dict[str, str]:
    with open_try(folder, read(sets), name, ("board", "noted")) as (one, workspace):
        report = perform(workspace, one, stop=lambda: None)
    assert report.status == "COMPLETED", report.error
    return what(report)


def now(folder: Path) -> Production:
    with open_workspace(folder) as workspace:
        return production(workspace.database.project, workspace.settings.home)


def test_production_is_byte_for_byte_what_it_was(shop: Path) -> None:
    run(shop)
    before = now(shop)
    done = tried(shop, "total.factor=5")
    assert (only(done, "compute"), only(done, "skip")) == ({"total", "board"}, {"numbers", "noted"})
    before.require_kept(now(shop))
    assert before.releases
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
    edit(shop / "agent.toml", "[total]\nfactor = 1", "[total]\nfactor = 7")
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


def _left_running(folder: Path, try_id: int) -> int:
    """A run of a process that is gone: its lease ended as soon as it began."""
    with open_workspace(folder) as workspace, workspace.database.writing() as connections:
        at = SystemClock().now()
        begun = runs.create_run(
            connections.control,
            project_id=0,
            goal="left",
            targets=(),
            force=(),
            trigger="person",
            status="RUNNING",
            owner="host/boot/1/1/1",
            lease_seconds=0.0,
            try_id=try_id,
            now=at,
        )
        return begun.id


def test_nothing_follows_the_end_of_a_try_that_was_left_running(shop: Path) -> None:
    run(shop)
    left, of_try = _left_running(shop, 0), _left_running(shop, 1)
    followed: list[int] = []
    with open_workspace(shop) as workspace:
        recover(workspace, SystemClock(), Around(after=(lambda ended: followed.append(ended.run.id),)))
        with workspace.database.reading() as connections:
            statuses = {one: runs.load_run(connections.control, one).status for one in (left, of_try)}
    assert statuses == {left: "FAILED", of_try: "FAILED"}
    assert followed == [left]


def test_a_try_closes_no_run_of_productions(shop: Path) -> None:
    run(shop)
    left = _left_running(shop, 0)
    tried(shop, "total.factor=5")
    with open_workspace(shop) as workspace, workspace.database.reading() as connections:
        assert runs.load_run(connections.control, left).status == "RUNNING"


def test_a_run_of_a_try_is_not_queued_as_one_of_productions(shop: Path) -> None:
    run(shop)
    tried(shop, "total.factor=5")
    with open_workspace(shop) as workspace:
        with workspace.database.reading() as connections:
            (of_try,) = runs.list_runs(connections.control, runs.Wanted(try_id=1))
        with pytest.raises(Conflict, match="is of a try"):
            queue.retry(workspace.database, of_try.id, now=SystemClock().now())


def test_gc_takes_the_leases_on_results_that_nobody_holds_any_more(shop: Path) -> None:
    run(shop)
    with open_workspace(shop) as workspace:
        with workspace.database.writing() as connections:
            for name, seconds in (("result:total:dead", -3600.0), ("result:total:held", 3600.0)):
                leases.add_result_row(connections.project, name)
                leases.take(connections.project, name, "host/boot/1/1/1", seconds)
        gc(workspace, days=0)
        with workspace.database.reading() as connections:
            assert leases.is_held(connections.project, "result:total:held", 1)
            assert not leases.is_held(connections.project, "result:total:dead", 1)


def test_what_a_person_doubts_in_production_is_computed_in_the_try_as_well(shop: Path) -> None:
    run(shop)
    tried(shop, "total.factor=5")
    run(shop, "numbers")
    run(shop, "total")
    assert only(tried(shop, "total.factor=5"), "compute") == {"numbers", "total"}
    assert only(tried(shop, "total.factor=5"), "compute") == set()


_DOUBTED = """
    if (ctx.base / "doubt").exists():
        (ctx.base / "doubt").unlink()
        once = ["-m", "agent.orchestrator", "--mode", "once", "--target", "total", "--force", "total"]
        subprocess.run([sys.executable, *once], cwd=ctx.base, check=True, stdout=subprocess.DEVNULL)
    values = ctx.inputs"""


def test_what_a_person_doubts_while_a_try_computes_it_is_not_found_again(shop: Path) -> None:
    edit(shop / "own.py", "from dataclasses", "import subprocess\nimport sys\nfrom dataclasses")
    edit(shop / "own.py", "\n    values = ctx.inputs", _DOUBTED)
    run(shop)
    (shop / "doubt").touch()
    assert "total" in only(tried(shop, "total.factor=5"), "compute")
    assert not (shop / "doubt").exists()
    assert main(["--project-dir", str(shop), "promote", "one", "--yes"]) == 0
    assert "total" in only(run(shop), "compute")
    assert "total" in only(tried(shop, "total.factor=5", name="two"), "skip")
