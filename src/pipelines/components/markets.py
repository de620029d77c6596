"""The universe: every market of every configured source, as one table. Volume and liquidity are as of the last poll."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.component import Context, component
from pipelines.data.checks import check_markets
from pipelines.errors import BadInput
from pipelines.source import MARKET_COLUMNS, frame_schema

if TYPE_CHECKING:
    import polars as pl


def _contract(_key: str, frame: pl.DataFrame) -> None:
    check_markets(frame)


@component(
    reads_sources=True, heavy=False, libraries=("polars",), projections={"markets": "markets"}, contract=_contract
)
def ingest_markets(ctx: Context, settings: Any) -> None:
    """Ask each source for its markets and write them as partition "markets", sorted by market_id.

    Raises BadInput where the sources have no market at all, ContractViolation for a row that breaks a rule.
    """
    import polars as pl

    frames = [pl.DataFrame(schema=frame_schema(MARKET_COLUMNS))]
    for done, (name, source) in enumerate(sorted(ctx.sources.items())):
        ctx.progress(done, len(ctx.sources), name)
        frame = source.markets()
        check_markets(frame, f"[sources.{name}]")
        frames.append(frame)
    universe = pl.concat(frames).sort("market_id")
    if universe.is_empty():
        raise BadInput(
            "the configured sources have no market",
            where=", ".join(f"[sources.{name}]" for name in sorted(ctx.sources)) or "agent.toml",
            fix="configure a source that has data, such as [sources.sample]",
        )
    check_markets(universe)
    ctx.write_table("markets", universe)
    ctx.progress(len(ctx.sources), len(ctx.sources), f"{universe.height} markets")
