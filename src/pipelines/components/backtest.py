"""The backtest: what trading the out-of-sample predictions would have earned, against holding and against chance.

History is simulated span by span, in the order in which bars were known whatever partitions they lie in; the state
after each span is kept, so that a later run resumes before the first one that changed. Equity is a multiple of what
each strategy starts with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.component import Context, component
from pipelines.costs import Costs
from pipelines.data.checks import check_entries
from pipelines.errors import PipelineError
from pipelines.modelling.folds import fold_start
from pipelines.modelling.metrics import equity_metrics
from pipelines.settings import setting
from pipelines.snapshot import Reads
from pipelines.spans import span_key, span_of

if TYPE_CHECKING:
    import polars as pl

    from pipelines.modelling.simulation import Quote, Rules, Segment

STRATEGIES = ("model", "buy_and_hold", "random_entry")
_BARS = "bars/"
_TABLES = ("equity", "trades", "checkpoint")


@dataclass(frozen=True)
class Settings:
    """Section [backtest] of agent.toml."""

    fee_bps: float = setting(5.0, "the platform's fee for each fill", unit="basis points", low=0, high=1000)
    slippage_bps: float = setting(2.0, "fill against the bar's open, each fill", unit="basis points", low=0, high=1000)
    entry_margin: float = setting(
        0.005, "enter where the probability is this far from the training rows' base rate", unit="0..1", low=0, high=1
    )
    allow_short: bool = setting(False, "sell short where the probability is that far below the base rate")
    max_positions: int = setting(5, "positions held at once", low=1, high=10_000)
    max_weight: float = setting(0.2, "largest share of equity in one market at entry", unit="0..1", low=0.0001, high=1)
    seed: int = setting(7, "seed of the random entries", low=0, high=2**31 - 1)


def _contract(key: str, frame: pl.DataFrame) -> None:
    if key.startswith("trades/"):
        check_entries(frame, f"backtest, partition {key}")


@component(
    upstream={
        "features": Reads(("market_id", "start", "end", "open", "close"), prefix=_BARS),
        "model": Reads(
            ("market_id", "ts", "probability", "base_rate", "horizon_bars", "spacing_seconds"), prefix="oof/"
        ),
    },
    settings=Settings,
    projections={"metrics.json": "backtest_metrics"},
    contract=_contract,
)
def run_backtest(ctx: Context, settings: Settings) -> None:
    """Write "equity/KEY", "trades/KEY" and "checkpoint/KEY" for each span KEY from the first prediction on, and
    "metrics.json" over all of them. Raises PipelineError where no bar follows the predictions."""
    signals = ctx.inputs["model"].read_all()
    if signals.is_empty():
        raise PipelineError(
            "the model has no out-of-sample predictions to trade",
            where="model",
            fix="`agent mark-dirty model`, then `agent run`",
        )
    begin = signals.get_column("ts").min()
    assert isinstance(begin, datetime)
    keys = _keys_from(ctx, begin)
    if not keys:
        raise PipelineError(
            "no bar lies in the time of the out-of-sample predictions",
            where=f"features, from {begin:%Y-%m-%d %H:%M} UTC on",
            fix="they are of different data: `agent mark-dirty features`, `agent mark-dirty model`, then `agent run`",
        )
    from pipelines.modelling.simulation import simulate  # here, so that a run with nothing to do does not load it

    first = _first_to_compute(ctx, keys)
    state = json.loads(ctx.previous_bytes(f"checkpoint/{keys[first - 1]}") or b"{}") if first else {}
    equity, trades = [], []
    for number, key in enumerate(keys):
        ctx.progress(number, len(keys), key)
        if number < first:
            for table in _TABLES:
                ctx.carry(f"{table}/{key}")
            equity.append(_previous_table(ctx, f"equity/{key}"))
            trades.append(_previous_table(ctx, f"trades/{key}"))
            continue
        piece = simulate(_quotes(ctx, key, signals, begin, settings), state, _rules(signals, begin, settings), key)
        state = piece.state
        equity.append(_curves(piece))
        trades.append(_trades(piece))
        ctx.write_table(f"equity/{key}", equity[-1], time="ts")
        ctx.write_table(f"trades/{key}", trades[-1], time="exit_at")
        ctx.write_bytes(f"checkpoint/{key}", json.dumps(state, sort_keys=True).encode(), suffix=".json")
    metrics = _metrics(equity, trades)
    ctx.write_bytes("metrics.json", json.dumps(metrics, indent=1, sort_keys=True, allow_nan=False).encode())
    ctx.progress(len(keys), len(keys), "done")


def _keys_from(ctx: Context, begin: datetime) -> list[str]:
    """Spans, in time order, in which bars were known at `begin` or later: years, months or days, like the longest that
    partitions of bars are of, so that a span never begins before the one before has ended."""
    partitions = [p for p in ctx.inputs["features"].snapshot.select(_BARS) if p.max_ts is not None]
    length = min((len(span_key(p.key)) for p in partitions), default=0)
    known = ((p.min_ts, p.max_ts) for p in partitions if p.min_ts is not None and p.max_ts is not None)
    ends = {max(one, begin) for pair in known if pair[1] >= begin for one in pair}
    return sorted({_span_before(end)[:length] for end in ends})


def _span_before(end: datetime) -> str:
    """The day whose bars may end at `end`: midnight is the end of the day before."""
    return f"{end - timedelta(microseconds=1):%Y-%m-%d}"


def _first_to_compute(ctx: Context, keys: Sequence[str]) -> int:
    """Index of the first span whose output may differ from the previous one's: everything from there on does."""
    if ctx.previous is None:
        return 0
    bars, model = ctx.inputs["features"], ctx.inputs["model"]
    # A bar is known after the start of its span, a prediction at the start of its fold or later.
    changes = [span_of(span_key(key))[0] + timedelta(microseconds=1) for key in bars.changed]
    changes += [fold_start(key) for key in model.changed]
    changed_from = min(changes, default=None)
    for number, key in enumerate(keys):
        outputs = [f"{table}/{key}" for table in _TABLES]
        if (changed_from is not None and span_of(key)[1] >= changed_from) or any(
            name in ctx.redo or name not in ctx.previous.by_key for name in outputs
        ):
            return number
    return len(keys)


def _rules(signals: pl.DataFrame, begin: datetime, settings: Settings) -> Rules:
    import polars as pl

    from pipelines.modelling.simulation import Rules

    return Rules(
        horizon_bars=int(signals.item(0, "horizon_bars")),
        allow_short=settings.allow_short,
        max_positions=settings.max_positions,
        max_weight=settings.max_weight,
        costs=Costs.from_bps(settings.fee_bps, settings.slippage_bps),
        seed=settings.seed,
        start=pl.Series([begin]).cast(pl.Datetime("us", "UTC")).cast(pl.Int64).item(),
    )


def _quotes(ctx: Context, key: str, signals: pl.DataFrame, begin: datetime, settings: Settings) -> list[Quote]:
    """The bars known within span `key`, from `begin` on, each with the signal made when it was known."""
    import polars as pl

    from pipelines.modelling.simulation import Quote

    features = ctx.inputs["features"]
    low, high = span_of(key)
    near = [p for p in features.snapshot.select(_BARS) if p.max_ts and p.min_ts and p.max_ts > low and p.min_ts <= high]
    bars = pl.concat([features.read(p.key) for p in near]).rename({"end": "ts"})
    excess = pl.col("probability") - pl.col("base_rate")
    side = pl.when(excess >= settings.entry_margin).then(1).when(excess <= -settings.entry_margin).then(-1).otherwise(0)
    spacing = signals.select("market_id", "spacing_seconds").unique("market_id", keep="last", maintain_order=True)
    length = (pl.col("ts") - pl.col("start")).dt.total_seconds()
    table = (
        bars.filter(pl.col("ts") > low, pl.col("ts") <= high, pl.col("ts") >= begin)
        .join(signals.drop("spacing_seconds"), on=("market_id", "ts"), how="left")
        .join(spacing, on="market_id", how="left")
        .sort("ts", "market_id")
        .select(
            pl.col("ts").cast(pl.Int64),
            "market_id",
            pl.col("start").cast(pl.Int64),
            "open",
            "close",
            pl.col("spacing_seconds").fill_null(length),
            side,
            excess.abs().fill_null(0.0).alias("strength"),
        )
    )
    return [Quote(*row) for row in table.iter_rows()]


def _curves(piece: Segment) -> pl.DataFrame:
    import polars as pl

    from pipelines.modelling.simulation import CurvePoint

    schema = {"ts": pl.Int64} | dict.fromkeys(CurvePoint._fields[1:], pl.Float64)
    frames = [
        pl.DataFrame(piece.curves[name], schema=schema, orient="row").select(pl.lit(name).alias("strategy"), pl.all())
        for name in STRATEGIES
    ]
    return pl.concat(frames).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))


def _trades(piece: Segment) -> pl.DataFrame:
    import polars as pl

    from pipelines.modelling.simulation import Trade

    kinds: dict[str, Any] = {"market_id": pl.String, "side": pl.Int8, "bars_held": pl.Int64, "reason": pl.String}
    schema = {name: kinds.get(name, pl.Int64 if name.endswith("_at") else pl.Float64) for name in Trade._fields}
    frames = [
        pl.DataFrame(piece.trades[name], schema=schema, orient="row").select(pl.lit(name).alias("strategy"), pl.all())
        for name in STRATEGIES
    ]
    return pl.concat(frames).with_columns(pl.col("signal_at", "entry_at", "exit_at").cast(pl.Datetime("us", "UTC")))


def _previous_table(ctx: Context, key: str) -> pl.DataFrame:
    assert ctx.previous is not None
    return ctx.lake.read_table(ctx.previous.by_key[key])


def _metrics(equity: Sequence[pl.DataFrame], trades: Sequence[pl.DataFrame]) -> dict[str, dict[str, float | None]]:
    """Figures of each strategy over the whole history; names and formulas in modelling.metrics.equity_metrics."""
    import polars as pl

    curves, closed = pl.concat(equity), pl.concat(trades)
    metrics = {}
    for name in STRATEGIES:
        curve = curves.filter(pl.col("strategy") == name)
        profits = closed.filter(pl.col("strategy") == name).get_column("pnl").to_list()
        seconds = (curve.get_column("ts").cast(pl.Int64) / 1e6).to_list()
        values, exposure, traded, costs = (
            curve.get_column(column).to_list() for column in ("equity", "exposure", "traded", "costs")
        )
        metrics[name] = equity_metrics(seconds, values, exposure, traded, costs, profits)
    return metrics
