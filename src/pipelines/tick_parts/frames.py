"""Tables on their way to ticks: bars unfolded, rows keyed by partition and market, contributions hashed, parts merged.

No reading or writing here. While rows are on their way a market is its rank in the sorted universe (`_market`) and a
side an Enum: half the bytes of text, and sorting by rank is sorting by market_id.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipelines.source import BAR_COLUMNS, TICK_COLUMNS, Batch, frame_schema

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

Grain = Literal["day", "month", "year"]  # span of a partition
Pair = tuple[str, str]  # partition key, market_id

# Synthetic tick -> (field of the bar, thirds of the interval after its start). The close is the last microsecond.
_UNFOLDED = {1: ("open", 0), 2: ("high", 1), 3: ("low", 2), 4: ("close", 3)}
_GRAINS: tuple[Grain, ...] = ("day", "month", "year")
_KEY_FORMATS = ("%Y-%m-%d", "%Y-%m", "%Y")
_HOUR_SECONDS, _DAY_SECONDS = 3600, 86_400
_GROUP = ("_key", "_market")


@dataclass(frozen=True)
class Contribution:
    """One part's ticks, grouped by partition key and market, rows of a group in the part's own order.

    rows: the ticks, sorted by (_key, _market). groups: a row a group, with `_key`, `_market`, its `length`, the `hash`
    over what the part contributes, the partition's `key`, and the market's columns of the universe.
    """

    rows: pl.DataFrame
    groups: pl.DataFrame

    @property
    def hashes(self) -> dict[Pair, str]:
        return {(key, market): text for key, market, text in self.groups.select("key", "market_id", "hash").iter_rows()}

    def pick(self, pairs: set[Pair]) -> list[tuple[str, pl.DataFrame]]:
        """The rows of `pairs`, as one (partition key, rows) a partition."""
        import polars as pl

        chosen = [pair in pairs for pair in self.groups.select("key", "market_id").iter_rows()]
        groups, rows = self.groups, self.rows
        if not all(chosen):
            groups = groups.filter(pl.Series(chosen, dtype=pl.Boolean))
            rows = rows.join(groups.select(_GROUP), on=_GROUP, how="semi", maintain_order="left")
        lengths = groups.group_by("key", maintain_order=True).agg(pl.col("length").sum())
        picked, offset = [], 0
        for key, length in lengths.iter_rows():
            picked.append((key, rows.slice(offset, length).drop("_key")))
            offset += length
        return picked


def ranked(markets: pl.DataFrame, partition: Literal["auto"] | Grain) -> pl.DataFrame:
    """The universe as the functions below need it: market_id, interval_seconds, its rank `_market`, and `grain`, the
    number of the span of its partitions: a year for bars of a day or longer, a month from an hour, else a day."""
    import polars as pl

    seconds = pl.col("interval_seconds").fill_null(0)
    auto = pl.when(seconds >= _DAY_SECONDS).then(2).when(seconds >= _HOUR_SECONDS).then(1).otherwise(0)
    grain = auto if partition == "auto" else pl.lit(_GRAINS.index(partition))
    return (
        markets.select("market_id", "interval_seconds", grain.cast(pl.Int8).alias("grain"))
        .sort("market_id")
        .with_row_index("_market")
    )


def unfold_bars(bars: pl.DataFrame) -> pl.DataFrame:
    """Four synthetic ticks a bar: open, high, low, close, at fixed instants inside its interval.

    `bars` has BAR_COLUMNS, `interval_seconds` and any others, which are kept. Where all eight quotes exist the price
    is the mid of bid and ask. The volume is on the close, so that the ticks re-aggregate to the same OHLCV.
    """
    import polars as pl

    quotes = [name for name in BAR_COLUMNS if name.startswith(("bid_", "ask_"))]
    has_quotes = pl.all_horizontal(pl.col(name).is_not_null() for name in quotes)
    micros = pl.col("interval_seconds") * 1_000_000
    others = [name for name in bars.columns if name not in BAR_COLUMNS]
    parts = []
    for number, (field, thirds) in _UNFOLDED.items():
        bid, ask = pl.col(f"bid_{field}"), pl.col(f"ask_{field}")
        offset = micros * thirds // 3 if thirds < 3 else micros - 1
        parts.append(
            bars.select(
                pl.col("market_id"),
                pl.col("ts") + pl.duration(microseconds=offset),
                pl.lit(number - 1, pl.Int64).alias("seq"),
                pl.when(has_quotes).then((bid + ask) / 2).otherwise(pl.col(field)).alias("price"),
                (pl.col("volume") if number == 4 else pl.lit(None, pl.Float64)).alias("size"),
                pl.lit(None, pl.String).alias("side"),
                bid.alias("bid"),
                ask.alias("ask"),
                pl.lit(number, pl.Int8).alias("synthetic"),
                *others,
            )
        )
    return pl.concat(parts)


def contribution(batch: Batch, universe: pl.DataFrame) -> Contribution:
    """What a part's good rows contribute to which partition and market.

    `universe` is as `ranked` makes it; every market of the batch is in it.
    """
    import polars as pl

    frame = batch.frame.with_row_index("_row").join(universe, on="market_id", how="left", maintain_order="left")
    frame = unfold_bars(frame) if batch.kind == "bars" else frame.with_columns(synthetic=pl.lit(0, pl.Int8))
    day = pl.col("ts").dt.date()
    starts = (day, day.dt.month_start(), pl.date(pl.col("ts").dt.year(), 1, 1))
    # Start of the partition and its grain in one number, so that partitions of two grains never meet in one group.
    keys = [
        pl.when(pl.col("grain") == grain).then(start.cast(pl.Int32) * 4 + grain) for grain, start in enumerate(starts)
    ]
    rows = frame.select(
        pl.coalesce(keys).alias("_key"),
        *("_market", "ts", "seq", "price", "size"),
        pl.col("side").cast(pl.Enum(["buy", "sell"])),
        *("bid", "ask", "synthetic", "_row"),
    ).sort(_GROUP, maintain_order=True)
    groups = rows.group_by(_GROUP, maintain_order=True).agg(pl.len().cast(pl.Int64).alias("length"))
    hashes = pl.Series("hash", _hash_groups(_as_matrix(rows), groups.get_column("length").to_list()), pl.String)
    start = (pl.col("_key") // 4).cast(pl.Date)
    texts = [
        pl.when(pl.col("_key") % 4 == grain).then(start.dt.strftime(form)) for grain, form in enumerate(_KEY_FORMATS)
    ]
    groups = groups.with_columns(hashes, pl.coalesce(texts).alias("key")).join(
        universe, on="_market", how="left", maintain_order="left"
    )
    return Contribution(rows, groups)


def merge(rows: pl.DataFrame) -> pl.DataFrame:
    """The ticks that several parts' rows of one partition amount to, sorted by (_market, ts, seq).

    Of rows with the same (market, ts, seq) the last stays: later in its part, or in a later part. Rows without seq
    are no corrections of each other: exact duplicates are dropped, the others numbered within their instant, after
    those that have a number.
    """
    import polars as pl

    order = ["_part", "_row"]
    known = rows.filter(pl.col("seq").is_not_null()).sort("_market", "ts", "seq", *order)
    repeats = pl.all_horizontal(pl.col(name) == pl.col(name).shift(-1) for name in ("_market", "ts", "seq"))
    known = known.filter(~repeats.fill_null(False)).drop(order)
    bare = rows.filter(pl.col("seq").is_null())
    if bare.is_empty():
        return known
    instant = ["_market", "ts"]
    bare = bare.sort(*instant, *order).drop(order)
    bare = bare.unique(keep="first", maintain_order=True)
    taken = known.group_by(instant).agg((pl.col("seq").max() + 1).alias("_first"))
    numbered = bare.join(taken, on=instant, how="left", maintain_order="left").with_columns(
        seq=pl.int_range(pl.len(), dtype=pl.Int64).over(instant) + pl.col("_first").fill_null(0)
    )
    return pl.concat([known, numbered.select(known.columns)]).sort("_market", "ts", "seq")


def finish(rows: pl.DataFrame, universe: pl.DataFrame) -> pl.DataFrame:
    """Merged rows as TICK_COLUMNS."""
    import polars as pl

    ids = universe.get_column("market_id").gather(rows.get_column("_market"))
    return rows.with_columns(ids.alias("market_id"), pl.col("side").cast(pl.String)).select(*frame_schema(TICK_COLUMNS))


def unfinish(ticks: pl.DataFrame, universe: pl.DataFrame) -> pl.DataFrame:
    """The reverse of `finish`, for ticks of an earlier run; markets that are not in `universe` are left out."""
    import polars as pl

    rank = universe.select("market_id", "_market")
    return ticks.join(rank, on="market_id", how="inner", maintain_order="left").select(
        *("_market", "ts", "seq", "price", "size"),
        pl.col("side").cast(pl.Enum(["buy", "sell"])),
        *("bid", "ask", "synthetic"),
    )


def _as_matrix(rows: pl.DataFrame) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Each row as eight whole numbers, bit for bit, nulls as a value that no data has."""
    import numpy as np
    import polars as pl

    whole = [
        pl.col("ts").to_physical(),
        pl.col("seq").fill_null(-(2**63)),
        pl.col("side").to_physical().cast(pl.Int64).fill_null(-1),
        pl.col("synthetic").cast(pl.Int64),
    ]
    columns = [rows.select(one).to_series().to_numpy() for one in whole]
    columns += [
        rows.get_column(name).fill_null(float("nan")).to_numpy().view(np.int64)
        for name in ("price", "size", "bid", "ask")
    ]
    return np.stack(columns, axis=1)


def _hash_groups(matrix: np.ndarray[tuple[int, int], np.dtype[np.int64]], lengths: list[int]) -> list[str]:
    hashes, offset = [], 0
    for length in lengths:
        hashes.append(hashlib.blake2b(matrix[offset : offset + length].tobytes(), digest_size=16).hexdigest())
        offset += length
    return hashes
