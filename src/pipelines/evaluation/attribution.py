"""Where a backtest's money came from: by market, day, probability and reason of leaving; its drawdowns; and how two
backtests' trades differ.

`trades` has what the backtest writes: market_id, side, signal_at, entry_at, exit_at, reason, pnl (multiples of the
start); `curve` ts and equity, in time order.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from pipelines.modelling.metrics import SECONDS_PER_YEAR
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

By = Literal["market_id", "day", "probability", "reason"]
_SAME_TRADE = ("market_id", "side", "entry_at")
_BUCKETS = 10
_MONTHS_FROM_DAYS = 62  # a shorter span is told day by day
_AROUND = 0.15  # of the time that trades took, shown before and after them
_LONG_DAYS, _SHARPE_DAYS, _SHARPE_DAYS_LONG = 365, 30, 90
WAYS: dict[By, str] = {
    "market_id": "market",
    "day": "day of exit (UTC)",
    "probability": "probability at the signal",
    "reason": "reason of exit",
}


@dataclass(frozen=True)
class Drawdown:
    """A fall from a peak: how deep (a fraction of the peak), when the peak, the lowest point and the recovery were; not
    recovered: None."""

    depth: float
    peak_at: datetime
    lowest_at: datetime
    recovered_at: datetime | None


@dataclass(frozen=True)
class Apart:
    """Trades of two backtests: how many both have, and those of either alone, the largest P&L first."""

    both: int
    before: pl.DataFrame
    after: pl.DataFrame


def way(name: str | None) -> By:
    """The way of summing that has this name; by market where none has."""
    return next((one for one in WAYS if one == name), "market_id")


def with_probability(trades: pl.DataFrame, forecasts: pl.DataFrame) -> pl.DataFrame:
    """Trades with the `probability` that was forecast at their signal (`forecasts`: market_id, ts, probability); null
    where none is on record."""
    import polars as pl

    known = forecasts.select("market_id", pl.col("ts").alias("signal_at"), "probability")
    known = known.unique(("market_id", "signal_at"), keep="last", maintain_order=True)
    return trades.join(known, on=("market_id", "signal_at"), how="left", maintain_order="left")


def attributed(trades: pl.DataFrame, by: By) -> pl.DataFrame:
    """`by` (text), trades, won (how many gained), pnl (their sum), of the model's closed trades.

    Days (UTC) of the exit and buckets of probability in their order, the others by P&L, largest first. Trades whose
    probability is not on record (null) are a bucket "unknown". The sum of pnl is that of all trades, whatever `by`.
    """
    import polars as pl

    found = (
        trades.with_columns(key_of(by).alias(by))
        .group_by(by)
        .agg(pl.len().alias("trades"), (pl.col("pnl") > 0).sum().alias("won"), pl.col("pnl").sum())
    )
    if by in ("day", "probability"):
        return found.sort(by)
    return found.sort(pl.col("pnl"), pl.col(by), descending=[True, False])


def extremes(found: pl.DataFrame, most: int) -> tuple[pl.DataFrame, int]:
    """At most `most` rows of `attributed`, in its order: those that gained most and those that lost most, half and
    half. And how many are left out."""
    import polars as pl

    if found.height <= most:
        return found, 0
    place = pl.col("pnl").rank("ordinal", descending=True)
    half = most // 2
    return found.filter((place <= most - half) | (place > pl.len() - half)), found.height - most


def key_of(by: By) -> pl.Expr:
    """What a trade is grouped by, as text."""
    import polars as pl

    if by == "day":
        return pl.col("exit_at").dt.strftime("%Y-%m-%d")
    if by == "probability":
        low = (pl.col("probability") * _BUCKETS).floor().clip(0, _BUCKETS - 1).cast(pl.Int64) * (100 // _BUCKETS)
        high = low + 100 // _BUCKETS
        text = pl.format("{} to {} %", low.cast(pl.String).str.pad_start(2, "0"), high)
        return pl.when(pl.col("probability").is_null()).then(pl.lit("unknown")).otherwise(text)
    return pl.col(by)


def marks(trades: pl.DataFrame, *, is_binary: bool) -> pl.DataFrame:
    """Where trades of one market stand on its chart: at, price (YES's, whatever was held), what (entry or exit), side,
    reason, pnl; in time order."""
    import polars as pl

    held_no = pl.lit(is_binary) & (pl.col("side") < 0)
    facts = ("side", "reason", "pnl")
    ends = [
        trades.select(
            pl.col(f"{what}_at").alias("at"),
            pl.when(held_no).then(1 - pl.col(f"{what}_price")).otherwise(pl.col(f"{what}_price")).alias("price"),
            pl.lit(what).alias("what"),
            *facts,
        )
        for what in ("entry", "exit")
    ]
    return pl.concat(ends).sort("at", maintain_order=True)


def around(trades: pl.DataFrame) -> tuple[datetime, datetime]:
    """From a little before the first entry to a little after the last exit of some trades."""
    times = [at for name in ("entry_at", "exit_at") for at in trades.get_column(name).to_list()]
    begin, end = min(times), max(times)
    room = max((end - begin) * _AROUND, timedelta(hours=1))
    return begin - room, end + room


def most_moving(trades: pl.DataFrame) -> str:
    """The market of the trade with the largest gain or loss."""
    at = trades.get_column("pnl").abs().arg_max()
    market_id: str = trades.item(at or 0, "market_id")
    return market_id


def worst_drawdowns(curve: pl.DataFrame, count: int) -> list[Drawdown]:
    """The deepest falls from one peak to the next, deepest first, each counted once: max over it of
    (peak - equity) / peak."""
    import polars as pl

    if curve.is_empty():
        return []
    stretches = (
        curve.with_columns(peak=pl.col("equity").cum_max())
        # A new stretch begins where the curve is at its peak again.
        .with_columns(
            stretch=(pl.col("equity") >= pl.col("peak")).cum_sum(), fall=1 - pl.col("equity") / pl.col("peak")
        )
        .group_by("stretch", maintain_order=True)
        .agg(
            pl.col("ts").first().alias("peak_at"),
            pl.col("ts").get(pl.col("fall").arg_max()).alias("lowest_at"),
            pl.col("fall").max().alias("depth"),
        )
        .with_columns(recovered_at=pl.col("peak_at").shift(-1))
        .filter(pl.col("depth") > 0)
        .sort("depth", descending=True)
        .head(count)
    )
    columns = ("depth", "peak_at", "lowest_at", "recovered_at")
    return [Drawdown(*row) for row in stretches.select(columns).iter_rows()]


def sharpe_window(curve: pl.DataFrame) -> int:
    """Days over which the rolling Sharpe ratio of a curve is taken: a quarter, of less than a year a month."""
    span = 0 if curve.is_empty() else (curve.item(-1, "ts") - curve.item(0, "ts")).days
    return _SHARPE_DAYS_LONG if span >= _LONG_DAYS else _SHARPE_DAYS


def rolling_sharpe(curve: pl.DataFrame, window: int) -> pl.DataFrame:
    """ts and sharpe over the last `window` daily returns (UTC): mean / std (ddof 1) × sqrt(daily returns a year), with
    as many a year as the curve has (Sharpe 1994, Journal of Portfolio Management 21). Rows with a whole window that
    moved at all; none where there are fewer days."""
    import polars as pl

    days = _ends_of(curve, "1d")
    count = days.height
    if count <= window:
        return days.select("ts", sharpe=pl.lit(None, pl.Float64)).clear()
    years = (days.item(-1, "ts") - days.item(0, "ts")).total_seconds() / SECONDS_PER_YEAR
    root = math.sqrt((count - 1) / years)
    change = pl.col("equity") / pl.col("equity").shift(1) - 1
    moved = days.with_columns(change=change).with_columns(
        mean=pl.col("change").rolling_mean(window), deviation=pl.col("change").rolling_std(window)
    )
    # What did not move at all differs from 0 by rounding only.
    return moved.filter(pl.col("deviation") > 1e-12).select("ts", sharpe=pl.col("mean") / pl.col("deviation") * root)


def periods(curve: pl.DataFrame) -> tuple[str, pl.DataFrame]:
    """ "month" or, for a span of up to two months, "day", and the return in each (UTC): columns ts (its beginning) and
    value. Their product, each with 1 added, is the whole growth."""
    import polars as pl

    span = 0 if curve.is_empty() else (curve.item(-1, "ts") - curve.item(0, "ts")).days
    every, name = ("1mo", "month") if span > _MONTHS_FROM_DAYS else ("1d", "day")
    ends = _ends_of(curve, every)
    before = pl.col("equity").shift(1).fill_null(pl.col("first"))
    return name, ends.select(pl.col("begin").alias("ts"), (pl.col("equity") / before - 1).alias("value"))


def _ends_of(curve: pl.DataFrame, every: str) -> pl.DataFrame:
    """begin, ts, equity of the last point in each period; first: the equity of its first point."""
    import polars as pl

    return curve.group_by(pl.col("ts").dt.truncate(every).alias("begin"), maintain_order=True).agg(
        pl.col("equity").first().alias("first"), pl.col("ts").last(), pl.col("equity").last()
    )


def trades_apart(before: pl.DataFrame, after: pl.DataFrame) -> Apart:
    """Which trades only one of two backtests made. The same trade: same market, side and entry."""
    import polars as pl

    alone = [
        one.join(other, on=_SAME_TRADE, how="anti", maintain_order="left").sort(
            pl.col("pnl").abs(), descending=True, maintain_order=True
        )
        for one, other in ((before, after), (after, before))
    ]
    return Apart(after.height - alone[1].height, alone[0], alone[1])
