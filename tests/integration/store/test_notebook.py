"""`pipelines.load` through the catalog, as a notebook uses it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

import pipelines
from agent.errors import NotFound
from agent.execution import session
from agent.execution.runlog import Request
from agent.execution.workspace import open_workspace


def test_load_reads_the_newest_snapshot_as_of_an_instant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agent.toml").write_text('[executor]\nkind = "inline"\n', encoding="utf-8")
    with open_workspace() as workspace:
        session.perform(workspace, Request(targets=("ticks",)))
    cut = datetime(2005, 6, 1, tzinfo=UTC)
    whole, before = pipelines.load("ticks"), pipelines.load("ticks", as_of=cut, columns=["market_id", "ts"])
    assert 0 < before.height < whole.height
    assert before.get_column("ts").max() <= cut
    assert before.height == (whole.get_column("ts") <= cut).sum()
    assert pipelines.load("markets", home=tmp_path / ".tidemill", frame="pandas").shape[0] == 5
    with pytest.raises(NotFound, match="features has no output yet"):
        pipelines.load("features")
    with pytest.raises(NotFound, match=r"no table or component 'featurs'(?s:.*)load one of: markets, ticks, bars"):
        pipelines.load("featurs")


def test_where_nothing_was_run_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match=r"no pipeline has run here(?s:.*)home=Path"):
        pipelines.load("features")
    assert list(tmp_path.iterdir()) == []
