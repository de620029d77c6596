"""The markets of file datasets: named by files, by a column in them, or by a table that describes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.data.calendars import CALENDARS, seconds_of
from pipelines.data.file_tables.find import stem
from pipelines.data.file_tables.joined import is_small, read_joined
from pipelines.data.file_tables.raw import market_name
from pipelines.data.file_tables.read import (
    LINE,
    column,
    column_names,
    is_text,
    name_from_file,
    only_where,
    open_table,
    template,
    unreadable,
)
from pipelines.data.file_tables.settings import Dataset, MarketTable
from pipelines.data.file_tables.times import TimeRules, to_utc
from pipelines.errors import BadInput
from pipelines.source import MARKET_COLUMNS, MARKET_HISTORY, frame_schema
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_TOGETHER = 1_000  # small files whose markets are looked up at once
_PART = re.compile(r"[.][\d_.-]+")  # what follows the name in one of several files of a market
# What a row is, and market -> the files that name it so by the usual rule, by what follows the name.
Namesakes = dict[tuple[str, str], dict[str, Path]]


@dataclass(frozen=True)
class DatasetFiles:
    """A dataset with its files (bid and ask side, or one) and its tables of markets."""

    dataset: Dataset
    files: tuple[tuple[Path, ...], ...]
    tables: tuple[Path, ...]


def list_markets(source: str, found: Sequence[DatasetFiles]) -> pl.DataFrame:
    """MARKET_COLUMNS of every market that a dataset names, sorted by market_id.

    A market is resolved where its outcome and the time it became known are there, else open. Raises BadInput where
    two datasets give a market another kind or interval, or days of another zone.
    """
    import polars as pl

    schema = frame_schema(MARKET_COLUMNS)
    named: Namesakes = {}
    tables = [_of_dataset(source, one, named).select(*schema) for one in found]
    universe = pl.concat([pl.DataFrame(schema=schema), *tables])
    clock = pl.when(pl.col("interval").is_in(CALENDARS)).then("timezone").alias("clock")
    odd = (
        universe.group_by("market_id")
        .agg(pl.struct("kind", "interval", clock).n_unique().alias("count"))
        .filter(pl.col("count") > 1)
    )
    if not odd.is_empty():
        raise BadInput(
            f"two datasets give market {odd.get_column('market_id').sort()[0]!r} another kind or interval",
            where=f"[sources.{source}]",
            fix="let market_pattern or market tell them apart, such as BTCUSD-1m and BTCUSD-1d",
        )
    # A dataset that describes the market goes before one that only has its prices.
    described = pl.any_horizontal(pl.col(name).is_not_null() for name in ("question", "end_at", "resolution"))
    universe = universe.sort("market_id", described, descending=[False, True], maintain_order=True)
    return universe.unique("market_id", keep="first", maintain_order=True)


def market_ends(source: str, dataset: Dataset, tables: Sequence[Path]) -> pl.DataFrame | None:
    """When each market ends (market_id, end_at); None where the dataset is not cut there."""
    import polars as pl

    if not dataset.cuts_at_end or dataset.markets is None:
        return None
    ends = _described(dataset.markets, tables).select(_market_id(source), "end_at")
    return ends.filter(pl.col("end_at").is_not_null())


def _market_id(source: str) -> pl.Expr:
    import polars as pl

    return pl.format("{}:{}", pl.lit(source), "external_id").alias("market_id")


def _of_dataset(source: str, found: DatasetFiles, named: Namesakes) -> pl.DataFrame:
    import polars as pl

    dataset, interval = found.dataset, found.dataset.interval_text
    names = pl.DataFrame({"external_id": sorted(_names(found, named))}, schema={"external_id": pl.String})
    table = (
        pl.DataFrame(schema=_table_schema()) if dataset.markets is None else _described(dataset.markets, found.tables)
    )
    is_resolved = pl.col("resolution").is_not_null() & pl.col("resolved_at").is_not_null()
    return names.join(table, on="external_id", how="full", coalesce=True).select(
        _market_id(source),
        pl.lit(source).alias("source"),
        "external_id",
        pl.col("external_id").alias("symbol"),
        "question",
        pl.lit(dataset.kind).alias("kind"),
        pl.when(is_resolved).then(pl.lit("resolved")).otherwise(pl.lit("open")).alias("status"),
        "end_at",
        pl.when(is_resolved).then("resolution"),
        pl.when(is_resolved).then("resolved_at"),
        pl.lit(dataset.tick_size, pl.Float64).alias("tick_size"),
        pl.lit(interval, pl.String).alias("interval"),
        pl.lit(None if interval is None else seconds_of(interval), pl.Int64).alias("interval_seconds"),
        pl.lit(None if interval is None else dataset.zone, pl.String).alias("timezone"),
        pl.lit(None, pl.Float64).alias("volume"),
        pl.lit(None, pl.Float64).alias("liquidity"),
        pl.coalesce("quote_currency", pl.lit(dataset.quote_currency, pl.String)).alias("quote_currency"),
        "event_id",
    )


def _names(found: DatasetFiles, named: Namesakes) -> set[str]:
    """Names of the markets in a dataset's files; only files with a column of names are read. `named` collects the files
    that name theirs."""
    dataset, names = found.dataset, set()
    small: list[Path] = []
    heads: dict[tuple[str, ...], bool] = {}  # columns of a file -> whether one of them names the market
    if dataset.only_market is not None:
        return {dataset.only_market} if found.files else set()
    for file, *_ in found.files:
        if dataset.market_pattern is not None:
            names.add(name_from_file(dataset, file))
            continue
        head = tuple(column_names(file, dataset.records, dataset.text_rules))
        if head not in heads:
            heads[head] = not isinstance(market_name(dataset, file, head), str)
        if not heads[head]:
            market = name_from_file(dataset, file)
            _refuse_namesake(market, file, named.setdefault((dataset.content, market), {}))
            names.add(market)
        elif is_small(dataset, file):
            small.append(file)
        else:
            names |= _names_in(dataset, [file])
    for start in range(0, len(small), _TOGETHER):
        names |= _names_in(dataset, small[start : start + _TOGETHER])
    return names


def _names_in(dataset: Dataset, files: Sequence[Path]) -> set[str]:
    """Names that stand in a column of files; of several small ones read as one where that can be."""
    import polars as pl

    # Of quotes with one side empty no row is left there, but their market is one.
    if len(files) > 1 and dataset.content != "quotes":
        raws = read_joined(dataset, {str(file): file for file in files})
        if raws is not None:
            return set(raws.table.get_column("market").drop_nulls().unique())
    names: set[str] = set()
    for file in files:
        market = market_name(dataset, file, column_names(file, dataset.records, dataset.text_rules))
        assert isinstance(market, pl.Expr)
        table = open_table(file, dataset.records, dataset.text_rules)
        try:
            found_names = only_where(table, dataset.where, file).select(market.alias("name").unique()).collect()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise unreadable(file, error) from error
        names.update(found_names.get_column("name").drop_nulls().to_list())
    return names


def _refuse_namesake(market: str, file: Path, seen: dict[str, Path]) -> None:
    """Raise BadInput where two files would be one market (AA.csv beside AA.tsv, or in another folder or dataset;
    BRK.A.csv beside BRK.B.csv) and nothing says that they are. `seen`: what follows the name -> file, of those before.
    Parts that are numbered, or named by their time, are parts of one: AA.2023.csv, AA.2024.csv."""
    rest = stem(file).removeprefix(market)
    if f"={market}" in file.as_posix() or seen.get(rest) == file:
        return
    first = next(iter(seen.values()), file)
    where, pattern = "", r"^(?P<market>.+)[.][^.]*$"
    if first.parent != file.parent:
        where, pattern = " in different folders", "(?P<market>[^/]+/[^/.]+)"
    elif rest in seen:
        first, pattern = seen[rest], "^(?P<market>.+)$"
    elif not seen or all(_PART.fullmatch(one) for one in (rest, *seen)):
        seen[rest] = file
        return
    raise BadInput(
        f"two files{where} would both be market {market!r}",
        where=f"{first} and {file}",
        fix=f"say what the market is: market_pattern = '{pattern}' where they are two, "
        "'(?P<market>[^/.]+)[.][^/]*$' where they are parts of one",
    )


def _described(settings: MarketTable, tables: Sequence[Path]) -> pl.DataFrame:
    """The tables of markets, one row per market as of _table_schema: the one that was seen last, else the later row."""
    import polars as pl

    frames = [_read_table(settings, file) for file in tables]
    rows = pl.concat(frames).sort("known_at", nulls_last=False, maintain_order=True)
    return rows.unique("external_id", keep="last", maintain_order=True)


def market_history(source: str, dataset: Dataset, tables: Sequence[Path]) -> pl.DataFrame:
    """MARKET_HISTORY of the markets that a table with a column known_at describes; no rows without one."""
    import polars as pl

    if dataset.markets is None or dataset.markets.known_at is None or not tables:
        return pl.DataFrame(schema=frame_schema(MARKET_HISTORY))
    rows = pl.concat([_read_table(dataset.markets, file) for file in tables]).drop_nulls("known_at")
    is_resolved = pl.col("resolved_at") <= pl.col("known_at")
    return rows.select(
        _market_id(source),
        "known_at",
        pl.lit(dataset.kind).alias("kind"),
        pl.when(is_resolved).then(pl.lit("resolved")).otherwise(pl.lit("open")).alias("status"),
        "end_at",
    )


def _read_table(settings: MarketTable, file: Path) -> pl.DataFrame:
    import polars as pl

    table = open_table(file)
    try:
        names = [name for name in table.collect_schema().names() if name != LINE]
        wanted = {
            "question": settings.question,
            "end_at": settings.end,
            "resolution": settings.outcome,
            "resolved_at": settings.resolved_at,
            "known_at": settings.known_at,
            "quote_currency": settings.quote_currency,
            "event_id": settings.event,
        }
        raw = only_where(table, settings.where, file).select(
            LINE,
            template(file, names, settings.id).alias("external_id"),
            *((pl.lit(None) if one is None else column(file, names, one)).alias(role) for role, one in wanted.items()),
        )
        frame = raw.collect().drop_nulls("external_id")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise unreadable(file, error) from error
    rules = TimeRules(settings.ts_unit, settings.ts_format, settings.timezone)
    for name in ("end_at", "resolved_at", "known_at"):
        times, broken = to_utc(frame.get_column(name), rules, f"{file}, column {wanted[name]}")
        bad = frame.select(LINE, pl.col(name).cast(pl.String), broken.alias("rule")).drop_nulls("rule")
        if not bad.is_empty():
            line, value, rule = bad.row(0)
            raise BadInput(
                f"{rule}: {value!r}",
                where=f"{file}, {'line' if is_text(file) else 'row'} {line}",
                fix="correct the time, or leave the column out of markets = {…}",
            )
        frame = frame.with_columns(times.alias(name))
    number = pl.col("resolution").cast(pl.Float64, strict=False)
    odd = frame.filter(pl.col("resolution").is_not_null() & ~number.is_between(0, 1).fill_null(False))
    if not odd.is_empty():
        raise BadInput(
            f"the outcome {odd.item(0, 'resolution')!r} is no number from 0 to 1",
            where=f"{file}, {'line' if is_text(file) else 'row'} {odd.item(0, LINE)}",
            fix="give the column with 1 for yes and 0 for no",
        )
    return frame.with_columns(number).select(pl.col(name).cast(kind) for name, kind in _table_schema().items())


def _table_schema() -> dict[str, pl.DataType]:
    schema = frame_schema(MARKET_COLUMNS)
    named = ("external_id", "question", "end_at", "resolution", "resolved_at", "quote_currency", "event_id")
    return {name: schema[name] for name in named} | {"known_at": schema["end_at"]}
