"""Two models on the same rows, and two backtests at the same times: differences in pairs, with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.evaluation.blocks import numbered, time_blocks
from pipelines.evaluation.intervals import Interval, mean_interval
from pipelines.evaluation.scores import log_error, paired, squared_error

if TYPE_CHECKING:
    import polars as pl

FORECAST_COLUMNS = ("market_id", "ts", "probability", "label", "horizon_bars", "spacing_seconds")
_SCORES = {"Brier score": squared_error, "log loss": log_error}
_MICROSECONDS = 1_000_000


def forecasts_apart(before: pl.DataFrame, after: pl.DataFrame, events: pl.DataFrame) -> dict[str, Interval]:
    """Score -> its mean difference, `after` minus `before` (below 0, the later one is better), over the out-of-fold
    rows (FORECAST_COLUMNS) that both forecast for the same horizon and with the same outcome. Empty without such rows.

    events: market_id, event of each binary market, whose rows are one piece of evidence (see evaluation.blocks).
    """
    import numpy as np
    import polars as pl

    known = (one.select(FORECAST_COLUMNS).drop_nulls(("label", "probability")) for one in (before, after))
    same = ("market_id", "ts", "label", "horizon_bars", "spacing_seconds")
    both = next(known).join(next(known), on=same, suffix="_after").join(events, on="market_id", how="left")
    if both.is_empty():
        return {}
    both = both.sort("ts", "market_id")
    span = both.select((pl.col("horizon_bars").cast(pl.Int64) * pl.col("spacing_seconds")).max()).item() or 0
    ts = both.get_column("ts").dt.epoch("us").to_numpy()
    blocks = numbered(ts, span * _MICROSECONDS, both.get_column("event").to_list())
    label = both.get_column("label").to_numpy().astype(np.float64)
    old, new = (both.get_column(name).to_numpy() for name in ("probability", "probability_after"))
    found = {name: paired(score(new, label), score(old, label), blocks) for name, score in _SCORES.items()}
    return {name: one for name, one in found.items() if one is not None}


def equities_apart(before: pl.DataFrame, after: pl.DataFrame) -> Interval | None:
    """Mean difference of the returns between neighbouring times that both curves (ts, equity, in time order) have, a
    fraction per step, `after` minus `before`; None without two such times. A day is one piece of evidence."""
    import numpy as np
    import polars as pl

    both = before.join(after, on="ts", suffix="_after").sort("ts")
    steps = both.select(
        "ts", (pl.col("equity_after").pct_change() - pl.col("equity").pct_change()).alias("apart")
    ).drop_nulls()
    days = time_blocks(steps.get_column("ts").dt.epoch("us").to_numpy(), 0)
    _, blocks = np.unique(days, return_inverse=True)
    return mean_interval(steps.get_column("apart").to_numpy(), blocks.reshape(-1).astype(np.int64))
