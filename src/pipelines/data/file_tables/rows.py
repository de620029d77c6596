"""From the columns of a file to the rows of a batch, with the line of every row that breaks a rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.calendars import later, next_at, period_start
from pipelines.data.file_tables.raw import PRICES, RawFile, read_raw
from pipelines.data.file_tables.read import (
    LINE,
    is_panic,
    is_text,
)
from pipelines.data.file_tables.settings import Dataset
from pipelines.data.file_tables.times import TimeRules, to_utc
from pipelines.errors import BadInput
from pipelines.source import BAR_COLUMNS, QUARANTINE_COLUMNS, TICK_COLUMNS, Batch, Bulk, broken_rule, frame_schema

if TYPE_CHECKING:
    import polars as pl

_SIDES = {"buy": "buy", "b": "buy", "sell": "sell", "s": "sell"}
_BULK_ROWS = 500_000  # understood at once: enough that a table's own cost is nothing, little enough to be held twice
_MANY = 3  # rows that break one and the same rule of time are no accident
_NO_SIDE = ("", "none", "null", "unknown")


def no_rows() -> Batch:
    """A batch of nothing, for a part that describes markets."""
    import polars as pl

    return Batch("ticks", pl.DataFrame(schema=frame_schema(TICK_COLUMNS)), describes_markets=True)


def read_batch(source: str, dataset: Dataset, files: Sequence[Path], ends: pl.DataFrame | None) -> Batch:
    """The rows of a file (or of the bid and the ask file), those that break a rule set apart.

    Rows at or after their market's end in `ends` (market_id, end_at) are left out; so are quotes of which one side is
    empty, since they have no mid, and records without a price where `records` picks them out of messages.
    """
    return _batch(source, dataset, [read_raw(dataset, "", file) for file in files], ends)


def read_bulks(
    source: str, dataset: Dataset, parts: Mapping[str, Sequence[Path]], ends: pl.DataFrame | None
) -> Iterator[Bulk]:
    """The rows of many parts, as read_batch gives those of each, but understood together: the work on a table costs
    milliseconds, however few rows it has. A part with a bad row comes alone."""
    waiting: dict[tuple[Any, ...], list[RawFile]] = {}
    rows = 0
    for part, files in parts.items():
        if len(files) > 1:
            yield Bulk.of_one(part, read_batch(source, dataset, files, ends))
            continue
        raw = read_raw(dataset, part, files[0])
        waiting.setdefault(tuple(raw.table.schema.items()), []).append(raw)
        rows += raw.table.height
        if rows >= _BULK_ROWS:
            for together in waiting.values():
                yield from _bulks(source, dataset, together, ends)
            waiting.clear()
            rows = 0
    for together in waiting.values():
        yield from _bulks(source, dataset, together, ends)


def _bulks(source: str, dataset: Dataset, raws: list[RawFile], ends: pl.DataFrame | None) -> Iterator[Bulk]:
    """Files of the same columns as one bulk or, where a row is bad or cannot be understood, one by one."""
    if len(raws) > 1:
        bulk = _together(source, dataset, raws, ends)
        if bulk is not None:
            yield bulk
            return
    for raw in raws:
        yield Bulk.of_one(raw.part, _batch(source, dataset, [raw], ends))


def _together(source: str, dataset: Dataset, raws: list[RawFile], ends: pl.DataFrame | None) -> Bulk | None:
    """The files as one bulk; None where that cannot be: an error may be about any of them, and the one that it is about
    raises it again when it is read by itself."""
    try:
        return _as_bulk(source, dataset, raws, ends)
    except BadInput:
        return None
    except BaseException as error:
        if is_panic(error):
            return None
        raise


def _as_bulk(source: str, dataset: Dataset, raws: list[RawFile], ends: pl.DataFrame | None) -> Bulk | None:
    import numpy as np
    import polars as pl

    lengths = [raw.table.height for raw in raws]
    number = pl.Series("_number", np.repeat(np.arange(len(raws), dtype=np.uint32), lengths))
    table = pl.concat([raw.table for raw in raws])
    frame, rule = _understood(source, dataset, table, raws[0].file, is_one_file=False)
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


def _batch(source: str, dataset: Dataset, raws: Sequence[RawFile], ends: pl.DataFrame | None) -> Batch:
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


def _kind(dataset: Dataset) -> Literal["bars", "ticks"]:
    return "bars" if dataset.content == "bars" else "ticks"


def _good_and_bad(source: str, dataset: Dataset, raw: RawFile) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Good rows in the batch's columns and LINE, bad rows as QUARANTINE_COLUMNS."""
    import polars as pl

    try:
        frame, rule = _understood(source, dataset, raw.table, raw.file)
    except BaseException as error:
        if not is_panic(error):
            raise
        raise _panicked(source, dataset, raw, error) from error
    _refuse_time_of_every_row(rule, raw)
    if rule.null_count() == len(rule):
        return frame, pl.DataFrame(schema=frame_schema(QUARANTINE_COLUMNS))
    bad = raw.table.filter(rule.is_not_null()).select(
        pl.format("{} {} of {}", pl.lit(_line_word(raw.file)), LINE, pl.lit(raw.file.name)).alias("where"),
        rule.drop_nulls().alias("rule"),
        pl.struct(pl.exclude(LINE)).struct.json_encode().alias("row"),
    )
    return frame.filter(rule.is_null()), bad


def _panicked(source: str, dataset: Dataset, raw: RawFile, error: BaseException) -> BadInput:
    """The error for a row at which a library gave up: found by halves."""
    low, high = 0, raw.table.height  # it is in [low, high)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            _understood(source, dataset, raw.table.slice(low, middle - low), raw.file)
        except BaseException as again:
            if not is_panic(again) and not isinstance(again, BadInput):
                raise
            high = middle
        else:
            low = middle
    place = f"{_line_word(raw.file)} {raw.table.item(low, LINE)}"
    return BadInput(
        f"the values of {place} cannot be worked with: {str(error).partition(chr(10))[0]}",
        where=f"{raw.file}, {place}",
        fix="correct the row: a number or time far out of any range is the usual cause",
    )


def _refuse_time_of_every_row(rule: pl.Series, raw: RawFile) -> None:
    """Raise BadInput where each of several rows breaks one rule of time: what is wrong is how they are read."""
    if len(rule) < _MANY or rule.null_count() or rule.n_unique() > 1 or "time" not in rule[0]:
        return
    first = raw.table.item(0, "ts")
    raise BadInput(
        f"every row breaks one rule: {rule[0]}: {first!r}",
        where=str(raw.file),
        fix='say how times are written: ts_format = "%d/%m/%Y %H:%M" for 31/12/2024 16:00, ts_unit for numbers, '
        'timezone for times without a zone, columns = { ts = "…" } for another column',
    )


def _understood(
    source: str, dataset: Dataset, raw: pl.DataFrame, file: Path, *, is_one_file: bool = True
) -> tuple[pl.DataFrame, pl.Series]:
    """Every row in the batch's columns and LINE, and the rule that it breaks (null: none). `file` is for errors."""
    import polars as pl

    kind = _kind(dataset)
    schema = frame_schema(BAR_COLUMNS if kind == "bars" else TICK_COLUMNS)
    rules = TimeRules(dataset.ts_unit, dataset.ts_format, dataset.timezone, is_one_file)
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
        values[target] = _number(raw, role, file, dataset)
        text = "trade id is not a whole number" if role == "id" else f"{role} is not a number"
        faults.append(pl.when(pl.col(role).is_not_null() & values[target].is_null()).then(pl.lit(text)))
    if dataset.content == "quotes":
        values["price"] = (values["bid"] + values["ask"]) / 2
    if dataset.content == "bars" and "open" not in values:
        for name in PRICES:
            values[name] = (values[f"bid_{name}"] + values[f"ask_{name}"]) / 2
    if dataset.price_is == "decimal_odds":
        odds = values["price"]
        values["price"] = pl.when(odds > 0).then(1 / odds).otherwise(odds)
    return values, faults


def _number(raw: pl.DataFrame, role: str, file: Path, dataset: Dataset) -> pl.Expr:
    """A column as numbers, null where it holds something else; an empty text is nothing at all."""
    import polars as pl

    kind = raw.schema[role]
    if not (kind.is_numeric() or kind in (pl.String, pl.Null)):
        raise BadInput(
            f"the column for {role} holds {kind}, not numbers",
            where=str(file),
            fix=f"map {role} to a column of numbers; a position in a list is written name[0]",
        )
    value = pl.col(role)
    if kind == pl.String:
        value = value.str.strip_chars()
        if dataset.thousands is not None:
            value = value.str.replace_all(dataset.thousands, "", literal=True)
        if dataset.decimal != ".":
            value = value.str.replace_all(dataset.decimal, ".", literal=True)
    return value.cast(pl.Int64 if role == "id" else pl.Float64, strict=False)


def _join_sides(bid: pl.DataFrame, ask: pl.DataFrame) -> pl.DataFrame:
    """Bars of the bid and of the ask side joined on market and time; a time that one side lacks has no mid."""
    import polars as pl

    key = ["market_id", "start"]
    bid, ask = (side.unique(key, keep="last", maintain_order=True) for side in (bid, ask))
    both = bid.join(ask.select(*key, *PRICES), on=key, how="inner", suffix="_ask", maintain_order="left")
    return both.with_columns(
        *((pl.col(name) + pl.col(f"{name}_ask")).truediv(2).alias(name) for name in PRICES),
        *(pl.col(name).alias(f"bid_{name}") for name in PRICES),
        *(pl.col(f"{name}_ask").alias(f"ask_{name}") for name in PRICES),
    ).select(LINE, *frame_schema(BAR_COLUMNS))
