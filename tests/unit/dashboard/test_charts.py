"""Figures: what is drawn where."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from tests.lazy import Lazy

charts = Lazy("dashboard.charts")
START, BAR = datetime(2026, 3, 2, 12, tzinfo=UTC), timedelta(minutes=5)


def test_volume_falls_to_nothing_where_bars_are_missing() -> None:
    # Two bars, then an hour without any, then two more.
    volume = _volume([0, 1, 13, 14], [3.0, 4.0, 5.0, 6.0])
    assert _points(volume) == [
        (-1, 0.0),
        *((0, 3.0), (1, 4.0), (2, 0.0)),
        *((12, 0.0), (13, 5.0), (14, 6.0)),
        (15, 0.0),
    ]
    assert volume.line.shape == "hvh", "a step around each bar's time"
    assert volume.customdata[1] == "2026-03-02 12:00 UTC"


def test_one_bar_alone_has_volume() -> None:
    assert [high for _, high in _points(_volume([0], [3.0]))] == [0.0, 3.0, 0.0]


def _volume(places: list[int], values: list[float]) -> Any:
    """The trace of the volume of bars that begin so many bars after START."""
    price = [10.0] * len(places)
    ts = pl.Series("ts", [START + place * BAR for place in places], pl.Datetime("us", "UTC"))
    bars = pl.DataFrame([ts, *(pl.Series(name, price) for name in ("open", "low", "close"))])
    figure = charts.prices(bars.with_columns(high=pl.lit(11.0), volume=pl.Series(values)), [], None)
    (found,) = [trace for trace in figure.data if trace.name == "Volume"]
    return found


def _points(trace: Any) -> list[tuple[int, float]]:
    start = np.datetime64(START.replace(tzinfo=None))
    return [(int((at - start) / np.timedelta64(BAR)), float(high)) for at, high in zip(trace.x, trace.y, strict=True)]


def test_small_prices_are_plain_figures() -> None:
    at = [datetime(2026, 1, 1, tzinfo=UTC) + n * timedelta(hours=1) for n in range(3)]
    prices = {name: [0.000045, 0.000046, 0.000044] for name in ("open", "high", "low", "close")}
    bars = pl.DataFrame({"ts": at, **prices, "volume": [0.0] * 3})
    figure = charts.prices(bars, [], None)
    assert figure.layout.yaxis.exponentformat == "none", "not 45µ"


def test_days_that_a_deferred_model_has_not_decided_are_marked() -> None:
    at = [START + n * timedelta(days=1) for n in range(10)]
    curves = pl.DataFrame({"strategy": "model", "ts": at, "equity": [1.0 + n / 10 for n in range(10)]})
    (marked,) = charts.lines(curves, "equity", ".2f", predicted_to=at[6]).layout.shapes
    drawn = [np.datetime64(one).astype("datetime64[D]") for one in (marked.x0, marked.x1)]
    assert drawn == [np.datetime64("2026-03-08"), np.datetime64("2026-03-11")]
    assert not charts.lines(curves, "equity", ".2f", predicted_to=at[9]).layout.shapes
