"""Markets and bars of a release's snapshots as a trader sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from agent.amounts import of_float
from agent.trading.feed import Listing
from agent.trading.feeds.columns import BarColumns
from agent.trading.model import Instrument
from pipelines.costs import BINARY, COST_COLUMNS, Costs
from pipelines.lake import Lake
from pipelines.modelling.deciding import QUOTE_COLUMNS
from pipelines.snapshot import Snapshot

if TYPE_CHECKING:
    import polars as pl

UNIT = Decimal("0.00000001")  # the smallest part of what is not counted in whole contracts
A_DAY = 86_400.0  # the length of bars that nobody knows
_BARS = "bars/"
_BAR_COLUMNS = ("market_id", "start", "end", "open", "close", "volume", *QUOTE_COLUMNS)


def markets_of(lake: Lake, markets: Snapshot, cost_factor: float = 1.0) -> pl.DataFrame:
    """All markets, with costs that are so many times the project's."""
    import polars as pl

    rows = lake.read_tables(markets.select("markets"))
    return rows.with_columns(pl.col(*COST_COLUMNS) * cost_factor)


def bars_of(lake: Lake, features: Snapshot) -> pl.DataFrame:
    """BAR_COLUMNS of all markets, by market and end."""
    return lake.read_tables(features.select(_BARS), _BAR_COLUMNS).sort("market_id", "end", maintain_order=True)


def bars_of_market(lake: Lake, features: Snapshot, market_id: str) -> pl.DataFrame:
    """The same of one market."""
    import polars as pl

    its = pl.col("market_id") == market_id
    parts = [lake.read_tables([part], _BAR_COLUMNS).filter(its) for part in features.select(_BARS)]
    return pl.concat(parts).sort("end") if parts else pl.DataFrame(schema=dict.fromkeys(_BAR_COLUMNS))


class BarsByMarket(Mapping[str, BarColumns]):
    """The bars of each market in `rows` (by market and end), made into columns when somebody asks: a trader asks about
    few of many, and columns of Python's take ten times the room."""

    def __init__(self, rows: pl.DataFrame) -> None:
        parts = rows.partition_by("market_id", maintain_order=True, as_dict=True)
        self._rows = {str(market): part for (market,), part in parts.items()}
        self._made: dict[str, BarColumns] = {}

    def __getitem__(self, market_id: str) -> BarColumns:
        if market_id not in self._made:
            self._made[market_id] = _columns(self._rows[market_id])
        return self._made[market_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def usual_lengths(rows: pl.DataFrame) -> dict[str, float]:
    """Market -> seconds that most of its bars take: the upper one of the two in the middle, where there are two."""
    import polars as pl

    lengths = (pl.col("end") - pl.col("start")).sort().get(pl.len() // 2).dt.total_seconds(fractional=True)
    return dict(rows.group_by("market_id").agg(lengths.alias("seconds")).iter_rows())


def _columns(rows: pl.DataFrame) -> BarColumns:
    def floats(name: str) -> list[float]:
        return rows.get_column(name).cast(float).fill_null(float("nan")).to_list()

    starts, ends = (rows.get_column(name).to_list() for name in ("start", "end"))
    return BarColumns(
        starts, ends, floats("open"), floats("close"), floats("volume"), floats("bid_close"), floats("ask_close")
    )


def listing_of(row: dict[str, Any], bar_seconds: float | None) -> Listing:
    """A market (a row of `markets_of`) as the paper platform lists it: whole contracts, else the eighth place of a
    unit."""
    is_binary = row["kind"] == BINARY
    tick = row["tick_size"]
    instrument = Instrument(
        market_id=row["market_id"],
        kind=row["kind"],
        tick=of_float(tick) if tick else UNIT,
        lot=Decimal(1) if is_binary else UNIT,
        price_low=Decimal(0) if is_binary else None,
        price_high=Decimal(1) if is_binary else None,
        base=_base(row["symbol"] or row["external_id"]),
        event=row["event_id"] or "",
    )
    payout = row["resolution"]
    return Listing(
        instrument=instrument,
        costs=costs_of(row),
        bar_seconds=A_DAY if bar_seconds is None else bar_seconds,
        name=row["question"] or row["symbol"] or row["external_id"],
        payout=None if payout is None else of_float(payout),
        resolved_at=None if payout is None else row["resolved_at"],
    )


def costs_of(row: dict[str, Any]) -> Costs:
    """What trading costs in a market (a row of `markets_of`)."""
    return Costs(
        half_spread=row["half_spread"] or 0.0,
        slippage=row["slippage"] or 0.0,
        fee=row["fee"] or 0.0,
        is_binary=row["kind"] == BINARY,
    )


def _base(symbol: str) -> str:
    """What a pair is of: the part before its separator."""
    parts: Sequence[str] = symbol.replace("/", "-").replace("_", "-").split("-")
    return parts[0] if len(parts) > 1 else ""
