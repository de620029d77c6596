"""What a part contributes: its rows keyed by partition and market, and a hash over each group of them.

No reading or writing here. While rows are on their way a market is its rank in the sorted universe (`_market`) and a
side an Enum: half the bytes of text, and sorting by rank is sorting by market_id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipelines.calendars import CALENDARS
from pipelines.source import BAR_COLUMNS, TICK_COLUMNS, Batch

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    Matrix = np.ndarray[tuple[int, int], np.dtype[np.int64]]

Grain = Literal["day", "month", "year"]  # span of a partition
Kind = Literal["bars", "ticks"]
Pair = tuple[str, str]  # partition key, market_id

BARS, TRADES = "bars/", "trades/"  # what the keys of partitions begin with
TABLES = {"bars": BARS, "ticks": TRADES}
VALUES: dict[str, tuple[str, ...]] = {
    "bars": tuple(name for name in BAR_COLUMNS if name != "market_id"),
    "ticks": tuple(name for name in TICK_COLUMNS if name != "market_id"),
}
IDENTITY: dict[str, tuple[str, ...]] = {"bars": ("_market", "start"), "ticks": ("_market", "ts", "seq")}

SIDES = ("buy", "sell")
_GRAINS: tuple[Grain, ...] = ("day", "month", "year")
_KEY_FORMATS = ("%Y-%m-%d", "%Y-%m", "%Y")
_HOUR_SECONDS, _DAY_SECONDS = 3600, 86_400
_GROUP = ("_key", "_market", "_part")
# Columns that many sources do not have: hashed only for groups that do, so that the others stay small.
_RARE = ("bid", "ask")


@dataclass(frozen=True)
class Contribution:
    """The rows of some parts, grouped by partition key, market and part, rows of a group in the part's own order.

    rows: sorted by (_key, _market, _part). groups: one row per group, with `_key`, `_market`, `_part`, its `length`,
    the `hash` over what the part contributes, the partition's `key`, and the market's columns of the universe.
    """

    rows: pl.DataFrame
    groups: pl.DataFrame

    @property
    def hashes(self) -> dict[int, dict[Pair, str]]:
        """Number of a part -> (partition key, market) -> hash."""
        found: dict[int, dict[Pair, str]] = {}
        for part, key, market, text in self.groups.select("_part", "key", "market_id", "hash").iter_rows():
            found.setdefault(part, {})[key, market] = text
        return found

    def pick(self, wanted: Mapping[int, Collection[Pair]]) -> list[tuple[str, pl.DataFrame]]:
        """The rows of `wanted` pairs of each part, as one (partition key, rows) for each partition."""
        import polars as pl

        known = self.groups.select("_part", "key", "market_id").iter_rows()
        chosen = pl.Series([(key, market) in wanted.get(part, ()) for part, key, market in known], dtype=pl.Boolean)
        groups, rows = self.groups, self.rows
        if not chosen.all():
            rows = rows.filter(chosen.gather(_repeated(groups.get_column("length"))))
            groups = groups.filter(chosen)
        rows = rows.drop("_key")
        picked, offset = [], 0
        for key, length in groups.group_by("key", maintain_order=True).agg(pl.col("length").sum()).iter_rows():
            picked.append((key, rows.slice(offset, length)))
            offset += length
        return picked


def numbered(ranks: Sequence[int], of_part: pl.Series) -> pl.Series:
    """The rank of each row's part, from the number of its part among those that come together."""
    import polars as pl

    return pl.Series(ranks, dtype=pl.UInt32).gather(of_part)


def _repeated(lengths: pl.Series) -> pl.Series:
    """The number of each group, as often as it has rows."""
    import numpy as np
    import polars as pl

    return pl.Series(np.repeat(np.arange(len(lengths), dtype=np.uint32), lengths.to_numpy()))


def ranked(markets: pl.DataFrame, partition: Literal["auto"] | Grain) -> pl.DataFrame:
    """The universe as the functions below need it: market_id, kind, interval, its rank `_market`, and `grain`, the
    number of the span of its partitions: a year for bars of a day or longer, a month from an hour, else a day."""
    import polars as pl

    seconds = pl.col("interval_seconds").fill_null(0)
    is_long = (seconds >= _DAY_SECONDS) | pl.col("interval").is_in(CALENDARS).fill_null(False)
    auto = pl.when(is_long).then(2).when(seconds >= _HOUR_SECONDS).then(1).otherwise(0)
    grain = auto if partition == "auto" else pl.lit(_GRAINS.index(partition))
    return (
        markets.select("market_id", "kind", "interval", grain.cast(pl.Int8).alias("grain"))
        .sort("market_id")
        .with_row_index("_market")
    )


def contribution(batch: Batch, universe: pl.DataFrame, parts: pl.Series | None = None) -> Contribution:
    """What good rows contribute to which partition and market. A bar belongs whole to where it starts.

    `universe` is as `ranked` makes it; every market of the batch is in it. `parts` is the number of each row's part,
    rows of a part one after the other; None: all are of part 0.
    """
    import polars as pl

    number = pl.lit(0, pl.UInt32) if parts is None else pl.lit(parts)
    numbered = batch.frame.with_row_index("_row").with_columns(number.alias("_part"))
    # Numbered within its part, as where the part is read alone.
    numbered = numbered.with_columns(pl.col("_row") - pl.col("_row").first().over("_part"))
    frame = numbered.join(universe, on="market_id", how="left", maintain_order="left")
    day = pl.col("start" if batch.kind == "bars" else "ts").dt.date()
    starts = (day, day.dt.month_start(), pl.date(day.dt.year(), 1, 1))
    # Start of the partition and its grain in one number, so that partitions of two grains never meet in one group.
    keys = [
        pl.when(pl.col("grain") == grain).then(start.cast(pl.Int32) * 4 + grain) for grain, start in enumerate(starts)
    ]
    sides = [pl.col("side").cast(pl.Enum(SIDES))] if batch.kind == "ticks" else []
    # Columns that are empty are added again when a partition is finished: without quotes a bar has half the bytes.
    rare = [name for name in VALUES[batch.kind] if name.startswith(_RARE)]
    left_out = rare if all(is_empty(frame, name) for name in rare) else ()
    values = [name for name in VALUES[batch.kind] if name not in left_out]
    rows = (
        frame.select(pl.coalesce(keys).alias("_key"), "_market", "_part", *values, "_row")
        .with_columns(sides)
        .sort(_GROUP, maintain_order=True)
    )
    groups = rows.group_by(_GROUP, maintain_order=True).agg(pl.len().cast(pl.Int64).alias("length"))
    hashes = pl.Series("hash", _hash_groups(rows, groups.get_column("length").to_list()), pl.String)
    start = (pl.col("_key") // 4).cast(pl.Date)
    texts = [
        pl.when(pl.col("_key") % 4 == grain).then(TABLES[batch.kind] + start.dt.strftime(form))
        for grain, form in enumerate(_KEY_FORMATS)
    ]
    groups = groups.with_columns(hashes, pl.coalesce(texts).alias("key")).join(
        universe, on="_market", how="left", maintain_order="left"
    )
    return Contribution(rows, groups)


def is_empty(frame: pl.DataFrame, name: str) -> bool:
    """Whether a column has no value at all."""
    return frame.get_column(name).null_count() == frame.height


def _hash_groups(rows: pl.DataFrame, lengths: list[int]) -> list[str]:
    """Hash of each group's rows, bit for bit, whatever other groups there are."""
    values = [name for name in rows.columns if name not in (*_GROUP, "_row")]
    rare = [name for name in values if name.startswith(_RARE)]
    common = _as_matrix(rows, [name for name in values if name not in rare])
    has_rare = any(rows.get_column(name).null_count() < rows.height for name in rare)
    more = _as_matrix(rows, rare) if has_rare else None
    nothing = _as_matrix(rows.clear(1), rare) if has_rare else None
    hashes, offset = [], 0
    for length in lengths:
        hasher = hashlib.blake2b(common[offset : offset + length].tobytes(), digest_size=16)
        if more is not None and ((mine := more[offset : offset + length]) != nothing).any():
            hasher.update(mine.tobytes())
        hashes.append(hasher.hexdigest())
        offset += length
    return hashes


def _as_matrix(rows: pl.DataFrame, names: Sequence[str]) -> Matrix:
    """Each row as whole numbers, bit for bit, nulls as a value that no data has."""
    import numpy as np
    import polars as pl

    columns = []
    for name in names:
        column = rows.get_column(name)
        if column.dtype == pl.Float64:
            columns.append(column.fill_null(float("nan")).to_numpy().view(np.int64))
        else:
            columns.append(column.to_physical().cast(pl.Int64).fill_null(-(2**63)).to_numpy())
    return np.stack(columns, axis=1)
