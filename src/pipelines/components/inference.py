"""Predictions for the newest bar of every open market, and what became of earlier ones.

"Now" is the newest bar known in the whole data, so a historical source is predicted as of its own end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.calendars import CALENDARS, later
from pipelines.component import Context, Input, Outcome, Pending, component
from pipelines.costs import BASIS_POINT
from pipelines.data.checks import check_predictions
from pipelines.errors import PipelineError
from pipelines.modelling.derived import completed
from pipelines.modelling.labels import as_spacing, with_labels
from pipelines.modelling.learner import FittedModel
from pipelines.settings import setting
from pipelines.snapshot import EVERYTHING, Partition, Reads
from pipelines.spans import span_key

if TYPE_CHECKING:
    import polars as pl

_BARS, _FEATURES = "bars/", "features/"


@dataclass(frozen=True)
class Settings:
    """Section [inference] of agent.toml."""

    max_bar_age_bars: float = setting(
        5.0,
        "leave a market out whose newest bar is this much older than the newest of all",
        unit="bar intervals",
        low=0,
    )


def settle_predictions(inputs: Mapping[str, Input], pending: Sequence[Pending]) -> list[Outcome]:
    """Outcomes of those `pending` predictions whose horizon the bars now cover, or whose market resolved within it: its
    price is then what it paid. Up beyond cost as [model] cost_bps says. Reads only bars newer than the oldest of them.
    """
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
    card = _card(inputs["model"])
    cost = card["cost_bps"] * BASIS_POINT
    spacing = as_spacing(card["spacing_seconds"])
    known: dict[tuple[str, datetime, int], tuple[float, int]] = {}
    for horizon in sorted({one.horizon_bars for one in pending}):
        labelled = with_labels(bars, spacing, horizon, cost).filter(pl.col("label").is_not_null())
        for market, ts, change, label in labelled.select("market_id", "ts", "forward_return", "label").iter_rows():
            known[market, ts, horizon] = (change, label)
    paid = _paid_within(inputs["markets"], bars, pending, cost)
    found = ((one.id, known.get((one.market_id, one.ts, one.horizon_bars)) or paid.get(one.id)) for one in pending)
    return [Outcome(number, *value) for number, value in found if value is not None]


def _paid_within(
    markets: Input, bars: pl.DataFrame, pending: Sequence[Pending], cost: float
) -> dict[int, tuple[float, int]]:
    """Prediction -> return and label where its market resolved before the horizon's end: no bar of the horizon's end
    will ever come. Bought as any signal is, at the open of the next bar; where there is none, nothing was bought."""
    import polars as pl

    resolved = markets.read_all().filter(pl.col("resolution").is_not_null() & pl.col("resolved_at").is_not_null())
    payouts = {
        market: (at, paid) for market, at, paid in resolved.select("market_id", "resolved_at", "resolution").rows()
    }
    opens: dict[str, list[tuple[datetime, float]]] = {}
    for market, ts, price in bars.sort("ts").select("market_id", "ts", "open").iter_rows():
        if market in payouts:
            opens.setdefault(market, []).append((ts, price))
    found = {}
    for one in pending:
        at, paid = payouts.get(one.market_id, (None, 0.0))
        entry = next((price for ts, price in opens.get(one.market_id, []) if ts > one.ts), None)
        if at is not None and entry is not None and at <= one.horizon_end_at:
            found[one.id] = (paid / entry - 1, int(paid / entry - 1 > cost))
    return found


def _contract(_key: str, frame: pl.DataFrame) -> None:
    check_predictions(frame)


@component(
    upstream={
        "features": EVERYTHING,
        "model": Reads(prefix="model"),
        "markets": Reads(
            ("market_id", "kind", "status", "end_at", "resolved_at", "resolution", "interval", "timezone")
        ),
    },
    settings=Settings,
    libraries=("scikit-learn",),
    settle=settle_predictions,
    projections={"predictions": "predictions"},
    contract=_contract,
)
def run_inference(ctx: Context, settings: Settings) -> None:
    """Write "predictions", one row an open market with a fresh bar, and "summary.json" with what was left out.

    edge, the expected return of buying at the next open and selling at the horizon's end, is
    p x (mean return of training rows that went up beyond cost) + (1 - p) x (mean return of the others) - cost, both
    means of the market's kind; below 0 buying is expected to lose. confidence is |2p - 1|. Raises PipelineError where
    the features are not those that the model was trained on.
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
    facts = universe.select("market_id", "kind", "interval", "timezone")
    predictions = _predict(newest.join(facts, on="market_id", maintain_order="left"), fitted, card, version)
    check_predictions(predictions)
    ctx.write_table("predictions", predictions, sort_by=("market_id",), time="ts")
    summary = {
        "as_of": now.isoformat(),
        "markets": markets.height,
        "open_markets": universe.height,
        "predicted": predictions.height,
        "left_out": universe.height - predictions.height,
        "max_bar_age_bars": settings.max_bar_age_bars,
        "horizon_bars": card["horizon_bars"],
        "model_version": version,
    }
    ctx.write_bytes("summary.json", json.dumps(summary, indent=1, sort_keys=True).encode())


def _card(model: Input) -> dict[str, Any]:
    card: dict[str, Any] = json.loads(model.read_bytes("model.json"))
    return card


def _newest_rows(features: Input, now: datetime, max_age_bars: float) -> pl.DataFrame:
    """The newest bar (market_id, ts, start, close) with its features of each market that has one no older than
    `max_age_bars` times its length.

    Reads partitions from the newest backwards, as far as the longest bar met so far reaches.
    """
    import polars as pl

    found: list[pl.DataFrame] = []
    limit = timedelta(0)
    for partition in _newest_first(features):
        if partition.max_ts is None or partition.max_ts < now - limit:
            break
        bars = features.read(partition.key, ("market_id", "start", "end", "close")).rename({"end": "ts"})
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


def _predict(rows: pl.DataFrame, fitted: FittedModel, card: Mapping[str, Any], version: str) -> pl.DataFrame:
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
    moves = card["moves"]
    by_kind = [moves.get(kind, moves["all"]) for kind in rows.get_column("kind")]
    up = pl.Series("up", [move["up"] for move in by_kind], dtype=pl.Float64)
    down = pl.Series("down", [move["down"] for move in by_kind], dtype=pl.Float64)
    probability = pl.Series("probability", fitted.predict(matrix), dtype=pl.Float64)
    horizon = card["horizon_bars"]
    return rows.select(
        "market_id",
        "ts",
        pl.col("close").alias("price"),
        probability,
        (2 * probability - 1).abs().alias("confidence"),
        (probability * up + (1 - probability) * down - card["cost_bps"] * BASIS_POINT).alias("edge"),
        pl.lit(horizon, dtype=pl.Int32).alias("horizon_bars"),
        _horizon_ends(rows, horizon).alias("horizon_end_at"),
        pl.lit(version).alias("model_version"),
    )


def _horizon_ends(rows: pl.DataFrame, horizon: int) -> pl.Series:
    """When the last bar of each row's horizon is over, if every bar exists."""
    import polars as pl

    ts = rows.get_column("ts")
    ends = rows.select(pl.col("ts") + horizon * (pl.col("ts") - pl.col("start"))).to_series()
    for interval in CALENDARS:
        mine = rows.get_column("interval").eq_missing(interval)
        for zone in rows.filter(mine).get_column("timezone").unique():
            is_here = mine & (rows.get_column("timezone") == zone)
            ends = later(ts, interval, zone, horizon).zip_with(is_here, ends)
    return ends
