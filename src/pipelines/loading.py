"""`pipelines.load("features")`: the project's data as a frame, for notebooks and scripts.

Reads the newest snapshot. What this package cannot know, which snapshot is the newest, is answered by the function that
the orchestrator registers under the entry point group tidemill.catalog; where pages of remote sources lie, by that of
tidemill.inbox.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from pipelines.as_known import computed, project_as_known
from pipelines.errors import PipelineError
from pipelines.features.bars import SHOWN, look_at
from pipelines.lake import TABLE_SUFFIX, Lake
from pipelines.plugins.modules import entry_points, load_entry
from pipelines.project import load_project
from pipelines.snapshot import Partition, Snapshot
from pipelines.source import BAR_COLUMNS

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

CATALOG_GROUP, INBOX_GROUP = "tidemill.catalog", "tidemill.inbox"
# (component, home, try or None for production) -> its newest snapshot
OpenSnapshot = Callable[[str, Path | None, str | None], tuple[Lake, Snapshot]]

# What people ask for -> the component that has it, and the start of the partitions' keys. Where no source gives single
# trades or quotes, ticks are what the sources do give: their bars.
TABLES = {
    "markets": ("markets", "markets"),
    "ticks": ("ticks", "trades/"),
    "bars": ("features", "bars/"),
    "features": ("features", "features/"),
    "predictions": ("inference", "predictions"),
    "quarantine": ("ticks", "quarantine"),
}


@overload
def load(
    name: str,
    as_of: datetime | None = ...,
    columns: Sequence[str] | None = ...,
    home: Path | None = ...,
    frame: Literal["polars"] = ...,
    as_known_at: datetime | None = ...,
    *,
    of: str | None = ...,
) -> pl.DataFrame: ...
@overload
def load(
    name: str,
    as_of: datetime | None = ...,
    columns: Sequence[str] | None = ...,
    home: Path | None = ...,
    *,
    frame: Literal["pandas"],
    as_known_at: datetime | None = ...,
    of: str | None = ...,
) -> pd.DataFrame: ...
def load(
    name: str,
    as_of: datetime | None = None,
    columns: Sequence[str] | None = None,
    home: Path | None = None,
    frame: Literal["polars", "pandas"] = "polars",
    as_known_at: datetime | None = None,
    *,
    of: str | None = None,
) -> pl.DataFrame | pd.DataFrame:
    """The newest markets, ticks, bars, features or predictions, or the tables of a component, as one frame.

    `as_of` (aware): only rows with ts at or before it. `columns`: only these. `home`: the working folder (database,
    lake), default as everywhere. `as_known_at` (aware): not the newest output but what agent.toml of the current folder
    makes of the pages of remote sources that were asked for by then, computed for this call. `of`: the name of a try
    (`agent tries`), whose output is read instead of production's. Raises PipelineError for an unknown name or column,
    for both of these at once, where nothing was computed yet, and where no source says when its data came.
    """
    component, prefix = TABLES.get(name, (name, ""))
    if as_known_at is not None:
        if of is not None:
            raise PipelineError(
                "what was known at an instant is computed with agent.toml as it is, not with a try's settings",
                where="as_known_at and of",
                fix="give one of them",
            )
        project = project_as_known(load_project(inbox=_inbox(home)), as_known_at)
        with computed(project, component) as (lake, snapshot):
            table = load_frame(lake, snapshot, prefix, as_of, columns)
        return table if frame == "polars" else table.to_pandas()
    openers = list(entry_points(CATALOG_GROUP))
    if not openers:
        raise PipelineError(
            "no catalog is installed, so the newest snapshot cannot be found",
            where=f"entry point group {CATALOG_GROUP}",
            fix="install tidemill (pip install -e . in a checkout)",
        )
    open_snapshot: OpenSnapshot = load_entry(openers[0])
    lake, snapshot = open_snapshot(component, home, of)
    table = load_frame(lake, snapshot, prefix, as_of, columns)
    return table if frame == "polars" else table.to_pandas()


def _inbox(home: Path | None) -> Path | None:
    """Where the pages of this folder's project lie; None where nothing is installed that could say."""
    places = list(entry_points(INBOX_GROUP))
    if not places:
        return None
    place: Callable[[Path | None], Path] = load_entry(places[0])
    return place(home)


def load_frame(
    lake: Lake,
    snapshot: Snapshot,
    prefix: str = "",
    as_of: datetime | None = None,
    columns: Sequence[str] | None = None,
) -> pl.DataFrame:
    """The tables of `snapshot` whose keys start with `prefix`, one after the other in key order.

    Bars are shown as pipelines.features.bars.look_at shows them. `as_of` (aware): only rows with ts at or before it;
    partitions that begin later are not read. Raises PipelineError for a naive `as_of`, one for tables without event
    time, an unknown column, or where there is no such table.
    """
    import polars as pl

    tables = tables_of(snapshot, prefix)
    known = {name for table in tables for name in _columns(table)}
    unknown = sorted(set(columns or ()) - known)
    if unknown:
        raise PipelineError(
            f"{snapshot.component} has no column {', '.join(unknown)}",
            where="columns",
            fix=f"its columns are: {', '.join(sorted(known))}",
        )
    if as_of is None:
        return _read(lake, tables, columns)
    if as_of.tzinfo is None:
        raise PipelineError(f"{as_of} has no time zone", where="as_of", fix="say which: datetime(…, tzinfo=UTC)")
    if "ts" not in known:
        raise PipelineError(f"{snapshot.component} has no event time (ts)", where="as_of", fix="load it without as_of")
    begun = [table for table in tables if table.min_ts is None or table.min_ts <= as_of]
    wanted = None if columns is None else list(dict.fromkeys([*columns, "ts"]))
    # The first table's columns stand for all where none has begun.
    rows = _read(lake, begun or tables[:1], wanted).filter(pl.col("ts") <= as_of)
    return rows if columns is None else rows.select(columns)


def tables_of(snapshot: Snapshot, prefix: str) -> list[Partition]:
    """Tables below `prefix` that share their columns with the first. Raises PipelineError where there is none."""
    if snapshot.component == "ticks" and prefix == TABLES["ticks"][1] and not snapshot.select(prefix):
        prefix = "bars/"
    found = [one for one in snapshot.select(prefix) if one.path.endswith(TABLE_SUFFIX)]
    alike = [one for one in found if _columns(one) == _columns(found[0])]
    if not alike:
        raise PipelineError(
            f"{snapshot.component} has no table{f' {prefix!r}' if prefix else ''}",
            where=f"its newest output, {len(snapshot.partitions)} partitions",
            fix="run the pipeline first: python -m agent.orchestrator --mode once",
        )
    return alike


def _columns(table: Partition) -> frozenset[str]:
    """The columns that a table is shown with."""
    return frozenset(SHOWN) if table.column_hashes.keys() >= BAR_COLUMNS.keys() else frozenset(table.column_hashes)


def _read(lake: Lake, tables: Sequence[Partition], columns: Sequence[str] | None) -> pl.DataFrame:
    import polars as pl

    if _columns(tables[0]) != frozenset(SHOWN):
        return lake.read_tables(tables, columns)
    rows = pl.concat([look_at(lake.read_table(table)) for table in tables], rechunk=True)
    return rows if columns is None else rows.select(columns)
