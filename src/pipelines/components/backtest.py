"""The backtest: what trading the out-of-sample forecasts would have earned, against holding and against chance.

It trades what the decision rule said at each bar, at the costs and by the rule that published predictions go by.
History is simulated span by span, in the order in which things happened whatever partitions they lie in; the state
after each span is kept, so that a later run resumes before the first one that changed. Equity is a multiple of what
each strategy starts with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from pipelines.component import Context, component
from pipelines.data.checks import check_entries
from pipelines.data.spans import span_key, span_of
from pipelines.decision import Rules
from pipelines.errors import PipelineError
from pipelines.modelling.deciding import FORECAST_COLUMNS, QUOTE_COLUMNS
from pipelines.modelling.folds import fold_start
from pipelines.modelling.labels import MARKET_FACTS
from pipelines.modelling.metrics import equity_metrics, random_metrics
from pipelines.settings import setting
from pipelines.snapshot import Reads
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

    from pipelines.modelling.random_entries import Draws
    from pipelines.modelling.simulation import Segment

STRATEGIES = ("model", "buy_and_hold")
_BARS = "bars/"
_MARKETS = ".markets.json"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TABLES = ("equity", "trades", "draws", "checkpoint")
_COSTS = "write [markets.costs.equity] (or spot, fx, binary) "
_RULE = "published predictions and the backtest go by one rule; write [inference] "


@dataclass(frozen=True)
class Settings:
    """Section [backtest] of agent.toml."""

    MOVED: ClassVar[Mapping[str, str]] = {
        "fee_bps": _COSTS + "fee_bps",
        "slippage_bps": _COSTS + "slippage_bps",
        "entry_margin": _RULE + "margin, which is a net edge and no longer a distance of probabilities",
        "allow_short": _RULE + "allow_short",
        "max_positions": _RULE + "max_positions",
        "max_weight": _RULE + "max_weight",
    }

    seed: int = setting(7, "seed of the random entries", low=0, high=2**31 - 1)


def _contract(key: str, frame: pl.DataFrame) -> None:
    if key.startswith("trades/"):
        check_entries(frame, f"backtest, partition {key}")


@component(
    upstream={
        "features": Reads(("market_id", "start", "end", "open", "close", *QUOTE_COLUMNS), prefix=_BARS),
        "markets": Reads(MARKET_FACTS),
        "model": Reads(("market_id", "ts", "spacing_seconds", *FORECAST_COLUMNS), prefix="oof/"),
        "inference": Reads(prefix="rules.json"),
    },
    settings=Settings,
    projections={"metrics.json": "backtest_metrics"},
    contract=_contract,
)
def run_backtest(ctx: Context, settings: Settings) -> None:
    """Write "equity/KEY", "trades/KEY", "draws/KEY" (random entries) and "checkpoint/KEY" for each span KEY from the
    first prediction on, and "metrics.json" over all of them. Raises PipelineError where no bar follows the predictions.
    """
    import polars as pl

    signals = ctx.inputs["model"].read_all()
    if signals.is_empty():
        raise PipelineError(
            "the model has no out-of-sample predictions to trade",
            where="model",
            fix="`agent mark-dirty model`, then `agent run`",
        )
    begin = signals.get_column("ts").min()
    assert isinstance(begin, datetime)
    markets = ctx.inputs["markets"].read_all()
    keys = _keys_from(ctx, begin, markets)
    if not keys:
        raise PipelineError(
            "no bar lies in the time of the out-of-sample predictions",
            where=f"features, from {begin:%Y-%m-%d %H:%M} UTC on",
            fix="they are of different data: `agent mark-dirty features`, `agent mark-dirty model`, then `agent run`",
        )
    # here, so that a run with nothing to do does not load them
    from pipelines.modelling.history import History
    from pipelines.modelling.random_entries import draw_entries
    from pipelines.modelling.simulation import simulate

    rules = Rules(**json.loads(ctx.inputs["inference"].read_bytes("rules.json")))
    first = _first_to_compute(ctx, keys, markets)
    state = json.loads(ctx.previous_bytes(f"checkpoint/{keys[first - 1]}") or b"{}") if first else {}
    history = History(ctx.inputs["features"], markets, signals, begin, rules)
    tables: dict[str, list[pl.DataFrame]] = {"equity": [], "trades": [], "draws": []}
    for number, key in enumerate(keys):
        ctx.progress(number, len(keys), key)
        if number < first:
            for table in _TABLES:
                ctx.carry(f"{table}/{key}")
            for table, done in tables.items():
                done.append(_previous_table(ctx, f"{table}/{key}"))
            continue
        piece = history.piece(key, state)
        segment = simulate(piece, state, rules)
        state = segment.state
        made = {
            "equity": _curves(segment),
            "trades": _trades(segment, piece.names),
            "draws": _draws(draw_entries(piece, segment.trades, settings.seed, key)),
        }
        for table, time in (("equity", "ts"), ("trades", "exit_at"), ("draws", None)):
            tables[table].append(made[table])
            ctx.write_table(f"{table}/{key}", made[table], time=time)
        ctx.write_bytes(f"checkpoint/{key}", json.dumps(state, sort_keys=True).encode(), suffix=".json")
    metrics = _metrics(*(pl.concat(tables[name]) for name in ("equity", "trades", "draws")))
    ctx.write_bytes("metrics.json", json.dumps(metrics, indent=1, sort_keys=True, allow_nan=False).encode())
    ctx.write_bytes(_MARKETS, markets.sort("market_id").write_json().encode())
    ctx.progress(len(keys), len(keys), "done")


def _keys_from(ctx: Context, begin: datetime, markets: pl.DataFrame) -> list[str]:
    """Spans, in time order, in which bars were known, or markets paid, at `begin` or later: years, months or days, like
    the longest that partitions of bars are of, so that a span never begins before the one before has ended."""
    import polars as pl

    partitions = [p for p in ctx.inputs["features"].snapshot.select(_BARS) if p.max_ts is not None]
    length = min((len(span_key(p.key)) for p in partitions), default=0)
    known = ((p.min_ts, p.max_ts) for p in partitions if p.min_ts is not None and p.max_ts is not None)
    ends = {max(one, begin) for pair in known if pair[1] >= begin for one in pair}
    if ends:  # what a market pays may come after its last bar
        paid = markets.filter(pl.col("resolution").is_not_null()).get_column("resolved_at").drop_nulls()
        ends |= {at for at in paid.to_list() if at >= begin}
    return sorted({_span_before(end)[:length] for end in ends})


def _span_before(end: datetime) -> str:
    """The day whose bars may end at `end`: midnight is the end of the day before."""
    return f"{end - timedelta(microseconds=1):%Y-%m-%d}"


def _first_to_compute(ctx: Context, keys: Sequence[str], markets: pl.DataFrame) -> int:
    """Index of the first span whose output may differ from the previous one's: everything from there on does."""
    if ctx.previous is None:
        return 0
    bars, model = ctx.inputs["features"], ctx.inputs["model"]
    # A bar is known after the start of its span, a prediction at the start of its fold or later.
    if ctx.inputs["inference"].changed:
        return 0  # another rule
    changes = [span_of(span_key(key))[0] + timedelta(microseconds=1) for key in bars.changed]
    changes += [fold_start(key) for key in model.changed]
    changes += _changed_facts(ctx, markets)
    changed_from = min(changes, default=None)
    for number, key in enumerate(keys):
        outputs = [f"{table}/{key}" for table in _TABLES]
        if (changed_from is not None and span_of(key)[1] >= changed_from) or any(
            name in ctx.redo or name not in ctx.previous.by_key for name in outputs
        ):
            return number
    return len(keys)


def _changed_facts(ctx: Context, markets: pl.DataFrame) -> list[datetime]:
    """Instants from which facts of markets differ from those of the run before: a payout matters from its time on, a
    market's kind and costs always; what has no bars matters through them alone."""
    import polars as pl

    before = ctx.previous_bytes(_MARKETS)
    if before is None:
        return [_EPOCH]
    old, new = pl.read_json(before, schema=markets.schema), markets
    payout = ("resolution", "resolved_at")
    changed = old.join(new, on="market_id", how="full", coalesce=True, suffix="_new")
    same = [
        pl.col(name).eq_missing(pl.col(f"{name}_new")) for name in markets.columns if name not in ("market_id", *payout)
    ]
    is_known = pl.col("kind").is_not_null() & pl.col("kind_new").is_not_null()
    if not changed.filter(is_known).select(pl.all_horizontal(same).all()).item():
        return [_EPOCH]
    differ = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_new")) for name in payout)
    times = changed.filter(differ).select(pl.min_horizontal("resolved_at", "resolved_at_new")).to_series()
    return times.drop_nulls().to_list()


def _curves(segment: Segment) -> pl.DataFrame:
    import polars as pl

    names = {"at": "ts", "paid": "costs"}
    frames = [
        pl.DataFrame(
            {"strategy": [strategy] * len(curve.at)}
            | {names.get(name, name): column for name, column in curve._asdict().items()}
        )
        for strategy, curve in segment.curves.items()
    ]
    return pl.concat(frames).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))


def _trades(segment: Segment, names: Sequence[str]) -> pl.DataFrame:
    """The model's trades. Prices are those of the contract that was held: NO of a binary market where side is -1."""
    import polars as pl

    from pipelines.modelling.kernel import REASONS

    table = pl.DataFrame(segment.trades._asdict())
    texts = {"market": list(names), "reason": list(REASONS)}
    return table.select(
        pl.lit("model").alias("strategy"),
        *(
            pl.Series(name, [values[n] for n in table.get_column(name)], dtype=pl.String)
            for name, values in texts.items()
        ),
        pl.col("side").cast(pl.Int8),
        *(pl.col(name).cast(pl.Datetime("us", "UTC")) for name in ("signal_at", "entry_at", "exit_at")),
        "bars_held",
        *("quantity", "entry_price", "exit_price", "costs", "pnl", "weight"),
        (pl.col("pnl") / (pl.col("quantity") * pl.col("entry_price"))).alias("trade_return"),
    ).rename({"market": "market_id"})


def _draws(draws: Draws) -> pl.DataFrame:
    """Row 0 is the model itself, compounded by the same formula; the others are the random draws."""
    import polars as pl

    growth = [draws.own_growth, *draws.growth.tolist()]
    return pl.DataFrame(
        {
            "draw": pl.Series(range(len(growth)), dtype=pl.Int32),
            "growth": pl.Series(growth, dtype=pl.Float64),
            "wins": pl.Series([draws.own_wins, *draws.wins.tolist()], dtype=pl.Int64),
            "trades": pl.Series([draws.trades] * len(growth), dtype=pl.Int64),
        }
    )


def _previous_table(ctx: Context, key: str) -> pl.DataFrame:
    assert ctx.previous is not None
    return ctx.lake.read_table(ctx.previous.by_key[key])


def _metrics(equity: pl.DataFrame, trades: pl.DataFrame, draws: pl.DataFrame) -> dict[str, dict[str, float | None]]:
    """Figures of each strategy over the whole history; names and formulas in modelling.metrics."""
    import polars as pl

    metrics = {}
    for name in STRATEGIES:
        curve = equity.filter(pl.col("strategy") == name)
        profits = trades.get_column("pnl").to_list() if name == "model" else []
        seconds = (curve.get_column("ts").cast(pl.Int64) / 1e6).to_list()
        values, exposure, traded, costs = (
            curve.get_column(column).to_list() for column in ("equity", "exposure", "traded", "costs")
        )
        metrics[name] = equity_metrics(seconds, values, exposure, traded, costs, profits)
    metrics["model"]["ruined"] = float((trades.get_column("reason") == "ruined").any())
    sums = draws.group_by("draw").agg(pl.col("growth", "wins", "trades").sum()).sort("draw")
    own, chance = sums.row(0, named=True), sums.slice(1)
    metrics["random_entry"] = random_metrics(
        own["growth"], chance.get_column("growth").to_list(), chance.get_column("wins").to_list(), own["trades"]
    )
    return metrics
