"""Every file of ../shared/data through `agent sources guess` alone, compared with Polars' own reading of the file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.data.guessing.block import toml_text
from pipelines.data.guessing.guess import guess
from pipelines.sources.files import FilesSource
from tests.integration.sources.as_polars_reads import EXPECTED, of_part
from tests.integration.sources.test_files import source as files_source
from tests.paths import SHARED_DATA, needs_shared_data

pytestmark = needs_shared_data

PARTS = sorted(
    path.relative_to(SHARED_DATA).as_posix()
    for folder, word in EXPECTED
    for path in (SHARED_DATA / folder).glob(f"*{word}*")
)
KINDS = {"crypto": "spot", "coinbase": "spot", "fx": "fx", "lean-equity": "equity", "lean-oanda": "fx"}


@pytest.fixture(scope="module")
def datasets() -> list[dict[str, Any]]:
    """As agent.toml would have them."""
    text = toml_text(guess(SHARED_DATA, [SHARED_DATA]))
    found: list[dict[str, Any]] = tomllib.loads(text)["sources"]["files"]["datasets"]
    return found


@pytest.fixture(scope="module")
def source(datasets: list[dict[str, Any]]) -> FilesSource:
    return files_source(SHARED_DATA, *datasets)


def test_no_file_is_left_unread(source: FilesSource) -> None:
    there = {file.relative_to(SHARED_DATA).as_posix() for file in SHARED_DATA.glob("*/*") if file.suffix != ".md"}
    assert source.probe().parts.keys() == there - {"fx-1m/gbpusd-m1-ask-2012.csv"}


@pytest.mark.parametrize("part", PARTS)
def test_the_rows_are_those_of_the_file(source: FilesSource, part: str) -> None:
    (expected, seconds), batch = of_part(part), source.fetch(part)
    frame = batch.frame
    assert batch.quarantined is None or batch.quarantined.is_empty()
    if seconds is not None:
        assert frame.select((pl.col("end") - pl.col("start")).dt.total_seconds().unique()).to_series().to_list() == [
            seconds
        ]
    time = "ts" if seconds is None else "start"
    market = pl.col("market_id").str.strip_prefix("files:").alias("market")
    found = frame.select(pl.col(time).alias("at"), pl.exclude(time, "market_id"), market).select(expected.columns)
    assert found.cast(dict(expected.schema)).equals(expected)  # type: ignore[arg-type]


def test_the_markets_are_told_apart(source: FilesSource, datasets: list[dict[str, Any]]) -> None:
    universe = {row["external_id"]: row for row in source.markets().iter_rows(named=True)}
    for part in PARTS:
        if not part.startswith(("betfair", "forecast", "polymarket-btc15m")):
            name = source.fetch(part).frame.item(0, "market_id").removeprefix("files:")
            assert name.lower().startswith(Path(part).stem.lower().partition("-")[0].replace(".", "")), part
    kinds = {one["path"].split("/")[0]: one["kind"] for one in datasets if "path" in one}
    for start, kind in KINDS.items():
        assert {value for folder, value in kinds.items() if folder.startswith(start)} == {kind}
    assert {kinds[one] for one in kinds if one.startswith(("betfair", "forecast", "polymarket-btc15m"))} == {"binary"}
    markets = pl.read_parquet(SHARED_DATA / "polymarket-btc5m" / "markets-2026-06-08.parquet").row(0, named=True)
    known = universe[markets["slug"]]
    assert (known["resolution"], known["end_at"].timestamp()) == (markets["up_won"], markets["end_sec"])
    resolved = pl.read_parquet(SHARED_DATA / "forecastbench-daily" / "markets.parquet").drop_nulls("outcome")
    for row in resolved.head(50).iter_rows(named=True):
        known = universe[row["market_id"]]
        assert known["resolution"] == row["outcome"]
        # Of the two times at which an outcome may have been known the later one.
        assert known["resolved_at"].date() == row["resolution_first_seen"]
    for row in pl.read_parquet(SHARED_DATA / "polymarket-btc15m-books" / "markets.parquet").iter_rows(named=True):
        assert universe[row["market_id"]]["resolution"] == row["payout_up"]
