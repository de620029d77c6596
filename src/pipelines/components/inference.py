"""Predictions for the newest bar of every open market, what to do about each, and what became of earlier ones.

"Now" is the newest bar known in the whole data, so a historical source is predicted as of its own end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.component import Context, Input, Outcome, Pending, component
from pipelines.costs import BINARY, COST_COLUMNS
from pipelines.data.calendars import CALENDARS, later
from pipelines.data.checks import check_predictions
from pipelines.data.spans import span_key
from pipelines.decision import Rules, decide_all
from pipelines.errors import PipelineError
from pipelines.evaluation.withholding import hold, withhold
from pipelines.modelling.deciding import QUOTE_COLUMNS, columns_of
from pipelines.modelling.derived import completed
from pipelines.modelling.labels import RESOLUTION, as_spacing, with_labels
from pipelines.modelling.learner import FittedModel
from pipelines.modelling.moves import Errors, Moves, volatility
from pipelines.settings import setting
from pipelines.snapshot import EVERYTHING, Partition, Reads
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_BARS, _FEATURES = "bars/", "features/"
_TEXTS = ("action", "reason")


@dataclass(frozen=True)
class Settings:
    """Section [inference] of agent.toml."""

    max_bar_age_bars: float = setting(
        5.0,
        "leave a market out whose newest bar is this much older than the newest of all",
        unit="bar intervals",
        low=0,
    )
    margin: float = setting(
        0.0, "net edge above which a market is entered", unit="fraction of the notional", low=0, high=1
    )
    allow_short: bool = setting(False, "sell short where the net edge of that exceeds the margin; NO is always bought")
    max_positions: int = setting(5, "positions held at once", low=1, high=10_000)
    max_weight: float = setting(0.2, "largest share of equity in one market at entry", unit="0..1", low=0.0001, high=1)

    def rules(self, card: Mapping[str, Any]) -> Rules:
        """The decision rule on forecasts of the model with that model.json, for report, trading and backtest alike."""
        to_resolution = card["target"] == "resolution"
        return Rules(
            card["horizon_bars"], self.margin, self.allow_short, self.max_positions, self.max_weight, to_resolution
        )


def settle_predictions(inputs: Mapping[str, Input], pending: Sequence[Pending]) -> list[Outcome]:
    """Outcomes of those `pending` predictions whose horizon the bars now cover, or whose market was resolved within it:
    the labels that the model trains on, by the same function. Reads only bars newer than the oldest of them."""
    import polars as pl

    if not pending:
        return []
    oldest = min(one.ts for one in pending)
    partitions = [p for p in inputs["features"].snapshot.select(_BARS) if p.max_ts is not None and p.max_ts >= oldest]
    bars = inputs["features"].lake.read_tables(partitions, ("market_id", "end", "open", "close"))
    if bars.is_empty():
        return []
    bars = bars.rename({"end": "ts"}).filter(
        pl.col("market_id").is_in(sorted({one.market_id for one in pending})), pl.col("ts") >= oldest
    )
    markets = inputs["markets"].read_all()
    spacing = as_spacing(_card(inputs["model"])["spacing_seconds"])
    known: dict[tuple[str, datetime, int], tuple[float, int]] = {}
    for horizon in sorted({one.horizon_bars for one in pending}):
        labelled = with_labels(bars, spacing, horizon, markets).filter(pl.col("label").is_not_null())
        for market, ts, change, label in labelled.select("market_id", "ts", "forward_return", "label").iter_rows():
            known[market, ts, horizon] = (change, label)
    found = ((one.id, known.get((one.market_id, one.ts, one.horizon_bars))) for one in pending)
    return [Outcome(number, *value) for number, value in found if value is not None]


def _contract(_key: str, frame: pl.DataFrame) -> None:
    check_predictions(frame)


@component(
    upstream={
        "features": EVERYTHING,
        "model": Reads(prefix="model"),
        "markets": Reads(
            (
                *("market_id", "kind", "status", "end_at", "resolved_at", "resolution", "interval", "timezone"),
                *COST_COLUMNS,
            )
        ),
    },
    settings=Settings,
    libraries=("scikit-learn",),
    settle=settle_predictions,
    projections={"predictions": "predictions"},
    contract=_contract,
)
def run_inference(ctx: Context, settings: Settings) -> None:
    """Write "predictions", one row per open market with a fresh bar; "rules.json", the decision rule; and
    "summary.json" with what was left out.

    Action, net edge, threshold, distance, weight, confidence and reason are what pipelines.decision says of a market
    that is not held; `edge` is the net edge of buying. Where the model's assessment does not call it tradable every
    action is hold, for that reason. Raises PipelineError where the features are not those that the
    model was trained on.
    """
    import polars as pl

    features, model = ctx.inputs["features"], ctx.inputs["model"]
    now = features.snapshot.watermark
    if now is None:
        raise PipelineError("there are no bars to predict from", where="features", fix="add market data to a source")
    markets = ctx.inputs["markets"].read_all()
    is_open = (pl.col("status") == "open") & (pl.col("end_at").is_null() | (pl.col("end_at") > now))
    universe = markets.filter(is_open)
    newest = _newest_rows(features, now, settings.max_bar_age_bars).join(universe, on="market_id", how="semi")
    fitted = FittedModel.from_bytes(model.read_bytes("model"))
    card = _card(model)
    version = model.snapshot.by_key["model"].content_hash
    facts = universe.select("market_id", "kind", "end_at", "interval", "timezone", *COST_COLUMNS)
    rules = settings.rules(card)
    if rules.to_resolution:
        facts = facts.filter(pl.col("kind") == BINARY)
    predictions = _predict(newest.join(facts, on="market_id", maintain_order="left"), fitted, card, rules, version)
    check_predictions(predictions)
    ctx.write_table("predictions", predictions, sort_by=("market_id",), time="ts")
    summary = {
        "as_of": now.isoformat(),
        "markets": markets.height,
        "open_markets": universe.height,
        "predicted": predictions.height,
        "to_enter": predictions.filter(pl.col("action") != "hold").height,
        "left_out": universe.height - predictions.height,
        "max_bar_age_bars": settings.max_bar_age_bars,
        "horizon_bars": card["horizon_bars"],
        "model_version": version,
    }
    ctx.write_bytes("summary.json", json.dumps(summary, indent=1, sort_keys=True).encode())
    ctx.write_bytes("rules.json", json.dumps(asdict(rules), indent=1, sort_keys=True).encode())


def _card(model: Input) -> dict[str, Any]:
    card: dict[str, Any] = json.loads(model.read_bytes("model.json"))
    return card


def _newest_rows(features: Input, now: datetime, max_age_bars: float) -> pl.DataFrame:
    """The newest bar (market_id, ts, start, close, quotes) with its features of each market that has one no older than
    `max_age_bars` times its length.

    Reads partitions from the newest backwards, as far as the longest bar met so far reaches.
    """
    import polars as pl

    found: list[pl.DataFrame] = []
    limit = timedelta(0)
    for partition in _newest_first(features):
        if partition.max_ts is None or partition.max_ts < now - limit:
            break
        columns = ("market_id", "start", "end", "close", *QUOTE_COLUMNS)
        bars = features.read(partition.key, columns).rename({"end": "ts"})
        longest = bars.select((pl.col("ts") - pl.col("start")).max()).item()
        limit = max(limit, max_age_bars * longest)
        fresh = bars.filter(pl.lit(now) - pl.col("ts") <= max_age_bars * (pl.col("ts") - pl.col("start")))
        rows = features.read(_FEATURES + span_key(partition.key))
        found.append(fresh.join(rows, on=("market_id", "ts"), how="inner"))
    return pl.concat(found).sort("market_id", "ts").unique("market_id", keep="last", maintain_order=True)


def _newest_first(features: Input) -> Iterator[Partition]:
    bars = features.snapshot.select(_BARS)
    timed = [(p.max_ts, p.key, p) for p in bars if p.max_ts is not None]
    return (partition for _, _, partition in sorted(timed, reverse=True, key=lambda item: item[:2]))


def _predict(
    rows: pl.DataFrame, fitted: FittedModel, card: Mapping[str, Any], rules: Rules, version: str
) -> pl.DataFrame:
    import numpy as np
    import polars as pl

    rows = completed(rows, fitted.features)
    missing = [name for name in fitted.features if name not in rows.columns]
    if missing:
        raise PipelineError(
            f"the model wants features that are not there: {', '.join(missing)}",
            where="features",
            fix="train again: `agent mark-dirty model`, then `agent run`",
        )
    matrix = np.ascontiguousarray(rows.select(fitted.features).to_numpy(), dtype=np.float32)
    probability = fitted.predict(matrix)
    up, down = Moves.from_json(card["moves"]).of(rows.get_column("kind").to_numpy())
    forecasts = rows.with_columns(
        probability=pl.Series(probability, dtype=pl.Float64),
        volatility=pl.Series(volatility(rows, rules.horizon_bars), dtype=pl.Float64),
        up=pl.Series(up, dtype=pl.Float64),
        down=pl.Series(down, dtype=pl.Float64),
        error=pl.Series(Errors.from_json(card["errors"]).at(probability), dtype=pl.Float64),
    )
    priced = forecasts.with_columns(pl.col("half_spread", "slippage", "fee").fill_null(0.0))
    decisions = withhold(decide_all(columns_of(priced, rules), rules), card["assessment"])
    unpriced = forecasts.get_column("fee").is_null()
    decisions = [
        hold(one, "nothing says what trading costs here: set it in [markets.costs]") if is_unpriced else one
        for one, is_unpriced in zip(decisions, unpriced, strict=True)
    ]
    decided = {
        name: pl.Series([getattr(one, name) for one in decisions], dtype=pl.String if name in _TEXTS else pl.Float64)
        for name in ("edge", "net_edge", "threshold", "distance", "weight", "confidence", "action", "reason")
    }
    return forecasts.select(
        "market_id",
        "ts",
        pl.col("close").alias("price"),
        "probability",
        **decided,
        horizon_bars=pl.lit(RESOLUTION if rules.to_resolution else rules.horizon_bars, dtype=pl.Int32),
        horizon_end_at=_horizon_ends(rows, rules),
        model_version=pl.lit(version),
    )


def _horizon_ends(rows: pl.DataFrame, rules: Rules) -> pl.Series:
    """When the last bar of each row's horizon is over, if every bar exists; of forecasts of an outcome when the market
    is to end, where it says so."""
    import polars as pl

    horizon = rules.horizon_bars
    ts = rows.get_column("ts")
    ends = rows.select(pl.col("ts") + horizon * (pl.col("ts") - pl.col("start"))).to_series()
    for interval in CALENDARS:
        mine = rows.get_column("interval").eq_missing(interval)
        for zone in rows.filter(mine).get_column("timezone").unique():
            is_here = mine & (rows.get_column("timezone") == zone)
            ends = later(ts, interval, zone, horizon).zip_with(is_here, ends)
    return rows.get_column("end_at").fill_null(ends) if rules.to_resolution else ends
