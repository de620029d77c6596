"""The outcome of prediction markets as target: labels, forecasts that start from the price, positions held to it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from pipelines.component import Pending, view_inputs
from pipelines.components.backtest import run_backtest
from pipelines.components.inference import run_inference, settle_predictions
from pipelines.components.model import Settings as ModelSettings
from pipelines.components.model import train_model
from pipelines.components.publish import Settings as PublishSettings
from pipelines.components.publish import publish_artifacts
from pipelines.errors import PipelineError
from pipelines.lake import Lake
from pipelines.modelling.labels import RESOLUTION, as_spacing, with_labels
from pipelines.modelling.learner import fit_shrunk_slope
from pipelines.modelling.offset import PriceOffset
from pipelines.snapshot import Snapshot
from tests.modelling import START, compute, features_snapshot, lake_at, markets_snapshot, ticks_snapshot, walk_bars

DAY = timedelta(days=1)
MARKETS, DAYS, OPEN = 40, 90, 7
TARGET = ModelSettings(target="resolution")


def binary_bars(seed: int = 3, drift: float = 0.0) -> pl.DataFrame:
    """Prices of markets that are paid on different days, each the chance of YES by a hidden walk; `drift` adds to the
    log odds each day what nobody has priced in."""
    bars = walk_bars(MARKETS, DAYS, seed=seed)
    rng = np.random.default_rng(seed)
    odds = np.cumsum(rng.normal(drift, 0.25, (MARKETS, DAYS)), axis=1) + rng.normal(0, 0.8, (MARKETS, 1))
    close = 1 / (1 + np.exp(-odds))
    opened = np.column_stack([close[:, :1], close[:, :-1]])
    order = bars.sort("market_id", "ts").get_column("market_id").unique(maintain_order=True).to_list()
    made = pl.DataFrame(
        {
            "market_id": np.repeat(order, DAYS),
            "day": np.tile(np.arange(DAYS), MARKETS),
            "open": opened.ravel(),
            "close": close.ravel(),
        }
    ).with_columns(high=pl.max_horizontal("open", "close"), low=pl.min_horizontal("open", "close"))
    bars = bars.with_columns(day=pl.int_range(pl.len()).over("market_id")).drop("open", "close", "high", "low")
    joined = bars.join(made, on=["market_id", "day"])
    ends = pl.DataFrame(
        {"market_id": order, "last": [25 + 2 * n if n < MARKETS - OPEN else DAYS for n in range(MARKETS)]}
    )
    return (
        joined.join(ends, on="market_id")
        .filter(pl.col("day") < pl.col("last"))
        .drop("day", "last")
        .sort("market_id", "ts")
    )


def paid(bars: pl.DataFrame) -> pl.DataFrame:
    """market_id, resolved_at, resolution: what each market that ended paid, a day after its last bar."""
    last = bars.group_by("market_id", maintain_order=True).agg(pl.col("ts").last(), pl.col("close").last(), pl.len())
    chance = pl.Series(np.random.default_rng(9).uniform(size=last.height))
    ended = last.with_columns(resolved_at=pl.col("ts") + DAY, resolution=(chance < last["close"]).cast(pl.Float64))
    return ended.filter(pl.col("len") < DAYS).select("market_id", "resolved_at", "resolution")


def universe(lake: Lake, bars: pl.DataFrame) -> Snapshot:
    plain = markets_snapshot(lake, bars, kind="binary", half_spread=0.01, slippage=0.0, fee=0.0)
    frame = lake.read_table(plain.partitions[0]).drop("resolved_at", "resolution")
    frame = frame.join(paid(bars), on="market_id", how="left", maintain_order="left").with_columns(
        status=pl.when(pl.col("resolution").is_null()).then(pl.lit("open")).otherwise(pl.lit("resolved")),
        end_at=pl.lit(START + 200 * DAY).cast(pl.Datetime("us", "UTC")),
    )
    return Snapshot("markets", (lake.write_table("markets", "markets", frame, attempt="paid"),))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return lake_at(tmp_path_factory.mktemp("resolution"))


@pytest.fixture(scope="module")
def made(lake: Lake) -> dict[str, Snapshot]:
    bars = binary_bars()
    found = {
        "features": features_snapshot(lake, bars),
        "markets": universe(lake, bars),
        "ticks": ticks_snapshot(lake, bars),
    }
    found["model"] = compute(train_model, lake, found, TARGET)
    found["inference"] = compute(run_inference, lake, found)
    found["backtest"] = compute(run_backtest, lake, found)
    return found


def test_labels_are_what_the_market_paid(lake: Lake, made: dict[str, Snapshot]) -> None:
    bars, markets = binary_bars(), lake.read_table(made["markets"].partitions[0])
    labels = with_labels(bars, as_spacing({}), RESOLUTION, markets).join(paid(bars), on="market_id", how="left")
    known = labels.filter(pl.col("label").is_not_null())
    assert known.height == labels.filter(pl.col("resolution").is_not_null()).height - (MARKETS - OPEN)  # the last bars
    assert (known["label"] == known["resolution"]).all()
    assert (known["label_end"] == known["resolved_at"]).all()
    following = bars.with_columns(pl.col("open").shift(-1).over("market_id").alias("entry"))
    at = known.join(following.select("market_id", "ts", "entry"), on=["market_id", "ts"])
    assert (at["forward_return"] - (at["resolution"] - at["entry"])).abs().max() < 1e-12
    assert at["cost"].max() <= 0.01 + 1e-12  # one fill: a payout needs none


def test_half_paid_has_no_label() -> None:
    bars = binary_bars().filter(pl.col("market_id") == "walk:M0")
    markets = pl.DataFrame({"market_id": ["walk:M0"], "kind": ["binary"], "resolution": [0.5]}).with_columns(
        resolved_at=pl.lit(START + 300 * DAY).cast(pl.Datetime("us", "UTC")), half_spread=0.0, slippage=0.0, fee=0.0
    )
    assert with_labels(bars, as_spacing({}), RESOLUTION, markets)["label"].null_count() == bars.height


def test_the_assessment_asks_for_more_than_the_price(lake: Lake, made: dict[str, Snapshot]) -> None:
    assessment = json.loads(lake.read_bytes(made["model"].by_key["metrics.json"]))["assessment"]
    against = assessment["brier_against"]["market price"]
    assert assessment["verdict"] == "NO EDGE"
    assert "does not beat the market's price" in assessment["sentence"]
    assert against["high"] <= 0.001


def test_predictions_are_of_binary_markets_until_they_are_resolved(lake: Lake, made: dict[str, Snapshot]) -> None:
    predictions = lake.read_table(made["inference"].by_key["predictions"])
    assert predictions.height == OPEN
    assert set(predictions["horizon_bars"]) == {RESOLUTION}
    assert set(predictions["horizon_end_at"]) == {START + 200 * DAY}
    assert (predictions["probability"] - predictions["price"]).abs().max() < 0.2
    assert (predictions["edge"] <= predictions["probability"] - predictions["price"]).all()


def test_a_live_outcome_is_the_training_label_of_its_row(lake: Lake, made: dict[str, Snapshot]) -> None:
    bars, markets = binary_bars(), lake.read_table(made["markets"].partitions[0])
    labels = with_labels(bars, as_spacing({}), RESOLUTION, markets)
    rows = labels.select("market_id", "ts", "label", "forward_return").rows()
    pending = [Pending(n, market, ts, ts, RESOLUTION) for n, (market, ts, _, _) in enumerate(rows)]
    views = view_inputs(run_inference, {name: made[name] for name in run_inference.upstream}, {}, lake)
    found = {one.id: (one.outcome, one.realized_return) for one in settle_predictions(views, pending)}
    assert found == {n: (label, change) for n, (_, _, label, change) in enumerate(rows) if label is not None}


def test_positions_are_held_to_the_resolution(lake: Lake, made: dict[str, Snapshot]) -> None:
    """Forecasts far above the price, so that there is something to hold."""
    folds = [one for one in made["model"].partitions if one.key.startswith("oof/")]
    others = [one for one in made["model"].partitions if not one.key.startswith("oof/")]
    raised = [
        lake.write_table(
            "model", one.key, lake.read_table(one).with_columns(probability=0.999), attempt="raised", time="ts"
        )
        for one in folds
    ]
    model = replace(made["model"], partitions=(*others, *raised))
    done = compute(run_backtest, lake, made | {"model": model}, attempt="held")
    trades = pl.concat([lake.read_table(one) for one in done.select("trades/")])
    assert trades.height > 5
    assert set(trades["reason"]) == {"resolved"}
    known = trades.join(paid(binary_bars()), on="market_id")
    assert (known["exit_at"] == known["resolved_at"]).all()
    assert (known["exit_price"] == known["resolution"]).all()


def test_a_release_says_what_is_predicted(lake: Lake, made: dict[str, Snapshot]) -> None:
    release = compute(publish_artifacts, lake, made, PublishSettings(max_drift=None))
    card = lake.read_bytes(release.by_key["model_card.md"]).decode()
    assert "that a market pays 1" in card
    assert "that the market pays 1" in lake.read_bytes(release.by_key["report.html"]).decode()


def test_without_prediction_markets_it_is_refused(tmp_path: object, lake: Lake) -> None:
    bars = walk_bars(1, 300)
    found = {"features": features_snapshot(lake, bars, "s"), "markets": markets_snapshot(lake, bars, attempt="s")}
    with pytest.raises(PipelineError, match="no market that pays 1 or 0"):
        compute(train_model, lake, found, TARGET, attempt="s")


def test_what_is_not_priced_in_is_learnt_and_trusted_as_far_as_it_is_sure() -> None:
    rng = np.random.default_rng(1)
    rows, events = 6000, np.repeat(np.arange(600), 10)
    signal = np.repeat(rng.normal(size=600), 10)
    price = rng.uniform(0.1, 0.9, rows)
    odds = np.log(price / (1 - price))
    truth = 1 / (1 + np.exp(-(odds + 1.0 * signal)))
    label = (np.repeat(rng.uniform(size=600), 10) < truth).astype(np.int8)
    values = np.column_stack([odds, signal, rng.normal(size=rows)])
    fitted = PriceOffset().fit(values, label)
    assert fitted.slopes[1] > 3 * abs(fitted.slopes[2])
    raw = fitted.predict_proba(values)[:, 1]
    assert 0.2 < fit_shrunk_slope(raw, price, label, events.astype(object)) <= 1.0
    assert fit_shrunk_slope(raw[:100], price[:100], label[:100], events[:100].astype(object)) == 0.0
