"""The universe: every market of every configured source, as one table. Volume and liquidity are as of the last poll."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.component import Context, component
from pipelines.data.checks import check_markets
from pipelines.errors import BadInput
from pipelines.source import MARKET_COLUMNS, NAME_LENGTHS, frame_schema

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
        _check_texts(frame, f"[sources.{name}]")
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


def _check_texts(frame: pl.DataFrame, where: str) -> None:
    """Raise BadInput for a text that not every database takes: a name that is too long, or a NUL character."""
    import polars as pl

    for column, most in NAME_LENGTHS.items():
        lengths = frame.get_column(column).str.len_chars()
        if (lengths > most).any():
            text = str(frame.filter(lengths > most).item(0, column))
            raise BadInput(
                f"the name of a market has {len(text)} characters, at most {most} are possible: {text[:60]}…",
                where=where,
                fix="give it a shorter one, such as another column: columns = { market = … }, or market_pattern",
            )
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    broken = frame.filter(pl.any_horizontal(pl.col(name).str.contains("\0", literal=True) for name in texts))
    if not broken.is_empty():
        raise BadInput(
            f"a text of market {str(broken.item(0, 'market_id'))!r} holds a NUL character",
            where=where,
            fix="remove it from the file",
        )
