"""`agent export NAME --to FILE`: the newest markets, ticks, bars, features or predictions as one file; or a release's
report as one page."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agent.arguments import instant
from agent.cli.output import emit
from agent.errors import NotFound, UsageError
from agent.execution.release import whole_page
from agent.execution.workspace import Workspace, open_workspace
from agent.store import state
from agent.store.database.engine import Connections
from agent.store.outputs import catalog, releases
from agent.store.outputs.releases import Release
from pipelines.data.csv_text import neutralised
from pipelines.lake import Lake
from pipelines.loading import TABLES, load_frame, tables_of
from pipelines.snapshot import Partition, Snapshot

if TYPE_CHECKING:
    import polars as pl

HELP = "Write the newest markets, ticks, bars, features or predictions, or the report of a release, to one file."
_REPORT = "report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    known = [*sorted(TABLES), _REPORT]
    parser.add_argument("name", metavar="NAME", choices=known, help=f"one of {', '.join(known)}")
    parser.add_argument("release", metavar="RELEASE", nargs="?", help="of the report (the current one)")
    parser.add_argument(
        "--to", type=Path, required=True, metavar="FILE", help="ends in .parquet or .csv; .html: report"
    )
    parser.add_argument("--as-of", type=instant, metavar="TIME", help="only rows known by then, such as 2013-01-31")


def run(options: argparse.Namespace) -> int:
    """Write the file, a partition at a time; it appears only when it is whole."""
    target: Path = options.to
    if options.name == _REPORT:
        return _export_report(options, target)
    if options.release is not None:
        raise UsageError(
            f"{options.name} has no releases", where=options.release, fix=f"leave it out, or export {_REPORT}"
        )
    if target.suffix not in (".parquet", ".csv"):
        raise UsageError(f"cannot tell the format of {target.name!r}", where="--to", fix="end it in .parquet or .csv")
    component, prefix = TABLES[options.name]
    with open_workspace(options.project_dir) as workspace:
        snapshot = _newest(workspace, component)
        with _appearing(target) as draft:
            rows = _write(workspace.lake, snapshot, prefix, options.as_of, draft, is_csv=target.suffix == ".csv")
    value = {"name": options.name, "file": target, "rows": rows, "version": snapshot.version}
    emit(options, value, f"{target}: {rows:,} rows of {options.name}, version {snapshot.version[:8]}")
    return 0


def _export_report(options: argparse.Namespace, target: Path) -> int:
    """One page with the script that draws in it, to send to somebody."""
    if target.suffix != ".html":
        raise UsageError(f"cannot tell the format of {target.name!r}", where="--to", fix="end it in .html")
    with open_workspace(options.project_dir) as workspace:
        with workspace.database.reading() as connections:
            wanted = options.release
            found = releases.load_release(connections.project, wanted) if wanted else _current(connections)
        page = whole_page(workspace.settings.releases_path / found.name)
    with _appearing(target) as draft:
        draft.write_text(page, encoding="utf-8")
    emit(options, {"name": _REPORT, "file": target, "release": found.name}, f"{target}: report of {found.name}")
    return 0


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """The file to write: it becomes `target` when the block is over. Raises UsageError for what the disk refuses."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
    try:
        yield draft
        draft.replace(target)
    except OSError as error:
        raise UsageError(
            f"cannot write: {error.strerror or error}", where=str(target), fix="choose another folder"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def _current(connections: Connections) -> Release:
    found = releases.current_release(connections.project)
    if found is None:
        raise NotFound("there is no release yet", where="releases", fix="`agent run` makes one")
    return found


def _newest(workspace: Workspace, component: str) -> Snapshot:
    with workspace.database.reading() as connections:
        found = state.load_states(connections.project).get(component)
        if found is None or found.output_snapshot_id is None:
            raise NotFound(f"{component} has no output yet", where=component, fix="`agent run` computes it")
        return catalog.load_snapshot(connections.project, found.output_snapshot_id)


def _write(lake: Lake, snapshot: Snapshot, prefix: str, as_of: datetime | None, draft: Path, *, is_csv: bool) -> int:
    """Write the tables below `prefix` one after the other; returns the number of rows."""
    partitions = tables_of(snapshot, prefix)
    if as_of is not None and partitions[0].min_ts is not None:
        # The first stands for the columns where nothing was known yet.
        partitions = [one for one in partitions if one.min_ts is None or one.min_ts <= as_of] or partitions[:1]
    rows = 0
    with ExitStack() as stack:
        append: Callable[[pl.DataFrame], None] | None = None
        for partition in partitions:
            frame = load_frame(lake, _alone(snapshot, partition), partition.key, as_of)
            append = append or (_csv(stack, draft) if is_csv else _parquet(stack, draft, frame))
            append(frame)
            rows += frame.height
    return rows


def _alone(snapshot: Snapshot, partition: Partition) -> Snapshot:
    return Snapshot(snapshot.component, (partition,))


def _csv(stack: ExitStack, path: Path) -> Callable[[pl.DataFrame], None]:
    file = stack.enter_context(path.open("wb"))

    def append(frame: pl.DataFrame) -> None:
        neutralised(frame).write_csv(file, include_header=file.tell() == 0)

    return append


def _parquet(stack: ExitStack, path: Path, first: pl.DataFrame) -> Callable[[pl.DataFrame], None]:
    import pyarrow.parquet as pq

    writer = stack.enter_context(pq.ParquetWriter(path, first.to_arrow().schema, compression="zstd"))

    def append(frame: pl.DataFrame) -> None:
        writer.write_table(frame.to_arrow())

    return append
