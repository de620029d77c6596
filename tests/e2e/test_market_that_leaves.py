"""A market that a trader holds leaves the release: the money in it still counts, and the trader goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from agent.execution.workspace import open_workspace
from agent.trading.feeds.reading import ReleasedFeed
from pipelines.errors import LakeError
from tests.e2e.test_paper_trading import DAYS, let_it_have_an_edge
from tests.small import small_project, write_bars


def test_a_held_market_that_left_is_valued_as_it_was_last_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = small_project(tmp_path, DAYS)
    monkeypatch.chdir(folder)

    def typed(*arguments: str, exits: int = 0) -> Any:
        capsys.readouterr()
        assert main((*arguments, "--json")) == exits
        out = capsys.readouterr().out
        return json.loads(out) if out.strip() else None

    typed("run")
    let_it_have_an_edge(folder, "files:ABC")
    bought = ("run-agent", "--asset-pair", "ABC", "--take-profit", "0.9", "--stop-loss", "0.1", "--once")
    typed(*bought)
    write_bars(folder, "ABC", DAYS + 1)
    write_bars(folder, "XYZ", DAYS + 1)
    typed("run")
    with open_workspace(folder) as workspace:
        waiting = ReleasedFeed(workspace.database, workspace.lake)
        price = waiting.newest("files:ABC", waiting.newest_end)
        listing = waiting.listing("files:ABC")
    typed(*bought)
    assert [one["status"] for one in typed("orders") if one["purpose"] == "open"] == ["filled"]

    (folder / "data/ABC.csv").unlink()
    write_bars(folder, "XYZ", DAYS + 2)
    typed("run")
    typed("run-agent", "--asset-pair", "XYZ", "--once")
    (held,) = typed("portfolio")["positions"]
    assert held["market_id"] == "files:ABC"
    assert price is not None
    newest = typed("equity")[0]
    assert newest["marks"]["files:ABC"]["price"] == str(price.close)
    assert newest["stale"]  # nobody knows what it is worth now

    with open_workspace(folder) as workspace:
        feed = ReleasedFeed(workspace.database, workspace.lake)
        assert [one.instrument.market_id for one in feed.listings()] == ["files:XYZ"]
        assert feed.listing("files:ABC") == listing
        assert feed.newest("files:ABC", feed.newest_end) == price
        assert feed.published("files:ABC", feed.newest_end) is None
        unknown = feed.listing("files:NOPE")  # no release on record has it: what a venue held before, say
        assert (unknown.instrument.kind, unknown.costs.fee, feed.newest("files:NOPE", feed.newest_end)) == (
            "spot",
            0,
            None,
        )

        write_bars(folder, "XYZ", DAYS + 3)
        typed("run")
        before = feed.release.name
        for path in (folder / ".tidemill/lake").rglob("*.parquet"):
            if "bars" in path.parts:
                path.write_bytes(path.read_bytes()[:-9])
        assert feed.is_outdated()
        for _ in range(2):
            with pytest.raises(LakeError):
                feed.refresh()
            assert not feed.is_outdated()  # it is tried again in the next cycle, and not before
        assert feed.release.name == before
