"""What was known at an instant: pages that came later, and what they correct, change nothing of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

import pipelines
from pipelines.errors import BadInput, PipelineError
from pipelines.run_all import main
from pipelines.testing.venue_replies import Trade
from tests.integration.collect.conftest import NOW, World


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


@pytest.fixture
def project(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    (world.folder / "agent.toml").write_text(
        f'[sources.kalshi]\nurl = "{world.server.url("kalshi")}"\ninterval_minutes = 60\n'
    )
    monkeypatch.chdir(world.folder)
    return world


def test_a_correction_that_came_later_leaves_what_was_known_before_byte_for_byte(project: World) -> None:
    project.collect("kalshi")
    main(["--out", "then"])  # too little for a model: what comes before it is computed
    then = pipelines.load("ticks", as_known_at=project.pace.at)
    market = next(iter(project.venues["kalshi"].markets.values()))
    project.pace.at += timedelta(hours=3)
    between = project.pace.at - timedelta(hours=1)
    last = market.trades[-1]
    corrected = [Trade(last.at, last.price + 0.2, last.size), Trade(last.at + timedelta(hours=2), 0.77)]
    market.trades = [*market.trades[:-1], *corrected]
    project.collect("kalshi")
    now = pipelines.load("ticks", as_known_at=project.pace.at)
    assert now.height > then.height
    assert not now.filter(now["end"] <= then["end"].max()).equals(then)  # it is corrected
    assert pipelines.load("ticks", as_known_at=between).equals(then)
    assert pipelines.load("markets", as_known_at=between).height == 4
    with pytest.raises(BadInput, match="have no market"):
        pipelines.load("ticks", as_known_at=NOW - timedelta(days=1))  # nothing was asked for then
    main(["--out", "again", "--as-known-at", between.isoformat()])
    first, second = files(project.folder / "then"), files(project.folder / "again")
    assert first.keys() == second.keys()
    assert any("features" in name for name in first)
    assert first == second


def test_an_instant_needs_a_zone_and_a_source_that_knows_when_its_data_came(
    project: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PipelineError, match="has no time zone"):
        pipelines.load("ticks", as_known_at=datetime(2026, 11, 20))  # noqa: DTZ001
    with pytest.raises(PipelineError, match="no component 'tick'"):
        pipelines.load("tick", as_known_at=NOW)
    (project.folder / "agent.toml").write_text("")  # the sample
    with pytest.raises(PipelineError, match="no source here says when its data came"):
        pipelines.load("ticks", as_known_at=NOW)
    assert main(["--out", "sample", "--as-known-at", "2026-11-20T00:00Z"]) == 2
    assert "agent sources add" in capsys.readouterr().err
