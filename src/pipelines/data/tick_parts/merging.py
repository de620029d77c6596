"""What several parts' rows of one partition amount to: corrections, repeats, order, and bars that overlap."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.data.tick_parts.frames import BARS, IDENTITY, SIDES, VALUES, Kind
from pipelines.source import BAR_COLUMNS, TICK_COLUMNS, frame_schema
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_PLACE = ("_part", "_row")


@dataclass(frozen=True)
class Bar:
    """One bar, with the number of its part and row where they are known."""

    market: str
    start: datetime
    end: datetime
    part: int | None = None
    row: int | None = None


def kind_of(key: str) -> Kind:
    """What partition `key` of ticks holds."""
    return "bars" if key.startswith(BARS) else "ticks"


def merge(rows: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """The rows that count, sorted by market and time, with `_part` and `_row`.

    Of bars with the same (market, start), and of ticks with the same (market, ts, seq), the last stays: later in its
    part, or in a later part. Ticks without seq are no corrections of each other: exact duplicates are dropped, the
    others numbered within their instant, after those that have a number.
    """
    if _is_merged(rows, IDENTITY[kind]):
        return rows
    return _merge_bars(rows) if kind == "bars" else _merge_ticks(rows)


def _is_merged(rows: pl.DataFrame, identity: tuple[str, ...]) -> bool:
    """Whether each row comes after the one before: in order, and none twice. Mostly files say so of themselves."""
    if any(rows.get_column(name).null_count() for name in identity):
        return False
    is_after: Any = False
    for name in reversed(identity):
        value = rows.get_column(name).to_physical().to_numpy()
        is_after = (value[1:] > value[:-1]) | ((value[1:] == value[:-1]) & is_after)
    return bool(is_after.all())


def losses(rows: pl.DataFrame, merged: pl.DataFrame, kind: Kind) -> dict[tuple[int, int], tuple[int, int]]:
    """(part, market) -> how many of its `rows` a later one in `merged` replaces, and how many only repeat it."""
    import polars as pl

    if rows.height == merged.height:
        return {}
    identity = list(IDENTITY[kind])
    dropped = rows.join(merged.select(_PLACE), on=list(_PLACE), how="anti")
    values = [name for name in VALUES[kind] if name not in identity and name in rows.columns]
    after = dropped.join(merged.select(*identity, *values), on=identity, how="left", suffix=" after", nulls_equal=True)
    # Rows without a number are dropped only where one like it stands there already.
    is_repeat = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name} after")) for name in values)
    if kind == "ticks":
        is_repeat |= pl.col("seq").is_null()
    counted = after.group_by("_part", "_market").agg(
        (~is_repeat).sum().alias("replaced"), is_repeat.sum().alias("repeated")
    )
    return {(part, market): (replaced, repeated) for part, market, replaced, repeated in counted.iter_rows()}


def _merge_bars(rows: pl.DataFrame) -> pl.DataFrame:
    return _last_of_each(rows, IDENTITY["bars"])


def _last_of_each(rows: pl.DataFrame, identity: tuple[str, ...]) -> pl.DataFrame:
    import polars as pl

    rows = rows.sort(*identity, *_PLACE)
    repeats = pl.all_horizontal(pl.col(name) == pl.col(name).shift(-1) for name in identity)
    return rows.filter(~repeats.fill_null(False))


def _merge_ticks(rows: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    known = _last_of_each(rows.filter(pl.col("seq").is_not_null()), IDENTITY["ticks"])
    bare = rows.filter(pl.col("seq").is_null())
    if bare.is_empty():
        return known
    instant = ["_market", "ts"]
    answer = [name for name in rows.columns if name not in _PLACE]
    bare = bare.sort(*instant, *_PLACE).unique(answer, keep="first", maintain_order=True)
    taken = known.group_by(instant).agg((pl.col("seq").max() + 1).alias("_first"))
    numbered = bare.join(taken, on=instant, how="left", maintain_order="left").with_columns(
        seq=pl.int_range(pl.len(), dtype=pl.Int64).over(instant) + pl.col("_first").fill_null(0)
    )
    return pl.concat([known, numbered.select(known.columns)]).sort("_market", "ts", "seq")


def overlap(bars: pl.DataFrame, universe: pl.DataFrame) -> tuple[Bar, Bar] | None:
    """The first two of merged `bars` (`_market`, start, end, perhaps `_part` and `_row`, sorted) that overlap."""
    market, start, end = (bars.get_column(name).to_physical().to_numpy() for name in ("_market", "start", "end"))
    is_over = (market[1:] == market[:-1]) & (end[:-1] > start[1:])
    if not is_over.any():
        return None
    found = int(is_over.argmax())
    ids = universe.get_column("market_id")
    first, second = (
        Bar(ids[row["_market"]], row["start"], row["end"], row.get("_part"), row.get("_row"))
        for row in bars.slice(found, 2).iter_rows(named=True)
    )
    return first, second


def edges(bars: pl.DataFrame) -> pl.DataFrame:
    """The first and the last bar of each market in sorted `bars`: what could overlap with those of other partitions."""
    import numpy as np
    import polars as pl

    columns = bars.select(name for name in ("_market", "start", "end", *_PLACE) if name in bars.columns)
    market = bars.get_column("_market").to_numpy()
    is_other = market[1:] != market[:-1]
    if not len(market):
        return columns
    return columns.filter(pl.Series(np.append(is_other, True) | np.insert(is_other, 0, True)))


def finish(rows: pl.DataFrame, universe: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """Merged rows, which may lack columns that are empty, as BAR_COLUMNS or TICK_COLUMNS."""
    import polars as pl

    ids = universe.get_column("market_id").gather(rows.get_column("_market"))
    schema = frame_schema(BAR_COLUMNS if kind == "bars" else TICK_COLUMNS)
    known: dict[str, Any] = {name: pl.col(name) for name in rows.columns}
    known["market_id"] = ids.alias("market_id")
    if kind == "ticks":
        known["side"] = pl.col("side").cast(pl.String)
    return rows.select(known.get(name, pl.lit(None, type_).alias(name)) for name, type_ in schema.items())


def unfinish(table: pl.DataFrame, universe: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """The reverse of `finish`, for rows of an earlier run; markets that are not in `universe` are left out."""
    import polars as pl

    rank = universe.select("market_id", "_market")
    rows = table.join(rank, on="market_id", how="inner", maintain_order="left").select("_market", *VALUES[kind])
    return rows.with_columns(pl.col("side").cast(pl.Enum(SIDES))) if kind == "ticks" else rows
