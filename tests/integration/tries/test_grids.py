"""`agent try --grid`: resumed where it was left, within its budget, by several workers, each trial counted once."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agent.cli.main import main
from agent.execution.workspace import open_workspace
from agent.service import grid_runs
from agent.service.wiring import around_runs
from agent.service.worker import Worker
from agent.store.tables import results, runs
from tests.integration.execution.test_reuse import only, run, shop
from tests.integration.tries.test_try import now

__all__ = ["shop"]
AXES = ("--grid", "total.factor=1,2,3", "--grid", "noted.factor=4,5", "--target", "board", "--target", "noted")


def typed(capsys: pytest.CaptureFixture[str], shop: Path, *words: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["--project-dir", str(shop), "try", *AXES, "--name", "g", *words, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def count(shop: Path, table: sa.Table) -> int:
    with open_workspace(shop) as workspace, workspace.database.reading() as connections:
        at = connections.control if table is runs else connections.project
        return at.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def test_a_grid_goes_on_where_its_budget_ended_and_leaves_production_alone(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(shop)
    before = now(shop)
    first = typed(capsys, shop, "--max-runs", "4")
    assert [cell["status"] for cell in first["cells"]] == ["COMPLETED"] * 4 + [None] * 2
    assert first["left"] == 2
    settings = [cell["settings"] for cell in first["cells"]]
    assert settings[:3] == [
        {"total.factor": 1, "noted.factor": 4},
        {"total.factor": 1, "noted.factor": 5},
        {"total.factor": 2, "noted.factor": 4},
    ]
    second = typed(capsys, shop)
    assert (second["left"], len(second["cells"])) == (0, 6)
    before.require_kept(now(shop))
    many = count(shop, runs)
    assert typed(capsys, shop)["left"] == 0
    assert count(shop, runs) == many, "nothing is begun again"
    assert only(run(shop), "skip") == {"numbers", "total", "board", "noted"}


def test_a_result_that_two_cells_need_is_computed_once(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(shop)
    cells = typed(capsys, shop)["cells"]
    # total and board: of factors 2 and 3 once each, though two cells have each of them; noted cannot be found again.
    with open_workspace(shop) as workspace, workspace.database.reading() as connections:
        made = sorted(connections.project.scalars(sa.select(results.c.component)))
    assert made == ["board"] * 3 + ["numbers"] + ["total"] * 3
    assert len(cells) == 6


def test_workers_take_cells_from_each_other(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(shop)
    with open_workspace(shop) as workspace:
        worker = Worker(workspace.settings, workspace.database, around_runs())
        over = threading.Event()
        thread = threading.Thread(target=worker.run, args=(over.is_set,))
        thread.start()
        try:
            found = typed(capsys, shop)
        finally:
            over.set()
            thread.join()
    assert [cell["status"] for cell in found["cells"]] == ["COMPLETED"] * 6
    with open_workspace(shop) as workspace, workspace.database.reading() as connections:
        tried = sa.select(runs.c.try_id, runs.c.status).where(runs.c.try_id != 0)
        rows = connections.control.execute(tried).all()
    assert sorted(rows) == sorted({(row.try_id, "COMPLETED") for row in rows}), "each cell was carried out once"
    assert len(rows) == 6


def test_minutes_end_a_grid_and_nothing_of_it_stays_in_the_queue(shop: Path) -> None:
    run(shop)
    assert main(["--project-dir", str(shop), "try", *AXES, "--name", "g", "--max-minutes", "0.000001"]) == 0
    with open_workspace(shop) as workspace, workspace.database.reading() as connections:
        states = list(connections.control.scalars(sa.select(runs.c.status).where(runs.c.try_id != 0)))
    assert states == ["CANCELLED"] * 6
    with open_workspace(shop) as workspace:
        cells = grid_runs.work_off(
            workspace.settings, workspace.database, "g", most=None, seconds=None, stop=lambda: None
        )
    assert [cell.status for cell in cells] == ["COMPLETED"] * 6


def test_what_the_project_does_not_understand_begins_nothing(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(shop)
    options = ["--project-dir", str(shop), "try", "--name", "g", "--target", "board"]
    assert main([*options, "--grid", "total.factor=1,two"]) == 2
    assert "'two' is not a whole number" in capsys.readouterr().err
    assert main([*options, "--grid", "database.url=1,2"]) == 2
    assert main([*options, "--grid", "total.factor=1,2", "--max-runs", "0"]) == 2
    assert main([*options, "--grid", "total.factor=1,2"]) == 0
    capsys.readouterr()
    assert main([*options, "--grid", "total.factor=1,3"]) == 3
    assert "of other cells" in capsys.readouterr().err
    assert main(["--project-dir", str(shop), "drop", "g"]) == 0
    assert main(["--project-dir", str(shop), "try", "--show", "g"]) == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--max-minutes", "nan"), "no time"),
        (("--max-minutes", "inf"), "no time"),
        (("--max-minutes", "0"), "no time"),
        (("--max-runs", "0"), "no cell"),
        (("--set", "total.factor=7"), "--set sets total.factor"),
        (("--grid", "total.factor=7"), "there twice"),
    ],
)
def test_a_grid_that_cannot_be_is_refused_before_anything_is_written(
    shop: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    capsys.readouterr()
    assert main(["--project-dir", str(shop), "try", *AXES, *words]) == 2
    assert says in capsys.readouterr().err
    assert not (shop / ".tidemill").exists()


def test_a_budget_without_a_grid_is_refused(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--project-dir", str(shop), "try", "--set", "total.factor=7", "--max-runs", "1"]) == 2
    assert "--grid" in capsys.readouterr().err


def test_a_date_is_kept_as_a_text(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(shop)
    (shop / "more.toml").write_text("[total]\nfactor = 1979-05-27\n", encoding="utf-8")
    for words in (("--set", "total.factor=1979-05-27"), ("--settings", str(shop / "more.toml"))):
        capsys.readouterr()
        assert main(["--project-dir", str(shop), "try", *words]) == 2
        assert "[total] factor = '1979-05-27' is not a whole number" in capsys.readouterr().err


def test_a_grid_is_not_called_like_a_try(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(shop)
    options = ["--project-dir", str(shop), "try", "--target", "total"]
    assert main([*options, "--set", "total.factor=2", "--name", "g.2"]) == 0
    capsys.readouterr()
    assert main([*options, "--grid", "total.factor=1,2", "--name", "g"]) == 3
    assert "there is a try 'g.2' already" in capsys.readouterr().err
    assert main([*options, "--grid", "total.factor=1,2", "--name", "g" * 99]) == 2
    assert "is no name for a try" in capsys.readouterr().err
    assert main(["--project-dir", str(shop), "try", "--show", "g"]) == 2, "nothing was begun"


def test_a_try_is_not_called_like_a_grid(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(shop)
    options = ["--project-dir", str(shop), "try", "--target", "total"]
    assert main([*options, "--grid", "total.factor=1,2", "--name", "g"]) == 0
    capsys.readouterr()
    assert main([*options, "--set", "total.factor=2", "--name", "g"]) == 3
    said = capsys.readouterr().err
    assert "there is a grid 'g' already" in said
    assert "`agent drop g`" in said
    assert main([*options, "--set", "total.factor=2", "--name", "g.3"]) == 0, "no cell is called so"
    assert main([*options, "--grid", "total.factor=1,2", "--name", "g"]) == 0, "it is the grid that was there"
