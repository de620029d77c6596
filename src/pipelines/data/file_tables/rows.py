"""From the columns of a file to the rows of a batch, with the line of every row that breaks a rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.calendars import later, next_at, period_start
from pipelines.data.file_tables.read import (
    LINE,
    column,
    is_text,
    name_from_file,
    only_where,
    open_table,
    template,
    unreadable,
)
from pipelines.data.file_tables.settings import Dataset
from pipelines.data.file_tables.times import TimeRules, to_utc
from pipelines.errors import BadInput
from pipelines.source import BAR_COLUMNS, QUARANTINE_COLUMNS, TICK_COLUMNS, Batch, Bulk, broken_rule, frame_schema

if TYPE_CHECKING:
    import polars as pl

_PRICES = ("open", "high", "low", "close")
_QUOTES = tuple(f"{side}_{price}" for side in ("bid", "ask") for price in _PRICES)
# What a column is called where the settings do not say; upper and lower case are the same.
_USUAL: Mapping[str, tuple[str, ...]] = {
    "ts": ("ts", "timestamp", "datetime", "date", "time", "t"),
    "market": ("market", "market_id", "symbol", "ticker", "pair"),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "vol", "v"),
    "price": ("price", "last", "p"),
    "size": ("size", "amount", "quantity", "qty", "volume"),
    "side": ("side",),
    "id": ("id", "trade_id", "tid"),
    "bid": ("bid", "bid_price"),
    "ask": ("ask", "ask_price"),
}
_SIDES = {"buy": "buy", "b": "buy", "sell": "sell", "s": "sell"}
_BULK_ROWS = 500_000  # understood at once: enough that a table's own cost is nothing, little enough to be held twice
_NO_SIDE = ("", "none", "null", "unknown")


def no_rows() -> Batch:
    """A batch of nothing, for a part that describes markets."""
    import polars as pl

    return Batch("ticks", pl.DataFrame(schema=frame_schema(TICK_COLUMNS)), describes_markets=True)


def role_columns(dataset: Dataset, names: Sequence[str]) -> dict[str, str]:
    """What each role is called in a file with columns `names`: as the settings say, else by a usual name."""
    lower = {name.lower(): name for name in reversed(names)}
    found = {name: name for name in _QUOTES if name in names}
    for role, usual in _USUAL.items():
        match = next((lower[name] for name in usual if name in lower), None)
        if match is not None:
            found[role] = match
    return found | dict(dataset.columns or {})


def market_name(dataset: Dataset, file: Path, names: Sequence[str]) -> pl.Expr | str:
    """The market of a file's rows: one name, or a column of names."""
    if dataset.market is not None:
        return dataset.market
    if dataset.market_pattern is None:
        roles = role_columns(dataset, names)
        if "market" in roles:
            return template(file, names, roles["market"])
    return name_from_file(dataset, file)


@dataclass(frozen=True)
class _RawFile:
    """The columns of a file that count, named by their role, and when the file was written."""

    part: str
    file: Path
    table: pl.DataFrame
    written_at: datetime
    read: int  # rows of the file, those that were left out too


def read_batch(source: str, dataset: Dataset, files: Sequence[Path], ends: pl.DataFrame | None) -> Batch:
    """The rows of a file (or of the bid and the ask file), those that break a rule set apart.

    Rows at or after their market's end in `ends` (market_id, end_at) are left out; so are quotes of which one side is
    empty, since they have no mid, and records without a price where `records` picks them out of messages.
    """
    return _batch(source, dataset, [_read_raw(dataset, "", file) for file in files], ends)


def read_bulks(
    source: str, dataset: Dataset, parts: Mapping[str, Sequence[Path]], ends: pl.DataFrame | None
) -> Iterator[Bulk]:
    """The rows of many parts, as read_batch gives those of each, but understood together: the work on a table costs
    milliseconds, however few rows it has. A part with a bad row comes alone."""
    waiting: dict[tuple[Any, ...], list[_RawFile]] = {}
    rows = 0
    for part, files in parts.items():
        if len(files) > 1:
            yield Bulk.of_one(part, read_batch(source, dataset, files, ends))
            continue
        raw = _read_raw(dataset, part, files[0])
        waiting.setdefault(tuple(raw.table.schema.items()), []).append(raw)
        rows += raw.table.height
        if rows >= _BULK_ROWS:
            for together in waiting.values():
                yield from _bulks(source, dataset, together, ends)
            waiting.clear()
            rows = 0
    for together in waiting.values():
        yield from _bulks(source, dataset, together, ends)


def _bulks(source: str, dataset: Dataset, raws: list[_RawFile], ends: pl.DataFrame | None) -> Iterator[Bulk]:
    """Files of the same columns as one bulk or, where a row is bad or cannot be understood, one by one."""
    if len(raws) > 1:
        # An error here may be about any of the files: the one that it is about raises it again below.
        with suppress(BadInput):
            bulk = _together(source, dataset, raws, ends)
            if bulk is not None:
                yield bulk
                return
    for raw in raws:
        yield Bulk.of_one(raw.part, _batch(source, dataset, [raw], ends))


def _together(source: str, dataset: Dataset, raws: list[_RawFile], ends: pl.DataFrame | None) -> Bulk | None:
    import numpy as np
    import polars as pl

    lengths = [raw.table.height for raw in raws]
    number = pl.Series("_number", np.repeat(np.arange(len(raws), dtype=np.uint32), lengths))
    frame, rule = _understood(source, dataset, pl.concat([raw.table for raw in raws]), raws[0].file)
    if rule.null_count() < len(rule):
        return None
    frame = _before_end(frame.with_columns(number), ends)
    kept = frame.get_column("_number").value_counts()
    counts = dict(kept.iter_rows())
    return Bulk(
        tuple(raw.part for raw in raws),
        Batch(_kind(dataset), frame.drop(LINE, "_number")),
        tuple(counts.get(n, 0) for n in range(len(raws))),
        tuple(raw.written_at for raw in raws),
        tuple(raw.read for raw in raws),
    )


def _batch(source: str, dataset: Dataset, raws: Sequence[_RawFile], ends: pl.DataFrame | None) -> Batch:
    """One part, of one file or of two."""
    import polars as pl

    sides = [_good_and_bad(source, dataset, raw) for raw in raws]
    frame = sides[0][0] if len(sides) == 1 else _join_sides(sides[0][0], sides[1][0])
    frame = _before_end(frame, ends)
    file = raws[0].file
    return Batch(
        _kind(dataset),
        frame.drop(LINE),
        pl.concat([bad for _, bad in sides]),
        written_at=min(raw.written_at for raw in raws),
        lines=frame.get_column(LINE),
        line_text=f"{_line_word(file)} {{}} of {file.name}",
        read=raws[0].read,
    )


def _line_word(file: Path) -> str:
    return "line" if is_text(file) else "row"


def _before_end(frame: pl.DataFrame, ends: pl.DataFrame | None) -> pl.DataFrame:
    """The rows from before their market's end. A bar belongs to them only where it was over by then."""
    import polars as pl

    if ends is None:
        return frame
    known = pl.col("ts") < pl.col("end_at") if "ts" in frame.columns else pl.col("end") <= pl.col("end_at")
    frame = frame.join(ends, on="market_id", how="left", maintain_order="left")
    return frame.filter(known.fill_null(True)).drop("end_at")


def _read_raw(dataset: Dataset, part: str, file: Path) -> _RawFile:
    # The time first: what is written while the file is read is found by another time in the next run.
    try:
        written_at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except OSError as error:
        raise unreadable(file, error) from error
    table, read = _raw(dataset, file)
    return _RawFile(part, file, table, written_at, read)


def _kind(dataset: Dataset) -> Literal["bars", "ticks"]:
    return "bars" if dataset.content == "bars" else "ticks"


def _good_and_bad(source: str, dataset: Dataset, raw: _RawFile) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Good rows in the batch's columns and LINE, bad rows as QUARANTINE_COLUMNS."""
    import polars as pl

    frame, rule = _understood(source, dataset, raw.table, raw.file)
    if rule.null_count() == len(rule):
        return frame, pl.DataFrame(schema=frame_schema(QUARANTINE_COLUMNS))
    bad = raw.table.filter(rule.is_not_null()).select(
        pl.format("{} {} of {}", pl.lit(_line_word(raw.file)), LINE, pl.lit(raw.file.name)).alias("where"),
        rule.drop_nulls().alias("rule"),
        pl.struct(pl.exclude(LINE)).struct.json_encode().alias("row"),
    )
    return frame.filter(rule.is_null()), bad


def _understood(source: str, dataset: Dataset, raw: pl.DataFrame, file: Path) -> tuple[pl.DataFrame, pl.Series]:
    """Every row in the batch's columns and LINE, and the rule that it breaks (null: none). `file` is for errors."""
    import polars as pl

    kind = _kind(dataset)
    schema = frame_schema(BAR_COLUMNS if kind == "bars" else TICK_COLUMNS)
    rules = TimeRules(dataset.ts_unit, dataset.ts_format, dataset.timezone)
    ts, unread = to_utc(raw.get_column("ts"), rules, str(file))
    ts = ts + timedelta(seconds=dataset.ts_shift_seconds)
    values, faults = _values(dataset, raw, file)
    columns = {name: values.get(name, pl.lit(None)) for name in schema} | _times(dataset, ts)
    columns["market_id"] = pl.format("{}:{}", pl.lit(source), "market")
    frame = raw.select(
        LINE,
        *(value.cast(schema[name]).alias(name) for name, value in columns.items()),
        pl.coalesce(pl.lit(unread), *faults).alias("_fault"),
    )
    rule = frame.select(pl.coalesce("_fault", broken_rule(kind)).alias("rule")).to_series()
    return frame.drop("_fault"), rule


def _times(dataset: Dataset, ts: pl.Series) -> dict[str, pl.Expr]:
    """The batch's columns of time: a tick's ts, or a bar's start and end by the dataset's interval."""
    import polars as pl

    interval = dataset.interval_text
    if dataset.content != "bars" or interval is None:
        return {"ts": pl.lit(ts)}
    if dataset.ts_is == "start":
        start, end = ts, later(ts, interval, dataset.zone)
    elif interval in ("week", "month"):
        # Named by its last day, be it the last one of trading, or by the instant after it: the period that holds it.
        start = period_start(ts - timedelta(microseconds=1), interval, dataset.zone)
        end = later(start, interval, dataset.zone)
    else:
        start, end = later(ts, interval, dataset.zone, -1), ts
    if dataset.known_after is not None:
        end = next_at(start, dataset.known_after, dataset.zone)
    return {"start": pl.lit(start), "end": pl.lit(end)}


def _raw(dataset: Dataset, file: Path) -> tuple[pl.DataFrame, int]:
    """The columns of a file that the dataset needs, named by their role, values as they are; and how many rows the file
    has, since those that the dataset does not want are left out."""
    import polars as pl

    table = open_table(file, dataset.records)
    try:
        names = [name for name in table.collect_schema().names() if name != LINE]
        roles = role_columns(dataset, names)
        market = market_name(dataset, file, names)
        needed = {role: column(file, names, roles.get(role, role)) for role in _needed(dataset, roles)}
        needed["market"] = pl.lit(market) if isinstance(market, str) else market
        wanted = only_where(table, dataset.where, file)
        raw = wanted.select(LINE, *(value.alias(role) for role, value in needed.items())).collect()
        read = raw.height if dataset.where is None else table.select(pl.len()).collect().item()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise unreadable(file, error) from error
    if dataset.content == "quotes":
        raw = raw.filter(pl.col("bid").is_not_null() & pl.col("ask").is_not_null())
    elif dataset.content == "trades" and dataset.records is not None:
        raw = raw.drop_nulls("price")
    return raw, read


def _needed(dataset: Dataset, roles: Mapping[str, str]) -> list[str]:
    """The roles to read: those that the content cannot do without, and the optional ones that the file has."""
    if dataset.content == "quotes":
        required, optional = ["ts", "bid", "ask"], ["id"]
    elif dataset.content == "trades":
        required, optional = ["ts", "price"], ["size", "side", "id", "bid", "ask"]
    else:
        has_quotes = all(name in roles for name in _QUOTES)
        only_quotes = has_quotes and "open" not in roles
        required = ["ts", *([] if only_quotes else _PRICES), *(_QUOTES if has_quotes else [])]
        optional = ["volume"]
    return required + [role for role in optional if role in roles]


def _values(dataset: Dataset, raw: pl.DataFrame, file: Path) -> tuple[dict[str, pl.Expr], list[pl.Expr]]:
    """The batch's columns but market and time, and what of them could not be understood."""
    import polars as pl

    values: dict[str, pl.Expr] = {}
    faults: list[pl.Expr] = []
    for role in raw.columns:
        if role in (LINE, "ts", "market"):
            continue
        if role == "side":
            word = pl.col(role).cast(pl.String).str.strip_chars().str.to_lowercase()
            values[role] = pl.when(~word.is_in(_NO_SIDE)).then(word.replace(_SIDES))
            continue
        target = "seq" if role == "id" else role
        values[target] = _number(raw, role, file, whole=role == "id")
        text = "trade id is not a whole number" if role == "id" else f"{role} is not a number"
        faults.append(pl.when(pl.col(role).is_not_null() & values[target].is_null()).then(pl.lit(text)))
    if dataset.content == "quotes":
        values["price"] = (values["bid"] + values["ask"]) / 2
    if dataset.content == "bars" and "open" not in values:
        for name in _PRICES:
            values[name] = (values[f"bid_{name}"] + values[f"ask_{name}"]) / 2
    if dataset.price_is == "decimal_odds":
        odds = values["price"]
        values["price"] = pl.when(odds > 0).then(1 / odds).otherwise(odds)
    return values, faults


def _number(raw: pl.DataFrame, role: str, file: Path, *, whole: bool) -> pl.Expr:
    """A column as numbers, null where it holds something else."""
    import polars as pl

    kind = raw.schema[role]
    if not (kind.is_numeric() or kind in (pl.String, pl.Null)):
        raise BadInput(
            f"the column for {role} holds {kind}, not numbers",
            where=str(file),
            fix=f"map {role} to a column of numbers; a position in a list is written name[0]",
        )
    value = pl.col(role).str.strip_chars() if kind == pl.String else pl.col(role)
    return value.cast(pl.Int64 if whole else pl.Float64, strict=False)


def _join_sides(bid: pl.DataFrame, ask: pl.DataFrame) -> pl.DataFrame:
    """Bars of the bid and of the ask side joined on market and time; a time that one side lacks has no mid."""
    import polars as pl

    key = ["market_id", "start"]
    bid, ask = (side.unique(key, keep="last", maintain_order=True) for side in (bid, ask))
    both = bid.join(ask.select(*key, *_PRICES), on=key, how="inner", suffix="_ask", maintain_order="left")
    return both.with_columns(
        *((pl.col(name) + pl.col(f"{name}_ask")).truediv(2).alias(name) for name in _PRICES),
        *(pl.col(name).alias(f"bid_{name}") for name in _PRICES),
        *(pl.col(f"{name}_ask").alias(f"ask_{name}") for name in _PRICES),
    ).select(LINE, *frame_schema(BAR_COLUMNS))
