"""Results are found again: what was computed once is taken, and what anyone might doubt is computed."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.clock import SystemClock
from agent.core.model import Compute, Mark, State
from agent.execution.engine import Report
from agent.execution.planning import think
from agent.execution.runlog import Request
from agent.execution.session import perform
from agent.execution.survey import Inspector
from agent.execution.upkeep.gc import collect
from agent.execution.workspace import Workspace, open_workspace
from agent.store import state
from agent.store.control import attempts
from agent.store.outputs import releases, results
from tests.small import small_project

COMPONENTS = '''"""Numbers, their sum, and a release of it that has a gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.component import Context, component
from pipelines.errors import ReleaseRefused
from pipelines.settings import setting


@dataclass(frozen=True)
class Settings:
    factor: int = setting(1, "multiplies")


@component(name="numbers", reads_sources=True, heavy=False)
def numbers(ctx: Context, settings: Any) -> None:
    moves = ctx.base / "moves"
    for file in sorted((ctx.base / "data").glob("*.csv")):
        if moves.exists():  # somebody writes to it while it is read
            moves.unlink()
            file.write_text("77")
        ctx.write_bytes(file.stem, file.read_bytes())


@component(name="total", upstream=["numbers"], heavy=False, settings=Settings)
def total(ctx: Context, settings: Settings) -> None:
    values = ctx.inputs["numbers"]
    ctx.write_bytes("all", str(settings.factor * sum(int(values.read_bytes(key)) for key in values.keys)).encode())


@component(name="noted", upstream=["numbers"], heavy=False, settings=Settings)
def noted(ctx: Context, settings: Settings) -> None:
    """Opens a file that it does not declare."""
    ctx.write_bytes("all", (ctx.base / "note.txt").read_bytes() * settings.factor)


def gate(ctx: Context, settings: Any) -> None:
    assert ctx.outside is not None
    if (ctx.base / "shut").exists():
        raise ReleaseRefused("the gate is shut", where="shut", fix="remove it")


@component(name="board", upstream=["total"], heavy=False, is_release=True, gate=gate)
def board(ctx: Context, settings: Any) -> None:
    ctx.write_bytes("board.txt", b"total " + ctx.inputs["total"].read_bytes("all"), suffix=".txt")
    ctx.write_bytes("metrics.json", b"{}", suffix=".json")
'''


def what(report: Report) -> dict[str, str]:
    """Component -> what was done: compute, reuse, skip, defer or block."""
    return {
        one.component: "reuse" if isinstance(one.step, Compute) and one.step.reuse else type(one.step).__name__.lower()
        for one in report.components
    }


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def targets(workspace: Workspace) -> tuple[str, ...]:
    """Those of the project's own, where it has some."""
    return ("board", "noted") if "board" in workspace.specs else ()


def run(folder: Path, *force: str, status: str = "COMPLETED") -> dict[str, str]:
    with open_workspace(folder) as workspace:
        report = perform(workspace, Request(targets=targets(workspace), force=force))
    assert report.status == status, report.error
    return what(report)


def planned(folder: Path) -> dict[str, str]:
    with open_workspace(folder) as workspace:
        request = Request(targets=targets(workspace))
        plan = think(workspace, Inspector(workspace), request, now=workspace.database.now()).plan
    return {
        step.component: "reuse" if isinstance(step, Compute) and step.reuse else type(step).__name__.lower()
        for step in plan.steps
    }


def states_of(folder: Path) -> dict[str, State]:
    with open_workspace(folder) as workspace, workspace.database.reading() as connections:
        return state.load_states(connections.project)


def versions(folder: Path) -> dict[str, str | None]:
    return {name: one.output_version for name, one in states_of(folder).items()}


def only(done: dict[str, str], kind: str) -> set[str]:
    return {name for name, one in done.items() if one == kind}


def write(folder: Path, part: str, number: int) -> None:
    """A file of the source: the same number again is the same file again, also to who looks at its time alone."""
    file = folder / "data" / f"{part}.csv"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{number:03}")
    os.utime(file, ns=(number * 10**9,) * 2)


def factor(folder: Path, value: int) -> None:
    text = (folder / "agent.toml").read_text(encoding="utf-8")
    text = text[: text.index("[total]")] + f"[total]\nfactor = {value}\n[noted]\nfactor = {value}\n"
    (folder / "agent.toml").write_text(text, encoding="utf-8")


def gc(workspace: Workspace, *, days: float) -> None:
    now = SystemClock().now() + timedelta(days=days)
    collect(workspace.settings, workspace.database, workspace.releasing, keep_releases=1, keep_days=0, now=now)


@pytest.fixture
def shop(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of four quick components, on either kind of database."""
    write(tmp_path, "a", 1)
    write(tmp_path, "b", 2)
    (tmp_path / "note.txt").write_text("note")
    (tmp_path / "own.py").write_text(COMPONENTS, encoding="utf-8")
    (tmp_path / "agent.toml").write_text(
        f"[project]\nmodules = ['own.py']\n[executor]\nkind = 'inline'\n[database]\nurl = {json.dumps(database_url)}\n"
        "[[sources.files.datasets]]\npath = 'data/*.csv'\nkind = 'spot'\ninterval_seconds = 60\n[total]\n",
        encoding="utf-8",
    )
    factor(tmp_path, 1)
    return tmp_path


def tried(shop: Path) -> dict[str, str | None]:
    """Factor 1, then 10; the versions of 1. What follows puts 1 back."""
    assert set(run(shop).values()) == {"compute"}
    first = versions(shop)
    factor(shop, 10)
    assert only(run(shop), "compute") == {"total", "noted", "board"}
    return first


def test_what_comes_back_is_taken_recorded_and_counted(shop: Path) -> None:
    first = tried(shop)
    before = states_of(shop)
    factor(shop, 1)
    assert planned(shop) == {"numbers": "skip", "total": "reuse", "noted": "compute", "board": "reuse"}
    assert run(shop) == planned(shop) | {"total": "reuse", "noted": "compute", "board": "reuse"}
    after = states_of(shop)
    assert versions(shop) == first
    assert after["total"].run_count == 3
    assert after["total"].last_duration_s == before["total"].last_duration_s  # of the last one that computed
    assert after["total"].inputs["numbers"].snapshot_id == before["numbers"].output_snapshot_id
    with open_workspace(shop) as workspace, workspace.database.reading() as connections:
        found = {one.component: one for one in attempts.list_attempts(connections.control, 3)}
        computed = {one.component: one for one in attempts.list_attempts(connections.control, 1)}
        assert found["total"].reused_from == computed["total"].id
        assert found["noted"].reused_from is None
        assert (found["total"].recomputed_partitions, found["total"].status) == (0, "succeeded")
        assert (workspace.settings.releases_path / "current" / "board.txt").read_text() == "total 3"
        assert releases.list_releases(connections.project, 9)[1].is_current


def test_data_that_come_back_are_found_again(shop: Path) -> None:
    run(shop)
    first = versions(shop)
    write(shop, "a", 5)
    assert only(run(shop), "compute") == {"numbers", "total", "noted", "board"}
    write(shop, "a", 1)
    assert only(run(shop), "reuse") == {"numbers", "total", "board"}
    assert versions(shop) == first
    write(shop, "b", 9)  # from here on by what changed, as ever
    assert only(run(shop), "compute") == {"numbers", "total", "noted", "board"}
    assert states_of(shop)["board"].output_version not in first.values()


def test_what_was_read_while_its_source_moved_is_not_found(shop: Path) -> None:
    (shop / "moves").touch()
    run(shop)  # read 77, though planned with 1
    write(shop, "a", 5)
    run(shop)
    write(shop, "a", 1)
    assert run(shop)["numbers"] == "compute"
    run(shop)
    with open_workspace(shop) as workspace:
        assert (workspace.settings.releases_path / "current" / "board.txt").read_text() == "total 3"


@pytest.mark.parametrize("how", ["force", "mark"])
def test_who_asks_for_a_computation_gets_one_and_nothing_earlier_is_taken(shop: Path, how: str) -> None:
    tried(shop)
    if how == "force":
        assert run(shop, "total")["total"] == "compute"
    else:
        with open_workspace(shop) as workspace, workspace.database.writing() as connections:
            state.mark_dirty(connections.project, "total", Mark(reason="odd"))
        assert run(shop)["total"] == "compute"
    factor(shop, 1)
    assert run(shop)["total"] == "compute"  # whoever doubts what is there doubts what was there, too
    factor(shop, 10)
    assert run(shop)["total"] == "reuse"


def test_a_result_whose_file_is_gone_or_altered_is_computed(shop: Path) -> None:
    tried(shop)
    files = sorted((shop / ".tidemill" / "lake" / "total").iterdir())
    assert len(files) == 2
    files[0].write_bytes(b"wrong")
    files[1].write_bytes(b"wrong")
    factor(shop, 1)
    assert run(shop)["total"] == "compute"


def test_the_gate_is_asked_of_a_release_that_is_found_again(shop: Path) -> None:
    tried(shop)
    factor(shop, 1)
    (shop / "shut").touch()
    assert run(shop, status="FAILED")["board"] == "reuse"
    with open_workspace(shop) as workspace:
        assert (workspace.settings.releases_path / "current" / "board.txt").read_text() == "total 30"
    (shop / "shut").unlink()
    assert run(shop)["board"] == "reuse"


def test_gc_keeps_results_as_long_as_the_settings_say(shop: Path) -> None:
    tried(shop)
    with open_workspace(shop) as workspace:
        gc(workspace, days=6)
    factor(shop, 1)
    assert planned(shop)["total"] == "reuse"
    with open_workspace(shop) as workspace:
        gc(workspace, days=8)
    assert planned(shop)["total"] == "compute"
    assert run(shop)["total"] == "compute"


def test_a_component_computes_where_gc_was_first(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the lease."""
    first = tried(shop)
    factor(shop, 1)
    with open_workspace(shop) as workspace:
        take = results.hold
        seen: list[bool] = []

        def gc_before(conn: Any, *arguments: Any) -> bool:
            if not seen:
                results.forget_unused(conn, SystemClock().now() + timedelta(days=9))
            seen.append(take(conn, *arguments))
            return seen[-1]

        monkeypatch.setattr(results, "hold", gc_before)
        done = what(perform(workspace, Request(targets=targets(workspace))))
    assert not any(seen)
    assert seen
    assert (done["total"], done["board"]) == ("compute", "compute")
    assert versions(shop) == first


def test_what_is_being_taken_stays_whatever_gc_thinks_of_it(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tried(shop)
    factor(shop, 1)
    from agent.execution.attempt import Attempts

    done_by = Attempts._done

    def with_gc(self: Attempts, *arguments: Any) -> Any:
        gc(self.workspace, days=400)
        return done_by(self, *arguments)

    monkeypatch.setattr(Attempts, "_done", with_gc)
    assert run(shop)["total"] == "reuse"
    assert versions(shop) == first
    assert set(run(shop).values()) == {"skip"}


CHAIN = ("markets", "ticks", "features", "model", "inference", "backtest", "publish")


@pytest.fixture
def chain(tmp_path: Path, database_url: str) -> Path:
    """The seven components over two markets of bars, with a fee that is set, on either kind of database."""
    folder = small_project(tmp_path, days=25)
    with (folder / "agent.toml").open("a", encoding="utf-8") as file:
        file.write(f"[database]\nurl = {json.dumps(database_url)}\n[markets.costs.spot]\nfee_bps = 5.0\n")
    return folder


def test_a_fee_and_a_branch_that_come_back_compute_nothing(chain: Path) -> None:
    toml, own = chain / "agent.toml", chain / "own.py"
    assert only(run(chain), "compute") == set(CHAIN)
    first = versions(chain)
    edit(toml, "fee_bps = 5.0", "fee_bps = 10.0")
    assert {"markets", "model", "backtest", "publish"} <= only(run(chain), "compute")
    assert versions(chain)["backtest"] != first["backtest"]
    edit(own, "WINDOW = 12", "WINDOW = 24")  # another branch, and another fee
    assert "features" in only(run(chain), "compute")
    edit(own, "WINDOW = 24", "WINDOW = 12")
    edit(toml, "fee_bps = 10.0", "fee_bps = 5.0")
    foreseen, third = planned(chain), run(chain)
    assert only(third, "compute") == set()
    assert only(third, "reuse") == only(foreseen, "reuse") == set(CHAIN) - {"ticks"}
    assert versions(chain) == first
    assert set(run(chain).values()) == {"skip"}
