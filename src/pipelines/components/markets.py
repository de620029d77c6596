"""The universe: every market of every configured source, as one table, and what trading in each costs.

Volume and liquidity are as of the last poll. Columns beside the sources' own: half_spread, slippage and fee, as in
`pipelines.costs.Costs`, null where nothing says what a trade costs; has_default_costs, true where no setting names the
market or its kind; and `history`, earlier states of the market (features.facts).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from pipelines.component import Context, component
from pipelines.costs import COST_COLUMNS, CostSettings, costs_of
from pipelines.data.checks import check_markets
from pipelines.errors import BadInput
from pipelines.features.facts import encode
from pipelines.source import MARKET_COLUMNS, MARKET_HISTORY, NAME_LENGTHS, completed_markets, frame_schema
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl


_WORDS = {"quote_currency": "quote currency", "event_id": "event"}


@dataclass(frozen=True)
class Settings:
    """Section [markets] of agent.toml."""

    costs: Mapping[str, CostSettings] = field(
        default_factory=dict,
        metadata={
            "doc": "costs of a fill by kind of market, `[markets.costs.equity]`, or of one, "
            '`[markets.costs."SOURCE:MARKET"]`: fee_bps, half_spread_bps, slippage_bps, fee_rate (binary markets); '
            "label, decision and backtest all use these"
        },
    )


def _contract(_key: str, frame: pl.DataFrame) -> None:
    check_markets(frame.select(*MARKET_COLUMNS))


@component(
    reads_sources=True,
    heavy=False,
    libraries=("polars",),
    projections={"markets": "markets"},
    contract=_contract,
    settings=Settings,
)
def ingest_markets(ctx: Context, settings: Settings) -> None:
    """Ask each source for its markets and write them as partition "markets", sorted by market_id.

    Raises BadInput where the sources have no market at all, and ContractViolation for a row that breaks a rule.
    """
    import polars as pl

    frames = [pl.DataFrame(schema=frame_schema(MARKET_COLUMNS))]
    states = [pl.DataFrame(schema=frame_schema(MARKET_HISTORY))]
    for done, (name, source) in enumerate(sorted(ctx.sources.items())):
        ctx.progress(done, len(ctx.sources), name)
        frame = completed_markets(source.markets())
        _check_texts(frame, f"[sources.{name}]")
        check_markets(frame, f"[sources.{name}]")
        frames.append(frame)
        if history := getattr(source, "market_history", None):
            states.append(history())
    universe = pl.concat(frames).sort("market_id")
    if universe.is_empty():
        raise BadInput(
            "the configured sources have no market",
            where=", ".join(f"[sources.{name}]" for name in sorted(ctx.sources)) or "agent.toml",
            fix="configure a source that has data, such as [sources.sample]",
        )
    check_markets(universe)
    known = encode(pl.concat(states))
    table = _with_costs(universe, settings.costs).join(known, on="market_id", how="left", maintain_order="left")
    ctx.write_table("markets", table)
    ctx.progress(len(ctx.sources), len(ctx.sources), f"{universe.height} markets")


def _check_texts(frame: pl.DataFrame, where: str) -> None:
    """Raise BadInput for a text that not every database takes: a name that is too long, or a NUL character."""
    import polars as pl

    for column, most in NAME_LENGTHS.items():
        lengths = frame.get_column(column).str.len_chars()
        if (lengths > most).any():
            text, what = str(frame.filter(lengths > most).item(0, column)), _WORDS.get(column, "name")
            raise BadInput(
                f"the {what} of a market has {len(text)} characters, at most {most} are possible: {text[:60]}…",
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


def _with_costs(markets: pl.DataFrame, settings: Mapping[str, CostSettings]) -> pl.DataFrame:
    import polars as pl

    rows = markets.select("market_id", "kind", "tick_size").rows()
    costs = [costs_of(market, kind, tick_size, settings) for market, kind, tick_size in rows]
    return markets.with_columns(
        *(
            pl.Series(name, [None if one is None else getattr(one, name) for one in costs], dtype=pl.Float64)
            for name in COST_COLUMNS
        ),
        pl.Series("has_default_costs", [one is not None and one.is_default for one in costs], dtype=pl.Boolean),
    )
