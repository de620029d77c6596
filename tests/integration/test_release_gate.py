"""The gate on real releases: what was done to the data, which sentence, and nothing written."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from pipelines.components.backtest import run_backtest
from pipelines.components.inference import run_inference
from pipelines.components.model import Settings as ModelSettings
from pipelines.components.model import train_model
from pipelines.components.publish import Settings, publish_artifacts
from pipelines.errors import ReleaseRefused
from pipelines.feature import LEAKS
from pipelines.lake import Lake
from pipelines.snapshot import Snapshot
from tests.modelling import compute, features_snapshot, lake_at, markets_snapshot, ticks_snapshot, walk_bars

BARS = walk_bars(1, 900, trend=0.0)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return lake_at(tmp_path_factory.mktemp("gate"))


@pytest.fixture(scope="module")
def inputs(lake: Lake) -> dict[str, Snapshot]:
    made = {
        "features": features_snapshot(lake, BARS),
        "markets": markets_snapshot(lake, BARS),
        "ticks": ticks_snapshot(lake, BARS),
    }
    made["model"] = compute(train_model, lake, made, ModelSettings(max_iter=20, kind="logistic"))
    made["inference"] = compute(run_inference, lake, made)
    made["backtest"] = compute(run_backtest, lake, made)
    return made


OPEN = Settings(max_brier_excess=None)


def with_partition(lake: Lake, snapshot: Snapshot, key: str, data: bytes | pl.DataFrame) -> Snapshot:
    """The snapshot with other content of one partition."""
    attempt = f"x{abs(hash((key, str(data))))}"
    new = (
        lake.write_bytes(snapshot.component, key, data, attempt=attempt, suffix=".json")
        if isinstance(data, bytes)
        else lake.write_table(snapshot.component, key, data, attempt=attempt)
    )
    rest = tuple(one for one in snapshot.partitions if one.key != key)
    return replace(snapshot, partitions=(*rest, new))


def refused(lake: Lake, inputs: dict[str, Snapshot], settings: Settings = OPEN, **changed: Snapshot) -> str:
    before = sorted(path for path in lake.root.rglob("*") if "publish" in str(path))
    with pytest.raises(ReleaseRefused) as caught:
        compute(publish_artifacts, lake, inputs | changed, settings, attempt="refused")
    assert sorted(path for path in lake.root.rglob("*") if "publish" in str(path)) == before
    assert "stays current" in caught.value.fix
    return caught.value.what


def model_with(lake: Lake, inputs: dict[str, Snapshot], **assessment: Any) -> Snapshot:
    metrics = json.loads(lake.read_bytes(inputs["model"].by_key["metrics.json"]))
    metrics["assessment"] |= assessment
    return with_partition(lake, inputs["model"], "metrics.json", json.dumps(metrics).encode())


def test_a_project_with_one_market_is_as_good_as_any(lake: Lake, inputs: dict[str, Snapshot]) -> None:
    release = compute(publish_artifacts, lake, inputs, OPEN)
    assessment = json.loads(lake.read_bytes(release.by_key["metrics.json"]))["assessment"]
    assert assessment["sentence"] in lake.read_bytes(release.by_key["model_card.md"]).decode()
    assert assessment["verdict"] in {"EDGE", "VOLATILITY ONLY", "NO EDGE", "WORSE THAN BASE"}


def test_bars_that_break_the_contract_are_named(lake: Lake, inputs: dict[str, Snapshot]) -> None:
    key = next(one.key for one in inputs["features"].select("bars/"))
    frame = lake.read_table(inputs["features"].by_key[key])
    broken = frame.with_columns(high=pl.when(pl.int_range(pl.len()) == 3).then(0.001).otherwise("high"))
    features = with_partition(lake, inputs["features"], key, broken)
    assert "the data contract is broken by bars of walk:M0" in refused(lake, inputs, features=features)


def test_bars_that_are_not_the_sources_are_refused(lake: Lake, inputs: dict[str, Snapshot]) -> None:
    key = next(one.key for one in inputs["features"].select("bars/"))
    other = lake.read_table(inputs["features"].by_key[key]).with_columns(pl.col("close", "high") * 1.01)
    ticks = with_partition(lake, inputs["ticks"], key, other)
    assert f"bars are not what the sources gave in 1 partition(s), the first {key}" in refused(
        lake, inputs, ticks=ticks
    )


def test_what_was_not_tested_is_refused(lake: Lake, inputs: dict[str, Snapshot]) -> None:
    memo = json.dumps({"tested": [], "filled": [], "not_tested": ["slow"]}).encode()
    assert "not tested for leaks, for want of values on both sides of a cut: slow" in refused(
        lake, inputs, features=with_partition(lake, inputs["features"], LEAKS, memo)
    )
    rest = tuple(one for one in inputs["features"].partitions if one.key != LEAKS)
    without = replace(inputs["features"], partitions=rest)
    assert "not tested for leaks" in refused(lake, inputs, features=without)


def test_skill_beyond_belief_is_refused_until_it_is_believed(lake: Lake, inputs: dict[str, Snapshot]) -> None:
    model = model_with(lake, inputs, ic={"value": 0.5, "low": 0.4, "high": 0.6, "blocks": 50})
    assert "a leak is likely: an information coefficient of 0.500" in refused(lake, inputs, model=model)
    settings = replace(OPEN, accept_skill="a test")
    release = compute(publish_artifacts, lake, inputs | {"model": model}, settings, attempt="believed")
    assert "report.html" in release.by_key


def test_drift_is_refused(lake: Lake, inputs: dict[str, Snapshot]) -> None:
    card = json.loads(lake.read_bytes(inputs["model"].by_key["model.json"]))
    card["training_end"] = BARS.item(300, "ts").isoformat()
    card["distribution"] = {name: {"edges": [1e9], "shares": [0.0, 1.0, 0.0]} for name in card["distribution"]}
    model = with_partition(lake, inputs["model"], "model.json", json.dumps(card).encode())
    assert "the features have drifted" in refused(lake, inputs, model=model)


def test_what_is_not_tradable_is_refused_where_an_edge_is_required(lake: Lake, inputs: dict[str, Snapshot]) -> None:
    model = model_with(lake, inputs, tradable=False, reason="NO EDGE: because")
    settings = replace(OPEN, require="edge")
    assert 'require = "edge": NO EDGE: because' in refused(lake, inputs, settings, model=model)
