"""Bars that a source does not give: made of trades and quotes, or of shorter bars; and how all bars are looked at.

No bar is invented for an interval without trades. A bar that ends at an instant holds only what was before it. A
source's own bars are never changed, cut or joined in part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.data.calendars import seconds_of
from pipelines.errors import PipelineError
from pipelines.source import BAR_COLUMNS

if TYPE_CHECKING:
    import polars as pl

TRADE_INTERVAL_SECONDS = 300  # of markets whose source gives single trades or quotes
TRADES_READ = ("market_id", "ts", "price", "size", "bid", "ask")
_DAY_SECONDS = 86_400
_PRICES = ("open", "high", "low", "close")
_QUOTES = tuple(f"{side}_{name}" for side in ("bid", "ask") for name in _PRICES)
# Columns of `look_at`.
SHOWN = (
    *("market_id", "ts", "bar_start", "interval_seconds", *_PRICES, "volume", "bid", "ask", "spread", "trade_count"),
    *("start", "end", *_QUOTES),
)


def market_intervals(markets: pl.DataFrame, interval_seconds: int | None) -> pl.DataFrame:
    """The bars of each market: columns market_id, seconds (Int64, length of the bars to make, null where the source's
    own are kept) and from_bars (Boolean, what they are made of).

    `markets` has market_id and interval (of the source's bars, null for trades and quotes). With `interval_seconds`
    None each market keeps its own bars, and has bars of 300 s where it has none. Raises PipelineError where the
    interval asked for is finer than a market's bars or no multiple of them: such bars would be made up.
    """
    import polars as pl

    found: list[tuple[str, int | None, bool]] = []
    for market, interval in markets.select("market_id", "interval").sort("market_id").iter_rows():
        if interval is None:
            found.append((market, interval_seconds or TRADE_INTERVAL_SECONDS, False))
        elif interval_seconds is None or _is_same(interval, interval_seconds):
            found.append((market, None, True))
        else:
            own = seconds_of(interval)
            if own is None or interval_seconds % own:
                raise PipelineError(
                    f"bars of {market} ({interval}) do not fit into bars of {interval_seconds} s",
                    where="[features] interval",
                    fix='set interval = "auto", or a multiple of the source\'s interval',
                )
            found.append((market, interval_seconds, True))
    schema = {"market_id": pl.String, "seconds": pl.Int64, "from_bars": pl.Boolean}
    return pl.DataFrame(found, schema=schema, orient="row")


def _is_same(interval: str, seconds: int) -> bool:
    """Whether bars of `interval` are what someone wants who asks for bars of `seconds`; a day on a clock is a day."""
    return seconds_of(interval) == seconds or (interval == "day" and seconds == _DAY_SECONDS)


def bars_of_trades(trades: pl.DataFrame, intervals: pl.DataFrame) -> pl.DataFrame:
    """Bars of one partition of trades and quotes, columns checks.BARS, sorted by (market_id, start).

    `trades` has TRADES_READ, sorted by (market_id, ts, seq); `intervals` is what market_intervals gives. A bar starts
    at a multiple of its length since 1970 (UTC). Raises PipelineError for trades of a market that `intervals` lacks.
    """
    import polars as pl

    known = _with_lengths(trades, intervals, "trades")
    ts, price = pl.col("ts"), pl.col("price")
    start = ts.dt.epoch("us") - ts.dt.epoch("us") % _micros()
    quotes = [
        expression.alias(f"{side}_{name}")
        for side in ("bid", "ask")
        for name, expression in zip(_PRICES, _ohlc(pl.col(side).drop_nulls()), strict=True)
    ]
    return (
        known.with_columns(start.cast(pl.Datetime("us", "UTC")).alias("start"))
        .group_by("market_id", "start", "seconds", maintain_order=True)
        .agg(
            *(expression.alias(name) for name, expression in zip(_PRICES, _ohlc(price), strict=True)),
            # The sum of no sizes is 0; a source without sizes has no volume, which is not the same.
            pl.when(pl.col("size").count() > 0).then(pl.col("size").sum()).alias("volume"),
            *quotes,
            pl.len().cast(pl.Int64).alias("trade_count"),
        )
        .with_columns(end=pl.col("start") + pl.duration(seconds="seconds"))
        .select(*BAR_COLUMNS, "trade_count")
        .sort("market_id", "start", maintain_order=True)
    )


def join_bars(bars: pl.DataFrame, intervals: pl.DataFrame) -> pl.DataFrame:
    """Longer bars made of whole bars of the source, columns checks.BARS, sorted by (market_id, start).

    `bars` has BAR_COLUMNS, sorted by (market_id, start). A long bar holds the short ones that start in its stretch of
    the grid since 1970 (UTC), and spans them whole: of four-hour bars from 22:00 one gets days from 2:00 to 2:00.
    Volumes are added; a quote is null where the bar it comes from has none.
    """
    import polars as pl

    known = _with_lengths(bars, intervals, "bars")
    start = pl.col("start").dt.epoch("us")
    length = (pl.col("end") - pl.col("start")).dt.total_microseconds()
    cell = start - start % _micros()
    sides = ("", "bid_", "ask_")
    joined = [
        expression
        for side in sides
        for expression in (
            pl.col(f"{side}open").first(),
            pl.col(f"{side}high").max(),
            pl.col(f"{side}low").min(),
            pl.col(f"{side}close").last(),
        )
    ]
    # From the first place in the stretch where a short bar could start, to where the last such bar would end.
    first_start, last_start, short = pl.col("_start").first(), pl.col("_start").last(), pl.col("_length").last()
    edge = pl.col("_cell") + _micros()
    return (
        known.with_columns(_start=start, _cell=cell, _length=length)
        .group_by("market_id", "_cell", "seconds", maintain_order=True)
        .agg(
            *joined,
            pl.when(pl.col("volume").count() > 0).then(pl.col("volume").sum()).alias("volume"),
            (first_start - pl.col("_cell").first()).mod(pl.col("_length").first()).alias("_offset"),
            last_start.alias("_last"),
            short.alias("_short"),
        )
        .with_columns(
            start=(pl.col("_cell") + pl.col("_offset")).cast(pl.Datetime("us", "UTC")),
            end=(pl.col("_last") + -((pl.col("_last") - edge) // pl.col("_short")) * pl.col("_short")).cast(
                pl.Datetime("us", "UTC")
            ),
            trade_count=pl.lit(None, pl.Int64),
        )
        .select(*BAR_COLUMNS, "trade_count")
        .sort("market_id", "start", maintain_order=True)
    )


def look_at(bars: pl.DataFrame) -> pl.DataFrame:
    """Bars as features, exports and queries see them: market_id, `ts` (when the bar is known, its end), bar_start,
    interval_seconds, prices, volume, the last bid and ask with their relative spread (null where they are crossed),
    trade_count (null where the source does not count them), then start, end and the quotes' own prices. Sorted as they
    were.
    """
    import polars as pl

    bid, ask, length = pl.col("bid_close"), pl.col("ask_close"), pl.col("end") - pl.col("start")
    has_count = "trade_count" in bars.columns
    return bars.with_columns(
        pl.col("end").alias("ts"),
        pl.col("start").alias("bar_start"),
        length.dt.total_seconds().alias("interval_seconds"),
        bid.alias("bid"),
        ask.alias("ask"),
        # Of crossed quotes there is no spread: a negative one would be earned by whoever trades.
        pl.when((ask >= bid) & (ask + bid > 0)).then((ask - bid) / ((ask + bid) / 2)).alias("spread"),
        pl.col("trade_count") if has_count else pl.lit(None, pl.Int64).alias("trade_count"),
    ).select(SHOWN)


def _with_lengths(rows: pl.DataFrame, intervals: pl.DataFrame, what: str) -> pl.DataFrame:
    import polars as pl

    known = rows.join(intervals, on="market_id", how="left", maintain_order="left")
    strangers = known.filter(pl.col("from_bars").is_null())
    if strangers.height:
        raise PipelineError(
            f"{strangers.height} {what} are of a market that is not in the universe: {strangers.item(0, 'market_id')}",
            where="ticks",
            fix="`agent mark-dirty markets`, then `agent run`",
        )
    return known


def _ohlc(value: pl.Expr) -> tuple[pl.Expr, pl.Expr, pl.Expr, pl.Expr]:
    return value.first(), value.max(), value.min(), value.last()


def _micros() -> pl.Expr:
    import polars as pl

    return pl.col("seconds") * 1_000_000
