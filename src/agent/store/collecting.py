"""Rows of collectors and streams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from agent.store.collect_tables import collectors, streams
from agent.store.database.engine import insert
from pipelines.values import dataclass

SOURCE_LIST = "markets"  # kind of streams that say which markets there are


@dataclass(frozen=True)
class StreamRow:
    """A row of streams."""

    source: str
    stream: str
    kind: str
    cursor: str | None = None
    covered_from: datetime | None = None
    covered_to: datetime | None = None
    holes: int = 0
    last_ok_at: datetime | None = None
    last_error: str | None = None
    failures: int = 0
    next_try_at: datetime | None = None
    pages: int = 0
    rows: int = 0


def ensure_collector(conn: sa.Connection, source: str) -> None:
    """Make the row that the lease on a source lies in."""
    conn.execute(insert(conn, collectors).values(source=source).on_conflict_do_nothing())


def load_collectors(conn: sa.Connection) -> dict[str, Mapping[str, Any]]:
    """The rows of collectors by source."""
    return {str(row["source"]): dict(row) for row in conn.execute(sa.select(collectors)).mappings()}


def save_pass(
    conn: sa.Connection,
    source: str,
    *,
    now: datetime,
    ok_at: datetime | None,
    error: str | None,
    offset_seconds: float | None,
) -> None:
    """Note how a pass went; what is None of `ok_at` and `offset_seconds` stays as it was."""
    known = {"last_ok_at": ok_at, "clock_offset_seconds": offset_seconds}
    values = {"last_pass_at": now, "last_error": error, **{k: v for k, v in known.items() if v is not None}}
    conn.execute(sa.update(collectors).where(collectors.c.source == source).values(**values))


def load_streams(conn: sa.Connection, source: str | None = None) -> list[StreamRow]:
    """The rows of streams, of one source or of all, by source and stream."""
    query = sa.select(streams).order_by(streams.c.source, streams.c.stream)
    if source is not None:
        query = query.where(streams.c.source == source)
    return [StreamRow(**row) for row in conn.execute(query).mappings()]


def save_streams(conn: sa.Connection, rows: Iterable[StreamRow]) -> None:
    """Write rows of streams in place of those that were."""
    values = [vars(row) for row in sorted(rows, key=lambda row: (row.source, row.stream))]
    if not values:
        return
    new = insert(conn, streams)
    changed = {name: new.excluded[name] for name in StreamRow.__dataclass_fields__ if name not in ("source", "stream")}
    conn.execute(new.on_conflict_do_update(index_elements=["source", "stream"], set_=changed), values)


def collected_to(conn: sa.Connection) -> dict[str, str]:
    """Source -> up to when its newest stream of prices is known, ISO 8601."""
    newest = sa.func.max(streams.c.covered_to).label("newest")
    query = sa.select(streams.c.source, newest).where(streams.c.kind != SOURCE_LIST).group_by(streams.c.source)
    return {source: at.isoformat() for source, at in conn.execute(query) if at is not None}
