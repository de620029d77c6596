"""Inference: which markets are predicted, from which bars, with what edge, and how predictions are settled."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipelines.component import Pending, view_inputs
from pipelines.components.inference import Settings, run_inference
from pipelines.components.model import Settings as ModelSettings
from pipelines.components.model import train_model
from pipelines.costs import Costs
from pipelines.decision import Forecast, Holding, Quote, Rules, decide
from pipelines.errors import PipelineError
from pipelines.evaluation.withholding import withhold
from pipelines.lake import Lake
from pipelines.modelling.derived import completed
from pipelines.modelling.learner import FittedModel
from pipelines.modelling.moves import Errors
from pipelines.snapshot import Snapshot
from tests.modelling import COSTS, compute, features_of, features_snapshot, lake_at, markets_snapshot, walk_bars

BARS = walk_bars(4, 600)
SHARES = BARS.with_columns(pl.col("open", "high", "low", "close") / 1000)  # as prices of binary markets
COST = 0.001


def trained(lake: Lake, bars: pl.DataFrame = BARS, **market: Any) -> dict[str, Snapshot]:
    inputs = {"features": features_snapshot(lake, bars), "markets": markets_snapshot(lake, bars, **market)}
    inputs["model"] = compute(train_model, lake, inputs, ModelSettings(max_iter=10))
    return inputs


def predictions_of(lake: Lake, snapshot: Snapshot) -> pl.DataFrame:
    return lake.read_table(snapshot.by_key["predictions"])


def summary_of(lake: Lake, snapshot: Snapshot) -> Any:
    return json.loads(lake.read_bytes(snapshot.by_key["summary.json"]))


def test_the_newest_bar_of_every_open_market_is_predicted(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    inputs = trained(lake)
    done = compute(run_inference, lake, inputs)
    got = predictions_of(lake, done)
    newest = BARS.filter(pl.col("ts") == BARS["ts"].max()).sort("market_id")
    assert got.select("market_id", "ts").equals(newest.select("market_id", "ts"))
    assert got["price"].equals(newest["close"].rename("price"))
    rows = features_of(BARS).join(newest.select("market_id", "ts"), on=("market_id", "ts")).sort("market_id")
    partition = inputs["model"].by_key["model"]
    model = FittedModel.from_bytes(lake.read_bytes(partition))
    expected = model.predict(completed(rows, model.features).select(model.features).to_numpy())
    assert got["probability"].to_list() == expected.tolist()
    card = json.loads(lake.read_bytes(inputs["model"].by_key["model.json"]))
    for row, feature_row in zip(got.to_dicts(), rows.to_dicts(), strict=True):
        moves = card["moves"]["spot"]
        errors = Errors.from_json(card["errors"]).at(np.asarray([row["probability"]]))
        forecast = Forecast(
            row["probability"], feature_row["volatility_short"] * 5**0.5, moves["up"], moves["down"], float(errors[0])
        )
        costs = Costs(half_spread=COSTS["half_spread"], slippage=COSTS["slippage"], fee=COSTS["fee"])
        rule = decide(forecast, Quote(row["price"]), costs, Holding(), Rules(5))
        (said,) = withhold([rule], card["assessment"])
        for name in ("action", "reason"):
            assert row[name] == getattr(said, name)
        for name in ("edge", "net_edge", "threshold", "distance", "weight", "confidence"):
            assert row[name] == pytest.approx(getattr(said, name), rel=1e-6)
    assert set(got["model_version"]) == {partition.content_hash}
    assert (got["horizon_end_at"] - got["ts"]).to_list() == [timedelta(days=5)] * 4
    assert summary_of(lake, done) == {
        "as_of": BARS["ts"].max().isoformat(),  # type: ignore[union-attr]  # a datetime
        "markets": 4,
        "open_markets": 4,
        "predicted": 4,
        "left_out": 0,
        "to_enter": got.filter(pl.col("action") != "hold").height,
        "max_bar_age_bars": 5.0,
        "horizon_bars": 5,
        "model_version": partition.content_hash,
    }


@pytest.mark.parametrize(("bars_missing", "predicted"), [(5, 4), (6, 3)])
def test_a_market_without_a_fresh_bar_is_left_out_and_counted(
    tmp_path: Path, bars_missing: int, predicted: int
) -> None:
    lake = lake_at(tmp_path)
    last = BARS["ts"].max()
    is_gone = (pl.col("market_id") == "walk:M2") & (pl.col("ts") > pl.lit(last) - pl.duration(days=bars_missing))
    done = compute(run_inference, lake, trained(lake, BARS.filter(~is_gone)))
    assert predictions_of(lake, done).height == predicted
    assert summary_of(lake, done)["left_out"] == 4 - predicted


def test_a_fresh_bar_is_found_across_a_partition_border(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    border = datetime.fromisoformat("2019-01-04T00:00:00Z")
    bars = BARS.filter(pl.col("ts") < border)
    bars = bars.filter(
        (pl.col("market_id") != "walk:M1") | (pl.col("ts") < datetime.fromisoformat("2019-01-01T00:00:00Z"))
    )
    done = compute(run_inference, lake, trained(lake, bars))
    assert predictions_of(lake, done)["market_id"].to_list() == [f"walk:M{n}" for n in range(4)]
    strict = compute(run_inference, lake, trained(lake, bars), Settings(max_bar_age_bars=1.0), attempt="a2")
    assert predictions_of(lake, strict).height == 3


@pytest.mark.parametrize("market", [{"status": "closed"}, {"end_at": BARS["ts"].max()}])
def test_closed_and_ended_markets_are_not_predicted(tmp_path: Path, market: dict[str, Any]) -> None:
    lake = lake_at(tmp_path)
    done = compute(run_inference, lake, trained(lake, BARS, **market))
    assert predictions_of(lake, done).height == 0
    assert summary_of(lake, done)["open_markets"] == 0


def test_only_the_newest_partitions_are_read(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    inputs = trained(lake)
    for old in ("bars/2018", "features/2018"):
        lake.path_of(inputs["features"].by_key[old]).unlink()
    assert predictions_of(lake, compute(run_inference, lake, inputs)).height == 4


def test_features_that_the_model_does_not_know_are_named(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    inputs = trained(lake)
    key = "features/2019"
    frame = lake.read_table(inputs["features"].by_key[key]).drop("range")
    replaced = lake.write_table("features", key, frame, attempt="x", time="ts")
    others = tuple(p for p in inputs["features"].partitions if p.key != key)
    inputs["features"] = Snapshot("features", (*others, replaced))
    with pytest.raises(PipelineError, match="the model wants features that are not there: range"):
        compute(run_inference, lake, inputs)


def test_predictions_are_settled_by_the_bars_that_follow(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    inputs = trained(lake)
    views = view_inputs(run_inference, inputs, {}, lake)
    mine = BARS.filter(pl.col("market_id") == "walk:M1")
    pending = [
        Pending(number, "walk:M1", mine.item(row, "ts"), mine.item(row, "ts") + timedelta(days=horizon), horizon)
        for number, (row, horizon) in enumerate([(560, 5), (590, 9), (591, 9), (570, 3)])
    ]
    assert run_inference.settle is not None
    settled = {one.id: one for one in run_inference.settle(views, pending)}
    assert sorted(settled) == [0, 1, 3]  # the horizon of number 2 ends a bar after the data
    for number, row, horizon in ((0, 560, 5), (1, 590, 9), (3, 570, 3)):
        change = mine.item(row + horizon, "close") / mine.item(row + 1, "open") - 1
        assert settled[number].realized_return == pytest.approx(change)
        assert settled[number].outcome == int(change > COST)
    assert run_inference.settle(views, []) == []


def test_a_market_that_resolves_within_the_horizon_settles_at_what_it_paid(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    end = BARS["ts"].max()
    assert isinstance(end, datetime)
    resolved: dict[str, Any] = {
        "kind": "binary",
        "status": "resolved",
        "resolution": 1.0,
        "resolved_at": end + timedelta(hours=1),
    }
    inputs = trained(lake, SHARES, **resolved)
    views = view_inputs(run_inference, inputs, {}, lake)
    mine = SHARES.filter(pl.col("market_id") == "walk:M1")
    pending = [
        Pending(number, "walk:M1", mine.item(row, "ts"), mine.item(row, "ts") + timedelta(days=horizon), horizon)
        for number, (row, horizon) in enumerate([(598, 5), (599, 5), (590, 3)])
    ]
    assert run_inference.settle is not None
    settled = {one.id: one for one in run_inference.settle(views, pending)}
    assert sorted(settled) == [0, 2]  # number 1 never found a bar to buy at
    assert settled[0].realized_return == pytest.approx(1 - mine.item(599, "open"))
    assert settled[0].outcome == int(settled[0].realized_return > COST)
    assert settled[2].realized_return == pytest.approx(mine.item(593, "close") - mine.item(591, "open"))


@pytest.mark.parametrize("kind", ["spot", "binary"])
def test_what_a_prediction_is_settled_at_is_the_label_its_row_trains_on(tmp_path: Path, kind: str) -> None:
    lake = lake_at(tmp_path)
    end = BARS["ts"].max()
    assert isinstance(end, datetime)
    paid: dict[str, Any] = {"status": "resolved", "resolution": 0.0, "resolved_at": end + timedelta(hours=1)}
    inputs = trained(lake, SHARES if kind == "binary" else BARS, kind=kind, **(paid if kind == "binary" else {}))
    trained_on = lake.read_tables(inputs["model"].select("oof/")).drop_nulls("label").sort("market_id", "ts")
    pending = [
        Pending(number, market, ts, ts + timedelta(days=5), 5)
        for number, (market, ts) in enumerate(trained_on.select("market_id", "ts").rows())
    ]
    assert run_inference.settle is not None
    settled = run_inference.settle(view_inputs(run_inference, inputs, {}, lake), pending)
    assert [one.outcome for one in settled] == trained_on["label"].to_list()
    assert [one.realized_return for one in settled] == trained_on["forward_return"].to_list()
    last = 4 * 3 if kind == "binary" else 0  # the last labels of each market come from what it paid
    assert trained_on.filter(pl.col("ts") > pl.lit(end) - timedelta(days=4)).height >= last


def test_a_change_of_the_folds_alone_is_no_change_for_inference(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    model = trained(lake)["model"]
    assert run_inference.upstream["model"].prefix == "model"
    kept = Snapshot("model", tuple(p for p in model.partitions if not p.key.startswith("oof/")))
    reads = run_inference.upstream["model"]
    assert kept.version_of(reads) == model.version_of(reads)
