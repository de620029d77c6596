"""The second embedded sample: prices and outcomes of prediction markets are used when they were known, not before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from pipelines.data.checks import check_markets, check_source_bars
from pipelines.errors import BadInput
from pipelines.sources.sample import PLATFORMS, SampleSource, Settings


@pytest.fixture(scope="module")
def source() -> SampleSource:
    return SampleSource(Settings(markets="prediction"), Path())


def test_every_market_is_binary_and_its_outcome_comes_after_its_prices(source: SampleSource) -> None:
    markets = source.markets()
    check_markets(markets)
    assert markets.height == 2036
    assert markets["kind"].unique().to_list() == ["binary"]
    resolved = markets.filter(pl.col("status") == "resolved")
    assert resolved.height == 1141
    assert set(resolved["resolution"]) == {0.0, 1.0}
    bars = pl.concat([source.fetch(part).frame for part in PLATFORMS])
    last = bars.group_by("market_id").agg(pl.col("end").max())
    assert resolved.join(last, on="market_id").filter(pl.col("resolved_at") < pl.col("end")).is_empty()


def test_a_price_is_known_at_the_end_of_its_day_and_opens_the_next(source: SampleSource) -> None:
    raw = pl.read_parquet(Path(__file__).parents[3] / "src/pipelines/data/prediction_sample/prices.parquet")
    bars = pl.concat([source.fetch(part).frame for part in PLATFORMS]).sort("market_id", "start")
    assert bars.height == raw.height == 111_845
    check_source_bars(bars)
    one = raw.filter(pl.col("source") == "polymarket").sort("market_id", "date")
    market, day, price = one.select("market_id", "date", "price").row(1)
    mine = bars.filter(pl.col("market_id") == f"sample:polymarket-{market}")
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    row = mine.filter(pl.col("start") == start).row(0, named=True)
    assert (row["close"], row["end"]) == (price, start + timedelta(days=1))
    joined = mine.with_columns(before=pl.col("close").shift(1), is_next=pl.col("start") == pl.col("end").shift(1))
    followed = joined.filter("is_next")
    assert followed.height > 0
    assert followed.filter(pl.col("open") != pl.col("before")).is_empty()


def test_the_data_are_shipped_with_their_licence_and_where_they_come_from() -> None:
    text = (Path(__file__).parents[3] / "src/pipelines/data/prediction_sample/SOURCE.md").read_text(encoding="utf-8")
    assert "CC BY-SA 4.0" in text
    assert "Karger" in text


def test_other_parts_are_refused(source: SampleSource) -> None:
    with pytest.raises(BadInput, match="no part 'IBM'"):
        source.fetch("IBM")
    assert set(source.probe().parts) == set(PLATFORMS)
