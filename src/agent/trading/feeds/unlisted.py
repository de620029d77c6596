"""Markets that the current release has no longer. A trader that holds one, or has an order there, must still know what
it is and what it was last worth: it says nothing of it, but the money in it counts."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from agent.store.database.engine import Database, reading
from agent.store.outputs import catalog, releases
from agent.store.trading import orders
from agent.trading.feed import Listing
from agent.trading.feeds.columns import BarColumns
from agent.trading.feeds.listed import (
    A_DAY,
    UNIT,
    BarsByMarket,
    bars_of_market,
    listing_of,
    markets_of,
    usual_lengths,
)
from agent.trading.model import Instrument
from pipelines.costs import BINARY, Costs
from pipelines.errors import LakeError
from pipelines.lake import Lake
from pipelines.snapshot import Snapshot
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_MOST_RELEASES = 1_000  # that are looked through


@dataclass(frozen=True)
class LastSeen:
    """A market that left, and its bars as far as they are still there."""

    listing: Listing
    bars: BarColumns | None


def last_seen(database: Database, lake: Lake, market_id: str) -> LastSeen:
    """A market as the newest release that had it shows it. Of one that no release on record had, and of one whose files
    are gone or damaged, no more is known than its orders say: no costs, no bars."""
    for markets, features in _snapshots(database):
        try:
            rows = markets_of(lake, markets)
            row = next((one for one in rows.iter_rows(named=True) if one["market_id"] == market_id), None)
            if row is not None:
                return _as_shown(row, None if features is None else bars_of_market(lake, features, market_id))
        except LakeError:
            continue
    with reading(database.project) as conn:
        is_binary = orders.is_of_outcomes(conn, market_id)
    instrument = Instrument(
        market_id=market_id,
        kind=BINARY if is_binary else "spot",
        tick=UNIT,
        lot=Decimal(1) if is_binary else UNIT,
        price_low=Decimal(0) if is_binary else None,
        price_high=Decimal(1) if is_binary else None,
    )
    return LastSeen(Listing(instrument=instrument, costs=Costs(is_binary=is_binary), bar_seconds=A_DAY), None)


def _as_shown(row: dict[str, Any], rows: pl.DataFrame | None) -> LastSeen:
    market = row["market_id"]
    if rows is None or rows.is_empty():
        return LastSeen(listing_of(row, None), None)
    return LastSeen(listing_of(row, usual_lengths(rows)[market]), BarsByMarket(rows)[market])


def _snapshots(database: Database) -> Iterator[tuple[Snapshot, Snapshot | None]]:
    """Markets and features of each release, the newest first, as far as gc left them."""
    with reading(database.project) as conn:
        found = [one.versions for one in releases.list_releases(conn, _MOST_RELEASES)]
    for versions in found:
        ids = {name: versions[name]["snapshot_id"] for name in ("markets", "features") if name in versions}
        with reading(database.project) as conn:
            there = catalog.load_snapshots(conn, set(ids.values()))
        if ids.get("markets") in there:
            yield there[ids["markets"]], there.get(ids.get("features", -1))
