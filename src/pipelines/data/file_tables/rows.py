"""From the columns of a file to the rows of a batch, with the line of every row that breaks a rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.data.calendars import later, next_at, period_start
from pipelines.data.file_tables.adjust import MarketFacts, adjusted
from pipelines.data.file_tables.joined import (
    RawFiles,
    is_small,
    may_be_joined,
    put_together,
    read_joined,
    read_parquets,
)
from pipelines.data.file_tables.raw import PRICES, RawFile, read_raw
from pipelines.data.file_tables.read import (
    LINE,
    is_panic,
    is_text,
)
from pipelines.data.file_tables.settings import Dataset
from pipelines.data.file_tables.times import Bars, TimeRules, to_utc
from pipelines.data.file_tables.values import values_of
from pipelines.errors import BadInput
from pipelines.source import (
    BAR_COLUMNS,
    QUARANTINE_COLUMNS,
    TICK_COLUMNS,
    Batch,
    Bulk,
    broken_rules,
    frame_schema,
    rules_broken,
)

if TYPE_CHECKING:
    import polars as pl

_BULK_ROWS = 200_000  # understood at once: enough that a table's own cost is nothing, little enough to be held twice
_SMALL_FILES = 1_000  # read as one: a bad one among them costs reading them some ten times
_BULK_BYTES = 4_000_000  # of Parquet, read by one query
_MANY = 3  # rows that break one and the same rule of time are no accident


def no_rows() -> Batch:
    """A batch of nothing, for a part that describes markets."""
    import polars as pl

    return Batch("ticks", pl.DataFrame(schema=frame_schema(TICK_COLUMNS)), describes_markets=True)


def read_batch(source: str, dataset: Dataset, files: Sequence[Path], facts: MarketFacts) -> Batch:
    """The rows of a file (or of the bid and the ask file), those that break a rule set apart.

    Rows at or after their market's end are left out; so are quotes of which one side is empty or whose bid is above the
    ask, since they have no mid, and records without a price where `records` picks them out of messages.
    """
    return _batch(source, dataset, [read_raw(dataset, "", file) for file in files], facts)


def read_bulks(
    source: str, dataset: Dataset, parts: Mapping[str, Sequence[Path]], facts: MarketFacts
) -> Iterator[Bulk]:
    """The rows of many parts, as read_batch gives those of each, but understood together: the work on a table costs
    milliseconds, however few rows it has. A part with a bad row comes alone."""
    small: dict[str, Path] = {}
    large: dict[str, Path] = {}
    waiting: dict[tuple[Any, ...], list[RawFile]] = {}
    rows = size = 0
    for part, files in parts.items():
        if len(files) > 1:
            yield Bulk.of_one(part, read_batch(source, dataset, files, facts))
        elif is_small(dataset, files[0]):
            small[part] = files[0]
            if len(small) >= _SMALL_FILES:
                yield from _small(source, dataset, small, facts)
                small = {}
        elif may_be_joined(dataset, files[0]):
            size += _bytes_of(files[0])
            if size > _BULK_BYTES:
                yield from _parquets(source, dataset, large, facts)
                large, size = {}, _bytes_of(files[0])
            large[part] = files[0]
        else:
            raw = read_raw(dataset, part, files[0])
            waiting.setdefault(tuple(raw.table.schema.items()), []).append(raw)
            rows += raw.table.height
            if rows >= _BULK_ROWS:
                yield from _waiting(source, dataset, waiting, facts)
                rows = 0
    yield from _small(source, dataset, small, facts)
    yield from _parquets(source, dataset, large, facts)
    yield from _waiting(source, dataset, waiting, facts)


def _bytes_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # reading it says what is wrong


def _parquets(source: str, dataset: Dataset, parts: Mapping[str, Path], facts: MarketFacts) -> Iterator[Bulk]:
    """Parquet files, read by one query; where that cannot be, one by one."""
    raws = read_parquets(dataset, parts) if len(parts) > 1 else None
    bulk = None if raws is None else _together(source, dataset, raws, facts)
    if bulk is not None:
        yield bulk
        return
    waiting: dict[tuple[Any, ...], list[RawFile]] = {}
    for part, file in parts.items():
        raw = read_raw(dataset, part, file)
        waiting.setdefault(tuple(raw.table.schema.items()), []).append(raw)
    yield from _waiting(source, dataset, waiting, facts)


def _small(source: str, dataset: Dataset, parts: Mapping[str, Path], facts: MarketFacts) -> Iterator[Bulk]:
    """Small tables of text, read as one; where that cannot be, those of each half, and so on down to a single one."""
    if not parts:
        return
    if len(parts) == 1:
        ((part, file),) = parts.items()
        yield Bulk.of_one(part, read_batch(source, dataset, [file], facts))
        return
    raws = read_joined(dataset, parts)
    bulk = None if raws is None else _together(source, dataset, raws, facts)
    if bulk is not None:
        yield bulk
        return
    names = list(parts)
    for half in (names[: len(names) // 2], names[len(names) // 2 :]):
        yield from _small(source, dataset, {name: parts[name] for name in half}, facts)


def _waiting(
    source: str, dataset: Dataset, waiting: dict[tuple[Any, ...], list[RawFile]], facts: MarketFacts
) -> Iterator[Bulk]:
    """What is waiting, files of the same columns together."""
    for together in waiting.values():
        yield from _bulks(source, dataset, together, facts)
    waiting.clear()


def _bulks(source: str, dataset: Dataset, raws: list[RawFile], facts: MarketFacts) -> Iterator[Bulk]:
    """Files of the same columns as one bulk; where a row is bad or cannot be understood, those of each half."""
    if len(raws) == 1:
        yield Bulk.of_one(raws[0].part, _batch(source, dataset, raws, facts))
        return
    bulk = _together(source, dataset, put_together(raws), facts)
    if bulk is not None:
        yield bulk
        return
    for half in (raws[: len(raws) // 2], raws[len(raws) // 2 :]):
        yield from _bulks(source, dataset, half, facts)


def _together(source: str, dataset: Dataset, raws: RawFiles, facts: MarketFacts) -> Bulk | None:
    """The files as one bulk; None where that cannot be: an error may be about any of them, and the one that it is about
    raises it again when it is read by itself."""
    try:
        return _as_bulk(source, dataset, raws, facts)
    except BadInput:
        return None
    except BaseException as error:
        if is_panic(error):
            return None
        raise


def _as_bulk(source: str, dataset: Dataset, raws: RawFiles, facts: MarketFacts) -> Bulk | None:
    import numpy as np
    import polars as pl

    number = pl.Series("_number", np.repeat(np.arange(len(raws.parts), dtype=np.uint32), raws.lengths))
    frame, rule = _understood(source, dataset, raws.table, raws.files[0], is_one_file=False)
    if rule is not None:
        return None
    frame = _wanted(dataset, frame.with_columns(number), facts, raws.files[0])
    counts = dict(frame.get_column("_number").value_counts().iter_rows())
    return Bulk(
        raws.parts,
        Batch(_kind(dataset), frame.drop(LINE, "_number")),
        tuple(counts.get(n, 0) for n in range(len(raws.parts))),
        raws.written_at,
        raws.read,
    )


def _batch(source: str, dataset: Dataset, raws: Sequence[RawFile], facts: MarketFacts) -> Batch:
    """One part, of one file or of two."""
    import polars as pl

    sides = [_good_and_bad(source, dataset, raw) for raw in raws]
    frame = sides[0][0] if len(sides) == 1 else _join_sides(sides[0][0], sides[1][0])
    frame = _wanted(dataset, frame, facts, raws[0].file)
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


def _wanted(dataset: Dataset, frame: pl.DataFrame, facts: MarketFacts, file: Path) -> pl.DataFrame:
    """The rows that are to be taken: from before their market's end, and no quotes that are crossed. Adjusted by the
    splits that came after them. A bar is from before the end only where it was over by then."""
    import polars as pl

    if facts.ends is not None:
        known = pl.col("ts") < pl.col("end_at") if "ts" in frame.columns else pl.col("end") <= pl.col("end_at")
        frame = frame.join(facts.ends, on="market_id", how="left", maintain_order="left")
        frame = frame.filter(known.fill_null(True)).drop("end_at")
    sides = ("bid", "ask") if dataset.content == "quotes" else ("bid_close", "ask_close")
    if dataset.content != "trades":
        frame = _not_crossed(dataset, frame, sides, file)
    return frame if facts.splits is None else adjusted(frame, facts.splits)


def _not_crossed(dataset: Dataset, frame: pl.DataFrame, sides: tuple[str, str], file: Path) -> pl.DataFrame:
    """Quotes without those whose bid is above the ask, which have no mid; bars stay. Raises BadInput where all are so:
    the sides are then the wrong way round."""
    import polars as pl

    bid, ask = (pl.col(name) for name in sides)
    crossed = frame.select((bid > ask).fill_null(False).alias("crossed")).to_series()
    if not crossed.any():
        return frame
    if crossed.all() and len(crossed) >= _MANY:
        raise BadInput(
            f"every row has its {sides[0]} above its {sides[1]}",
            where=str(file),
            fix="the sides are the wrong way round: correct columns = { bid = …, ask = … } (or path and ask_path)",
        )
    return frame.filter(~crossed) if dataset.content == "quotes" else frame


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
    if rule is None:
        return frame, pl.DataFrame(schema=frame_schema(QUARANTINE_COLUMNS))
    _refuse_time_of_every_row(rule, raw)
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
) -> tuple[pl.DataFrame, pl.Series | None]:
    """Every row in the batch's columns and LINE, and the rule that it breaks (null: none; None: no row does). `file` is
    for errors."""
    import polars as pl

    kind = _kind(dataset)
    schema = frame_schema(BAR_COLUMNS if kind == "bars" else TICK_COLUMNS)
    bars = None if dataset.interval_seconds is None else Bars(raw.get_column("market"), dataset.interval_seconds)
    rules = TimeRules(dataset.ts_unit, dataset.ts_format, dataset.timezone, is_one_file, bars)
    ts, unread = to_utc(raw.get_column("ts"), rules, str(file))
    ts = ts + timedelta(seconds=dataset.ts_shift_seconds)
    values, faults = values_of(dataset, raw, file)
    columns = {name: values.get(name, pl.lit(None)) for name in schema} | _times(dataset, ts)
    columns["market_id"] = pl.format("{}:{}", pl.lit(source), "market")
    has_quotes = any(name.startswith(("bid", "ask")) for name in values)
    frame = raw.select(
        LINE,
        *(value.cast(schema[name]).alias(name) for name, value in columns.items()),
        *(is_so.alias(f"_fault{number}") for number, (is_so, _) in enumerate(faults)),
    )
    first = [(pl.col(f"_fault{number}"), text) for number, (_, text) in enumerate(faults)]
    rule = rules_broken(frame, [*first, *broken_rules(kind, *_bounds(dataset), has_quotes=has_quotes)])
    if unread.null_count() < len(unread):
        rule = unread if rule is None else unread.zip_with(unread.is_not_null(), rule)
    return frame.drop([f"_fault{number}" for number in range(len(faults))]), rule


def _bounds(dataset: Dataset) -> tuple[pl.Expr | None, pl.Expr | None]:
    """Whether prices are probabilities, and whether they may be zero and below, as broken_rules asks."""
    import polars as pl

    is_binary = pl.lit(True) if dataset.kind == "binary" else None
    return is_binary, pl.lit(True) if dataset.allow_nonpositive_price else None


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
