"""History in pieces, as the simulation wants it: bars, decisions and payouts of one span, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.component import Input
from pipelines.costs import BINARY
from pipelines.data.spans import span_key, span_of
from pipelines.decision import Rules, edges_of, entering
from pipelines.modelling.deciding import columns_of, distance
from pipelines.modelling.kernel import PAYOUT, Closes, Markets, Opens
from pipelines.modelling.labels import GAP_FACTOR
from pipelines.modelling.simulation import Piece
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_BARS = "bars/"
_SECOND = 1_000_000
_FOR_GOOD = 2**31  # bars: a position that is held to the resolution


@dataclass(frozen=True)
class History:
    """What happened from `begin` on. bars: the features' bars; markets: MARKET_FACTS; signals: the forecasts."""

    bars: Input
    markets: pl.DataFrame
    signals: pl.DataFrame
    begin: datetime
    rules: Rules

    def piece(self, key: str, state: Mapping[str, Any]) -> Piece:
        """Bars known within span `key` and bars that began within it. `state`: of the simulation before it, whose
        markets have a number in each piece."""
        return self.between(*span_of(key), [name for book in state.values() for name in book["markets"]])

    def between(self, low: datetime, high: datetime, known: Sequence[str] = ()) -> Piece:
        """Bars known after `low` and until `high`, and bars that began from `low` on and before `high`. known: markets
        that have a number whether they have bars or not."""
        import polars as pl

        bars = self._bars(low, high)
        names = sorted({*self.markets.get_column("market_id"), *bars.get_column("market_id"), *known})
        number = pl.DataFrame({"market_id": names, "number": range(len(names))}, schema_overrides={"number": pl.Int32})
        ended = bars.filter(pl.col("ts") > low, pl.col("ts") <= high, pl.col("ts") >= self.begin)
        begun = bars.filter(pl.col("start") >= low, pl.col("start") < high, pl.col("start") >= self.begin)
        return Piece(
            names=names,
            closes=self._closes(ended, low, high, number),
            opens=_opens(begun, number),
            markets=self._facts(bars, number),
            start=pl.Series([self.begin]).cast(pl.Datetime("us", "UTC")).cast(pl.Int64).item(),
        )

    def _bars(self, low: datetime, high: datetime) -> pl.DataFrame:
        """Bars that begin or end within the span, with their market's facts; none that says what a payout does."""
        import polars as pl

        near = [
            p
            for p in self.bars.snapshot.select(_BARS)
            if p.max_ts is not None and p.max_ts > low and span_of(span_key(p.key))[0] < high
        ]
        columns = ("market_id", "start", "end", "open", "close", "bid_open", "ask_open", "bid_close", "ask_close")
        bars = self.bars.lake.read_tables(near, columns)
        over = pl.col("resolution").is_not_null() & (pl.col("ts") >= pl.col("resolved_at"))
        return (
            bars.rename({"end": "ts"})
            .join(self.markets, on="market_id", how="left", maintain_order="left")
            .with_columns(pl.col("half_spread", "slippage", "fee").fill_null(0.0))
            .filter(~over.fill_null(False))
        )

    def _closes(self, ended: pl.DataFrame, low: datetime, high: datetime, number: pl.DataFrame) -> Closes:
        import numpy as np
        import polars as pl

        rows = ended.join(self.signals.drop("spacing_seconds"), on=("market_id", "ts"), how="left")
        edges = edges_of(columns_of(rows, self.rules), self.rules.margin, self.rules.allow_short)
        side = entering(edges.long, edges.short, self.rules.margin)
        decided = rows.select("market_id", "ts", pl.col("close").alias("price")).with_columns(
            side=pl.Series(side, dtype=pl.Int8),
            strength=pl.Series(np.where(side > 0, edges.long, np.where(side < 0, edges.short, 0.0)), dtype=pl.Float64),
        )
        at = pl.col("resolved_at")
        paid = self.markets.filter(pl.col("resolution").is_not_null(), at > low, at <= high, at >= self.begin).select(
            "market_id",
            at.alias("ts"),
            pl.col("resolution").alias("price"),
            side=pl.lit(PAYOUT, dtype=pl.Int8),
            strength=pl.lit(0.0),
        )
        table = pl.concat([decided, paid]).join(number, on="market_id").sort("ts", "number")
        return Closes(*_arrays(table, "ts", "number", "price", "side", "strength"))

    def _facts(self, bars: pl.DataFrame, number: pl.DataFrame) -> Markets:
        import polars as pl

        usual = self.signals.select("market_id", "spacing_seconds").unique("market_id", keep="last")
        length = (pl.col("ts") - pl.col("start")).dt.total_seconds()
        lengths = bars.group_by("market_id").agg(length=length.median().cast(pl.Int64))
        horizon = self.rules.horizon_bars
        table = (
            number.join(self.markets, on="market_id", how="left")
            .join(usual, on="market_id", how="left")
            .join(lengths, on="market_id", how="left")
            .sort("number")
            .select(
                pl.sum_horizontal("half_spread", "slippage").fill_null(0.0).alias("distance"),
                pl.col("fee").fill_null(0.0),
                pl.col("kind").eq_missing(BINARY).cast(pl.Int64).alias("is_binary"),
                pl.coalesce("spacing_seconds", "length", pl.lit(0))
                .mul(GAP_FACTOR * horizon * _SECOND)
                .alias("patience"),
                pl.lit(_FOR_GOOD if self.rules.to_resolution else horizon, dtype=pl.Int64).alias("horizon"),
            )
        )
        return Markets(*_arrays(table, *Markets._fields))


def _opens(begun: pl.DataFrame, number: pl.DataFrame) -> Opens:
    import polars as pl

    table = (
        begun.with_columns(distance=distance("open"))
        .join(number, on="market_id")
        .sort("start", "number")
        .select("start", "number", pl.col("open").alias("price"), "distance")
    )
    return Opens(*_arrays(table, "start", "number", "price", "distance"))


def _arrays(table: pl.DataFrame, *names: str) -> list[Any]:
    """Columns as contiguous arrays of their own, times as microseconds."""
    import numpy as np
    import polars as pl

    columns = (table.get_column(name) for name in names)
    return [
        np.ascontiguousarray((one.cast(pl.Int64) if one.dtype.is_temporal() else one).to_numpy()).copy()
        for one in columns
    ]
