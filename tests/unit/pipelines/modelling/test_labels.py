"""Labels against a plain loop over bars."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest

from pipelines.modelling.labels import GAP_FACTOR, usual_spacing, with_labels
from tests.modelling import walk_bars


def facts(markets: list[str], kind: str = "spot", fee: float = 0.0, **paid: tuple[datetime, float]) -> pl.DataFrame:
    """What labels know of `markets`; `paid` by the last part of a name: when it was resolved, and at what."""
    rows = [
        {"market_id": name, "kind": kind, "half_spread": 0.0, "slippage": 0.0, "fee": fee}
        | dict(zip(("resolved_at", "resolution"), paid.get(name.rpartition(":")[2], (None, None)), strict=True))
        for name in markets
    ]
    schema = dict.fromkeys(("half_spread", "slippage", "fee", "resolution"), pl.Float64)
    return pl.DataFrame(
        rows,
        schema={"market_id": pl.String, "kind": pl.String, "resolved_at": pl.Datetime("us", "UTC"), **schema},
    )


@pytest.mark.parametrize("horizon", [1, 3])
def test_label_is_the_return_from_the_next_open(horizon: int) -> None:
    bars = walk_bars(2, 30)
    for market in ("walk:M0", "walk:M1"):
        mine = bars.filter(pl.col("market_id") == market).to_dicts()
        made = with_labels(bars, usual_spacing(bars), horizon, facts(["walk:M0", "walk:M1"], fee=0.005))
        labelled = made.filter(pl.col("market_id") == market).to_dicts()
        for number, row in enumerate(labelled):
            if number + horizon >= len(mine):
                assert (row["label"], row["forward_return"], row["label_end"]) == (None, None, None)
                continue
            change = mine[number + horizon]["close"] / mine[number + 1]["open"] - 1
            assert row["forward_return"] == pytest.approx(change)
            assert row["cost"] == pytest.approx(0.01)
            assert row["label"] == int(change > row["cost"])
            assert row["label_end"] == mine[number + horizon]["ts"]


def test_no_label_across_a_long_gap() -> None:
    bars = walk_bars(1, 20)
    shift = pl.when(pl.int_range(pl.len()) >= 10).then(timedelta(days=GAP_FACTOR * 2)).otherwise(timedelta(0))
    gapped = bars.with_columns(pl.col("ts", "start", "end") + shift)
    labels = with_labels(gapped, usual_spacing(gapped), 2, facts(["walk:M0"])).get_column("label")
    assert labels.slice(0, 8).null_count() == 0
    assert labels.slice(8, 2).null_count() == 2
    assert labels.slice(10, 8).null_count() == 0


def binary_bars(days: int = 6) -> pl.DataFrame:
    bars = walk_bars(1, days)
    return bars.with_columns(pl.col("open", "high", "low", "close") / 250)


@pytest.mark.parametrize(("after_days", "paid"), [(0.5, 1.0), (3.0, 0.0), (9.5, 0.4)])
def test_the_last_labels_come_from_what_the_market_paid(after_days: float, paid: float) -> None:
    bars = binary_bars()
    last = bars.item(-1, "ts")
    at = last + timedelta(days=after_days)
    known = facts(["walk:M0"], "binary", 0.07, M0=(at, paid))
    rows = with_labels(bars, usual_spacing(bars), 2, known).to_dicts()
    assert [row["label_end"] for row in rows[:4]] == [row["ts"] + timedelta(days=2) for row in rows[:4]]
    entry = rows[5]["open"]
    within = at - rows[4]["ts"] <= timedelta(days=GAP_FACTOR * 2)
    assert rows[4]["forward_return"] == (pytest.approx(paid - entry) if within else None)
    assert rows[4]["label_end"] == (at if within else None)
    # A payout needs no fill: one fee, not two.
    assert rows[4]["cost"] == pytest.approx(0.07 * entry * (1 - entry))
    assert rows[3]["cost"] == pytest.approx(2 * 0.07 * rows[4]["open"] * (1 - rows[4]["open"]))
    assert rows[5]["label"] is None  # nothing could be bought any more


def test_a_bar_that_is_known_with_the_resolution_says_no_more_than_it() -> None:
    bars = binary_bars()
    at = bars.item(4, "ts")
    rows = with_labels(bars, usual_spacing(bars), 2, facts(["walk:M0"], "binary", M0=(at, 1.0))).to_dicts()
    assert rows[2]["forward_return"] == pytest.approx(1.0 - rows[3]["open"])
    assert rows[1]["forward_return"] == pytest.approx(rows[3]["close"] - rows[2]["open"])
