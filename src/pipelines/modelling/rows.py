"""The rows that a model learns from and is judged on: features of each bar beside what came of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.modelling.derived import derive, price_log_odds
from pipelines.modelling.labels import RESOLUTION, usual_spacing, with_labels
from pipelines.modelling.moves import volatility
from pipelines.values import dataclass

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Floats = npt.NDArray[np.float64]
    Instants = npt.NDArray[np.int64]  # microseconds since the epoch

UNKNOWN = -1  # label of a row whose outcome is not known
VOLATILITY_BARS = 60
_LEAST_VOLATILITY_BARS = 10
LATER_BARS = (1, 5)
_BINARY = "binary"


@dataclass(frozen=True)
class Rows:
    """Feature rows in the order of (ts, market), column by column. An unknown label is -1, its other columns NaN.

    change, later: what a position gained from the next open on, and from that of 1 and of 5 bars later on: a fraction
    of the price, of binary markets in units of the payoff. cost: of that trade, and volatility: of the change over the
    horizon (moves.volatility), in the same unit. short, long: the moves of the last bar and horizon, and of 60 bars, in
    units of the standard deviation of the last 60 bars, for the baselines. to_resolution: the label is what the market
    paid, and `change` that less the next open.
    """

    features: tuple[str, ...]
    matrix: npt.NDArray[np.float32]
    market: npt.NDArray[np.object_]
    event: npt.NDArray[np.object_]  # what markets share an outcome with: their event, else the market itself
    kind: npt.NDArray[np.object_]
    ts: Instants
    known_at: Instants  # when the label was known, embargo added; unknown labels: never
    label: npt.NDArray[np.int8]
    spacing: npt.NDArray[np.int64]  # seconds, of the row's market
    length: npt.NDArray[np.int64]  # seconds, of the row's bar
    price: Floats
    change: Floats
    cost: Floats
    later: dict[int, Floats]
    volatility: Floats
    short: Floats
    long: Floats
    to_resolution: bool = False

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def is_binary(self) -> npt.NDArray[np.bool_]:
        """Whether the row's market pays 1 or 0."""
        import numpy as np

        return np.asarray(self.kind == _BINARY, dtype=np.bool_)


def rows_of(
    bars: pl.DataFrame,
    features: pl.DataFrame,
    markets: pl.DataFrame,
    *,
    horizon_bars: int,
    embargo_bars: int = 0,
    is_derived: bool = False,
    to_resolution: bool = False,
) -> Rows:
    """Labelled rows of `features` (market_id, ts, one column per feature).

    `bars` has market_id, start, end, open and close; `markets` has MARKET_FACTS, and perhaps event_id. Rows of a
    resolved market from its resolution on are left out: its price is then the outcome itself. `is_derived` adds the
    features of modelling.derived. `to_resolution`: rows of binary markets alone, labelled with what these paid, the log
    odds of the price before the other features.
    """
    import numpy as np
    import polars as pl

    if to_resolution:
        markets = markets.filter(pl.col("kind") == _BINARY)
        bars, features = (one.join(markets.select("market_id"), on="market_id", how="semi") for one in (bars, features))
    spacing = usual_spacing(bars)
    facts = markets.select("market_id", "kind", "resolved_at", event=event_of(markets))
    known = bars.rename({"end": "ts"})
    labelled = with_labels(known, spacing, RESOLUTION if to_resolution else horizon_bars, markets).join(
        facts, on="market_id", how="left", maintain_order="left"
    )
    table = (
        features.join(_with_moves(labelled, horizon_bars), on=("market_id", "ts"), how="inner")
        .join(spacing, on="market_id", how="left")
        .filter(pl.col("resolved_at").is_null() | (pl.col("ts") < pl.col("resolved_at")))
        .with_columns(known_at=pl.col("label_end") + embargo_bars * (pl.col("ts") - pl.col("start")))
        .sort("ts", "market_id")
    )
    names = [name for name in features.columns if name not in ("market_id", "ts")]
    frame = derive(table.select("ts", *names)) if is_derived else table.select(names)
    if to_resolution:
        frame = table.select(price_log_odds()).hstack(frame)
    matrix = np.ascontiguousarray(frame.to_numpy(), dtype=np.float32)
    rows = _columns(table, tuple(frame.columns), matrix, volatility(table, horizon_bars))
    return replace(rows, to_resolution=to_resolution)


def event_of(markets: pl.DataFrame) -> pl.Expr:
    """The event of each market within its source; one that has none is its own."""
    import polars as pl

    its_own = pl.col("market_id")
    if "event_id" not in markets.columns:
        return its_own
    source = its_own.str.split_exact(":", 1).struct.field("field_0")
    return pl.coalesce(pl.format("{}: event {}", source, "event_id"), its_own)


def _with_moves(bars: pl.DataFrame, horizon_bars: int) -> pl.DataFrame:
    """`bars` with labels, in order, with the columns later_N, short and long."""
    import polars as pl

    market, close = "market_id", pl.col("close")
    is_binary = pl.col("kind") == _BINARY

    def move(bars: int) -> pl.Expr:
        before = close.shift(bars).over(market)
        return pl.when(is_binary).then(close - before).otherwise((close / before).log())

    root = horizon_bars**0.5
    return (
        bars.with_columns(_move=move(1), _over_horizon=move(horizon_bars), _long=move(VOLATILITY_BARS))
        .with_columns(
            _spread=pl.col("_move")
            .rolling_std(VOLATILITY_BARS, min_samples=_LEAST_VOLATILITY_BARS)
            .over(market)
            .mul(root),
            **{f"later_{bars}": pl.col("forward_return").shift(-bars).over(market) for bars in LATER_BARS},
        )
        .with_columns(
            short=root * pl.col("_move") / pl.col("_spread") + pl.col("_over_horizon") / pl.col("_spread"),
            long=pl.col("_long") / (pl.col("_spread") * (VOLATILITY_BARS / horizon_bars) ** 0.5),
        )
    )


def _columns(table: pl.DataFrame, names: Sequence[str], matrix: npt.NDArray[np.float32], spread: Floats) -> Rows:
    import numpy as np
    import polars as pl

    def floats(name: str) -> Floats:
        return table.get_column(name).cast(pl.Float64).to_numpy()

    return Rows(
        features=tuple(names),
        matrix=matrix,
        market=table.get_column("market_id").to_numpy(),
        event=table.get_column("event").to_numpy(),
        kind=table.get_column("kind").fill_null("unknown").to_numpy(),
        ts=table.get_column("ts").cast(pl.Int64).to_numpy(),
        known_at=table.get_column("known_at").cast(pl.Int64).fill_null(np.iinfo(np.int64).max).to_numpy(),
        label=table.get_column("label").fill_null(UNKNOWN).to_numpy(),
        spacing=table.get_column("spacing_seconds").to_numpy(),
        length=(table.get_column("ts") - table.get_column("start")).dt.total_seconds().to_numpy(),
        price=floats("close"),
        change=floats("forward_return"),
        cost=floats("cost"),
        later={bars: floats(f"later_{bars}") for bars in LATER_BARS},
        volatility=spread,
        short=floats("short"),
        long=floats("long"),
    )
