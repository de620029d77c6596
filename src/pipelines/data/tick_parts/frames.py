"""What a part contributes: its rows keyed by partition and market, and a hash over each group of them.

No reading or writing here. While rows are on their way a market is its rank in the sorted universe (`_market`) and a
side an Enum: half the bytes of text, and sorting by rank is sorting by market_id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pipelines.data.calendars import CALENDARS
from pipelines.parallel import MANY_ROWS, in_threads
from pipelines.source import BAR_COLUMNS, TICK_COLUMNS, Batch
from pipelines.values import dataclass

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    Numbers = np.ndarray[tuple[int], np.dtype[Any]]

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
_SMALL = 32  # rows of a group; of smaller ones each call counts, of larger ones each copy


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
    import numpy as np
    import polars as pl

    frame = batch.frame
    part = np.zeros(frame.height, np.uint32) if parts is None else parts.to_numpy()
    market, grain = _markets_of(frame.get_column("market_id"), universe)
    key = _keys(frame.get_column("start" if batch.kind == "bars" else "ts"), grain)
    # Columns that are empty are added again when a partition is finished: without quotes a bar has half the bytes.
    rare = [name for name in VALUES[batch.kind] if name.startswith(_RARE)]
    left_out = rare if all(is_empty(frame, name) for name in rare) else ()
    values = [name for name in VALUES[batch.kind] if name not in left_out]
    sides = [pl.col("side").cast(pl.Enum(SIDES))] if batch.kind == "ticks" else []
    rows = frame.select(
        pl.Series("_key", key),
        pl.Series("_market", market),
        pl.Series("_part", part),
        *values,
        pl.Series("_row", _numbers_within(part)),
    ).with_columns(sides)
    order = _order(key, market, part)
    if order is not None:
        rows = rows.select(pl.all().gather(pl.Series(order)))
    starts = _starts(*(rows.get_column(name).to_numpy() for name in _GROUP))
    lengths = np.diff(starts, append=rows.height)
    first = rows.select(pl.col(_GROUP).gather(pl.Series(starts)))
    hashes = pl.Series("hash", _hash_groups(rows, starts, lengths), pl.String)
    start = (pl.col("_key") // 4).cast(pl.Date)
    texts = [
        pl.when(pl.col("_key") % 4 == grain).then(TABLES[batch.kind] + start.dt.strftime(form))
        for grain, form in enumerate(_KEY_FORMATS)
    ]
    groups = first.with_columns(pl.Series("length", lengths, pl.Int64), hashes, pl.coalesce(texts).alias("key")).join(
        universe, on="_market", how="left", maintain_order="left"
    )
    return Contribution(rows, groups)


def _markets_of(ids: pl.Series, universe: pl.DataFrame) -> tuple[Numbers, Numbers]:
    """Rank and grain of each row's market. Rows of a market mostly come one after the other: it is looked up for each
    such run."""
    import numpy as np

    runs = (
        ids.rle()
        .struct.unnest()
        .join(
            universe.select("market_id", "_market", "grain"),
            left_on="value",
            right_on="market_id",
            how="left",
            maintain_order="left",
        )
    )
    lengths = runs.get_column("len").to_numpy()
    market, grain = (runs.get_column(name).to_numpy() for name in ("_market", "grain"))
    return np.repeat(market, lengths), np.repeat(grain, lengths)


def _keys(times: pl.Series, grain: Numbers) -> Numbers:
    """Start of each row's partition and its grain in one number, so that partitions of two grains never meet in one
    group."""
    import numpy as np

    day = times.dt.date()
    found: Numbers = np.zeros(len(times), np.int32)
    for number in range(len(_GRAINS)):
        here = grain == number
        if here.any():
            start = (day, day.dt.month_start(), day.dt.truncate("1y"))[number]
            np.copyto(found, start.to_physical().to_numpy() * 4 + np.int32(number), where=here)
    return found


def _numbers_within(part: Numbers) -> Numbers:
    """The number of each row within its part, from 0 on, as where the part is read alone."""
    import numpy as np

    starts = _starts(part)
    first: Numbers = np.repeat(starts, np.diff(starts, append=len(part)))
    return (np.arange(len(part)) - first).astype(np.uint32)


def _starts(*columns: Numbers) -> Numbers:
    """Where rows begin that differ from the row before."""
    import numpy as np

    if not len(columns[0]):
        return np.zeros(0, np.int64)
    differs = np.logical_or.reduce([one[1:] != one[:-1] for one in columns])
    return np.concatenate(([0], np.flatnonzero(differs) + 1))


def _order(key: Numbers, market: Numbers, part: Numbers) -> Numbers | None:
    """The order by (key, market, part) that leaves equal rows as they stand; None where they are in it."""
    import numpy as np

    if len(key) < 2:
        return None
    packed = np.zeros(len(key), np.int64)
    room = 1
    for column in (key, market, part):
        offset = column.astype(np.int64) - int(column.min())
        span = int(offset.max()) + 1
        room *= span
        packed = packed * span + offset
    if room >= 2**62:
        return np.lexsort((part, market, key))
    if bool((packed[1:] >= packed[:-1]).all()):
        return None
    return np.argsort(packed, kind="stable")


def is_empty(frame: pl.DataFrame, name: str) -> bool:
    """Whether a column has no value at all."""
    return frame.get_column(name).null_count() == frame.height


def _hash_groups(rows: pl.DataFrame, starts: Numbers, lengths: Numbers) -> list[str]:
    """Hash of each group's rows, bit for bit, whatever other groups there are."""
    import numpy as np

    values = [name for name in rows.columns if name not in (*_GROUP, "_row")]
    rare = [name for name in values if name.startswith(_RARE)]
    common = [_bits(rows.get_column(name)) for name in values if name not in rare]
    more = [_bits(rows.get_column(name)) for name in rare]
    if any(not is_empty(rows, name) for name in rare):
        given = np.logical_or.reduce([rows.get_column(name).is_not_null().to_numpy() for name in rare])
        has_more = np.logical_or.reduceat(given, starts)
    else:
        has_more = np.zeros(len(starts), np.bool_)

    # The bytes of one column after those of another. Of many small groups they are cut out of all columns at once.
    tables = (np.stack(common), np.stack([*common, *more])) if rows.height < _SMALL * len(starts) else None

    def hashed(group: int) -> str:
        start, end = int(starts[group]), int(starts[group] + lengths[group])
        hasher = hashlib.blake2b((end - start).to_bytes(8, "little"), digest_size=16)
        if tables is not None:
            hasher.update(tables[int(has_more[group])][:, start:end].tobytes())
        else:
            for column in (*common, *(more if has_more[group] else ())):
                hasher.update(column[start:end])
        return hasher.hexdigest()

    return in_threads(hashed, range(len(starts)), workers=None if rows.height >= MANY_ROWS else 1)


def _bits(column: pl.Series) -> Numbers:
    """Values as whole numbers, bit for bit, nulls as a value that no data has."""
    import numpy as np
    import polars as pl

    if column.dtype == pl.Float64:
        return column.fill_null(float("nan")).to_numpy().view(np.int64)
    return column.to_physical().cast(pl.Int64).fill_null(-(2**63)).to_numpy()
