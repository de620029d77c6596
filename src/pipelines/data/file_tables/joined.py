"""Many small tables of text read as one: opening a table costs a millisecond, however few rows it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.data.file_tables.raw import RawFile, changed_at, columns_of, market_name, ts_of_day
from pipelines.data.file_tables.read import LINE, is_panic, is_parquet, is_text_table, only_where, separator_of, text_of
from pipelines.data.file_tables.settings import Dataset
from pipelines.data.file_tables.texts import join_texts, without_blank_rows
from pipelines.errors import BadInput
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

SMALL_BYTES = 100_000
_FILE = "_file"  # column: number of the file among those that come together


@dataclass(frozen=True)
class RawFiles:
    """The columns that count of several files, rows of one after those of another. `lengths` and `read`: of each."""

    parts: tuple[str, ...]
    files: tuple[Path, ...]
    table: pl.DataFrame
    lengths: tuple[int, ...]
    written_at: tuple[datetime, ...]
    read: tuple[int, ...]


def put_together(raws: Sequence[RawFile]) -> RawFiles:
    """Files that were read one by one, of the same columns, as one table."""
    import polars as pl

    return RawFiles(
        tuple(raw.part for raw in raws),
        tuple(raw.file for raw in raws),
        pl.concat([raw.table for raw in raws if raw.table.height] or [raws[0].table]),
        tuple(raw.table.height for raw in raws),
        tuple(raw.written_at for raw in raws),
        tuple(raw.read for raw in raws),
    )


def may_be_joined(dataset: Dataset, file: Path) -> bool:
    """Whether a file may be read by one query with others of its kind: a Parquet file."""
    return dataset.where is None and dataset.records is None and is_parquet(file)


def read_parquets(dataset: Dataset, parts: Mapping[str, Path]) -> RawFiles | None:
    """Parquet files of the same columns by one query; None where only reading them one by one gives what they say, or
    names the fault."""
    import polars as pl

    files = list(parts.values())
    try:
        written_at = [changed_at(file) for file in files]
        scan = pl.scan_parquet(files, glob=False, include_file_paths=_FILE)
        names = [name for name in scan.collect_schema().names() if name != _FILE]
        if LINE in names:
            return None
        market = market_name(dataset, files[0], names)
        needed = [*columns_of(dataset, files[0], names).values(), *([market] if isinstance(market, pl.Expr) else [])]
        wanted = {name for one in needed for name in one.meta.root_names()}
        table = scan.select(*sorted(wanted), _FILE).collect()
    except (BadInput, OSError, pl.exceptions.PolarsError):
        return None
    except BaseException as error:
        if is_panic(error):
            return None
        raise
    runs = table.get_column(_FILE).cast(pl.String).rle().struct.unnest()
    counts = dict(zip(runs.get_column("value"), runs.get_column("len"), strict=True))
    if len(counts) < runs.height:
        return None
    lengths = [counts.pop(str(file), 0) for file in files]
    if counts:  # a file is called otherwise than it was asked for
        return None
    return _of_table(dataset, parts, pl.concat([_places(lengths, 1), table.drop(_FILE)], how="horizontal"), written_at)


def is_small(dataset: Dataset, file: Path) -> bool:
    """Whether a file may be read with others: a small table of text."""
    try:
        return dataset.records is None and is_text_table(file) and file.stat().st_size <= SMALL_BYTES
    except OSError:
        return False


def read_joined(dataset: Dataset, parts: Mapping[str, Path]) -> RawFiles | None:
    """Small tables of text as one; None where only reading them one by one gives what they say, or names the fault."""
    import polars as pl

    files = list(parts.values())
    try:
        written_at = [changed_at(file) for file in files]
        joined = join_texts([text_of(file) for file in files], dataset.header)
        if joined is None:
            return None
        data, lengths = joined
        separator = dataset.separator or separator_of(files[0])
        table = pl.read_csv(data, separator=separator, has_header=dataset.header, infer_schema=False).rechunk()
    except (BadInput, OSError, ValueError, pl.exceptions.PolarsError):
        return None
    if table.height != sum(lengths):
        return None
    if not dataset.header:
        table.columns = [f"column_{number}" for number in range(1, table.width + 1)]
    return _of_table(dataset, parts, _with_places(table, lengths, dataset.header), written_at)


def _with_places(table: pl.DataFrame, lengths: Sequence[int], header: bool) -> pl.DataFrame:
    """The rows that are not blank, with the number of their file and their line in it."""
    import polars as pl

    places = _places(lengths, 2 if header else 1)
    return without_blank_rows(pl.concat([places, table], how="horizontal"), (LINE, _FILE))


def _places(lengths: Sequence[int], first: int) -> pl.DataFrame:
    """The line of each row, the first one of a file being `first`, and the number of its file."""
    import numpy as np
    import polars as pl

    ends = np.cumsum(lengths)
    lines = np.arange(sum(lengths)) - np.repeat(ends - lengths, lengths) + first
    return pl.DataFrame(
        {
            LINE: pl.Series(lines, dtype=pl.UInt32),
            _FILE: pl.Series(np.repeat(np.arange(len(lengths)), lengths), dtype=pl.UInt32),
        }
    )


def _of_table(
    dataset: Dataset, parts: Mapping[str, Path], table: pl.DataFrame, written_at: Sequence[datetime]
) -> RawFiles | None:
    import polars as pl

    files = tuple(parts.values())
    names = [name for name in table.columns if name not in (LINE, _FILE)]
    try:
        markets = [market_name(dataset, file, names) for file in files]
        needed = columns_of(dataset, files[0], names)
        number = pl.col(_FILE)
        if isinstance(markets[0], pl.Expr):
            needed["market"] = markets[0]
        else:
            needed["market"] = pl.lit(pl.Series(markets, dtype=pl.String)).gather(number)
        wanted = only_where(table.lazy(), dataset.where, files[0])
        raw = wanted.select(LINE, _FILE, *(value.alias(role) for role, value in needed.items())).collect().rechunk()
        if dataset.day_pattern is not None:
            days = [
                ts_of_day(dataset, files[int(one.item(0, _FILE))], one.get_column("ts"))
                for one in raw.partition_by(_FILE, maintain_order=True)
            ]
            raw = raw.with_columns(pl.concat(days)) if days else raw
    except (BadInput, pl.exceptions.PolarsError):
        return None
    if dataset.content == "quotes":
        raw = raw.filter(pl.col("bid").is_not_null() & pl.col("ask").is_not_null())
    read = dict(table.get_column(_FILE).value_counts().iter_rows())
    kept = dict(raw.get_column(_FILE).value_counts().iter_rows())
    numbers = range(len(files))
    return RawFiles(
        tuple(parts),
        files,
        raw.drop(_FILE),
        tuple(kept.get(n, 0) for n in numbers),
        tuple(written_at),
        tuple(read.get(n, 0) for n in numbers),
    )
