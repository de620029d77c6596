"""Labels against a plain loop over bars."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from pipelines.modelling.labels import GAP_FACTOR, usual_spacing, with_labels
from tests.modelling import walk_bars


@pytest.mark.parametrize("horizon", [1, 3])
def test_label_is_the_return_from_the_next_open(horizon: int) -> None:
    bars = walk_bars(2, 30)
    for market in ("walk:M0", "walk:M1"):
        mine = bars.filter(pl.col("market_id") == market).to_dicts()
        labelled = (
            with_labels(bars, usual_spacing(bars), horizon, 0.01).filter(pl.col("market_id") == market).to_dicts()
        )
        for number, row in enumerate(labelled):
            if number + horizon >= len(mine):
                assert (row["label"], row["forward_return"], row["label_end"]) == (None, None, None)
                continue
            change = mine[number + horizon]["close"] / mine[number + 1]["open"] - 1
            assert row["forward_return"] == pytest.approx(change)
            assert row["label"] == int(change > 0.01)
            assert row["label_end"] == mine[number + horizon]["ts"]


def test_no_label_across_a_long_gap() -> None:
    bars = walk_bars(1, 20)
    shift = pl.when(pl.int_range(pl.len()) >= 10).then(timedelta(days=GAP_FACTOR * 2)).otherwise(timedelta(0))
    gapped = bars.with_columns(pl.col("ts", "start", "end") + shift)
    labels = with_labels(gapped, usual_spacing(gapped), 2, 0.0).get_column("label")
    assert labels.slice(0, 8).null_count() == 0
    assert labels.slice(8, 2).null_count() == 2
    assert labels.slice(10, 8).null_count() == 0
