"""The leak test of labels: sound ones pass, whatever the horizon; one that looks further than it says is found."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from pipelines.modelling import label_leaks
from pipelines.modelling.label_leaks import LabelsTested, find_label_leaks
from pipelines.modelling.labels import RESOLUTION, usual_spacing, with_labels
from tests.modelling import START, stored, walk_bars, with_facts

BARS = walk_bars(4, 120)
SPACING = usual_spacing(stored(BARS))
PLAIN = with_facts(BARS.select("market_id").unique().with_columns(kind=pl.lit("spot")), round_trip=0.001)
LATE = pl.lit(START).dt.offset_by("90d").cast(pl.Datetime("us", "UTC"))
PAID = PLAIN.with_columns(
    kind=pl.lit("binary"),
    resolved_at=pl.when(pl.col("market_id") < "walk:M2").then(LATE).otherwise(LATE.dt.offset_by("20d")),
    resolution=pl.lit(1.0),
)
CLOSES = BARS.with_columns(pl.col("open", "close") / 1e4)


def looked(horizon: int, bars: pl.DataFrame = BARS, markets: pl.DataFrame = PLAIN) -> LabelsTested:
    return find_label_leaks(bars.select("market_id", "ts", "open", "close"), SPACING, horizon, markets)


@pytest.mark.parametrize("horizon", [1, 5, 30])
def test_sound_labels_pass(horizon: int) -> None:
    for bars, markets in ((BARS, PLAIN), (CLOSES, PAID)):
        found = looked(horizon, bars, markets)
        assert found.rows > 20
        assert found.changed == 0


def test_outcomes_pass() -> None:
    found = looked(RESOLUTION, CLOSES, PAID)
    assert found.rows > 20
    assert found.changed == 0


def test_what_cannot_be_tested_is_said() -> None:
    assert looked(5, BARS.head(0)) == LabelsTested(0, 0)
    assert looked(200) == LabelsTested(0, 0)


@pytest.mark.parametrize(
    "change",
    [
        pl.col("label").shift(-1).over("market_id"),  # of a bar that comes later
        pl.col("label").fill_null(0),  # known before anything is
        (pl.col("close").last().over("market_id") > pl.col("close")).cast(pl.Int8),
    ],
)
def test_a_label_that_knows_more_is_found(monkeypatch: pytest.MonkeyPatch, change: pl.Expr) -> None:
    def leaking(*arguments: Any) -> pl.DataFrame:
        return with_labels(*arguments).with_columns(label=change)

    monkeypatch.setattr(label_leaks, "with_labels", leaking)
    assert looked(5).changed > 0
