"""How the trades of two backtests differ.

Trades have what the backtest writes: market_id, side, entry_at, pnl (multiples of the start) and more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_SAME_TRADE = ("market_id", "side", "entry_at")


@dataclass(frozen=True)
class Apart:
    """Trades of two backtests: how many both have, and those of either alone, the largest P&L first."""

    both: int
    before: pl.DataFrame
    after: pl.DataFrame


def trades_apart(before: pl.DataFrame, after: pl.DataFrame) -> Apart:
    """Which trades only one of two backtests made. The same trade: same market, side and entry."""
    import polars as pl

    alone = [
        one.join(other, on=_SAME_TRADE, how="anti", maintain_order="left").sort(
            pl.col("pnl").abs(), descending=True, maintain_order=True
        )
        for one, other in ((before, after), (after, before))
    ]
    return Apart(after.height - alone[1].height, alone[0], alone[1])
