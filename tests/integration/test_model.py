"""The model component on made-up and real bars: determinism, no leakage, carrying over, retraining rules."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipelines.component import Due, Observation, view_inputs
from pipelines.components import model as model_component
from pipelines.components.model import Settings, train_model
from pipelines.errors import PipelineError
from pipelines.lake import Lake
from pipelines.modelling import walk
from pipelines.modelling.folds import fold_start
from pipelines.modelling.labels import usual_spacing, with_labels
from pipelines.snapshot import Snapshot
from tests.modelling import compute, crypto_bars, features_snapshot, lake_at, markets_snapshot, walk_bars
from tests.paths import PROJECT, needs_shared_data

QUICK = Settings(max_iter=20)


def inputs_of(lake: Lake, bars: pl.DataFrame, attempt: str = "f", **market: Any) -> dict[str, Snapshot]:
    return {"features": features_snapshot(lake, bars, attempt), "markets": markets_snapshot(lake, bars, **market)}


def json_of(lake: Lake, snapshot: Snapshot, key: str) -> Any:
    return json.loads(lake.read_bytes(snapshot.by_key[key]))


def fold_keys(snapshot: Snapshot) -> list[str]:
    return [p.key for p in snapshot.select("oof/")]


_SCRIPT = """
import sys
from pathlib import Path
from tests.modelling import *
from pipelines.components.backtest import run_backtest
from pipelines.components.inference import run_inference
from pipelines.components.model import train_model, Settings
from pipelines.components.publish import publish_artifacts
bars = walk_bars(3, 900)
lake = lake_at(Path(sys.argv[1]))
made = {"features": features_snapshot(lake, bars), "markets": markets_snapshot(lake, bars)}
made["ticks"] = ticks_snapshot(lake, bars)
for kind in ("logistic", "averaged"):
    made["model"] = compute(train_model, lake, made, Settings(kind=kind, max_iter=30), attempt=kind)
    made["inference"] = compute(run_inference, lake, made, attempt=kind)
    made["backtest"] = compute(run_backtest, lake, made, attempt=kind)
    made["publish"] = compute(publish_artifacts, lake, made, attempt=kind)
    for name, snapshot in made.items():
        print(name, snapshot.version, *(p.key + p.content_hash for p in snapshot.partitions))
"""


def test_versions_do_not_depend_on_threads_or_process(tmp_path: Path) -> None:
    said = []
    for threads in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, str(tmp_path / threads)],
            cwd=PROJECT,
            env={**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": f"{PROJECT / 'src'}:{PROJECT}"},
            capture_output=True,
            text=True,
            check=True,
        )
        said.append(done.stdout)
    assert said[0].count("\n") == 14
    assert said[0] == said[1]


def test_what_comes_later_changes_no_earlier_fold(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    bars = walk_bars(3, 900)
    before = compute(train_model, lake, inputs_of(lake, bars), QUICK)
    keys = fold_keys(before)
    cut = fold_start(keys[2])
    rng = np.random.default_rng(0)
    wild = pl.Series(rng.uniform(0.5, 2.0, bars.height))
    late = pl.col("ts") > cut
    changed = bars.with_columns(
        [
            pl.when(late).then(pl.col(name) * wild).otherwise(name).alias(name)
            for name in ("open", "high", "low", "close")
        ]
    )
    after = compute(train_model, lake, inputs_of(lake, changed, "g"), QUICK, attempt="a2")
    assert fold_keys(after) == keys
    for key in keys[:2]:
        columns = ["market_id", "ts", "probability", "raw_probability", "base_rate"]
        old, new = (lake.read_table(one.by_key[key], columns) for one in (before, after))
        assert old.equals(new)
    assert before.by_key[keys[3]].content_hash != after.by_key[keys[3]].content_hash


def test_the_purge_is_exact(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    bars = walk_bars(2, 900)
    for embargo in (0, 4):
        settings = replace(QUICK, embargo_bars=embargo, horizon_bars=7)
        inputs = inputs_of(lake, bars, f"f{embargo}")
        done = compute(train_model, lake, inputs, settings, attempt=f"a{embargo}")
        markets = lake.read_table(inputs["markets"].by_key["markets"])
        labelled = with_labels(bars, usual_spacing(bars), 7, markets).filter(pl.col("label").is_not_null())
        for fold in json_of(lake, done, "metrics.json")["folds"]:
            start = pl.lit(fold["test_start"]).str.to_datetime(time_zone="UTC")
            usable = labelled.filter(pl.col("label_end") + pl.duration(days=embargo) <= start)
            assert fold["train_rows"] == usable.height
            rate = lake.read_table(done.by_key[f"oof/{fold['test_start'][:10].replace('-', '')}T0000"])["base_rate"][0]
            assert rate == pytest.approx(usable["label"].mean())


def test_out_of_sample_rows_are_every_bar_of_their_span(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    bars = walk_bars(2, 900)
    inputs = inputs_of(lake, bars)
    done = compute(train_model, lake, inputs, QUICK)
    sample = lake.read_tables(done.select("oof/"))
    first = fold_start(fold_keys(done)[0])
    markets = lake.read_table(inputs["markets"].by_key["markets"])
    expected = with_labels(bars, usual_spacing(bars), 5, markets).filter(pl.col("ts") >= first).sort("ts", "market_id")
    columns = ["market_id", "ts", "label", "forward_return"]
    assert sample.select(columns).equals(expected.select(columns))
    assert sample.select(pl.col("probability").is_between(0, 1).all()).item()


def test_rows_after_a_resolution_are_left_out(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    bars = walk_bars(2, 900)
    resolved_at = bars.item(700, "ts")
    done = compute(train_model, lake, inputs_of(lake, bars, resolved_at=resolved_at, resolution=1.0), QUICK)
    assert lake.read_tables(done.select("oof/")).get_column("ts").max() < resolved_at
    assert json_of(lake, done, "model.json")["training_end"] < resolved_at.isoformat()


def test_appended_bars_leave_earlier_folds_as_they_are_and_fit_only_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = lake_at(tmp_path)
    bars = walk_bars(3, 900)
    early = bars.filter(pl.col("ts") <= bars.item(880, "ts"))
    old_inputs = inputs_of(lake, early)
    old = compute(train_model, lake, old_inputs, QUICK)
    new_inputs = inputs_of(lake, bars, "g")
    whole = compute(train_model, lake, new_inputs, QUICK, attempt="a2")

    fits = []
    real_fit = model_component.fit
    for module in (model_component, walk):
        monkeypatch.setattr(module, "fit", lambda *args: fits.append(1) or real_fit(*args))
    step = compute(train_model, lake, new_inputs, QUICK, attempt="a3", previous=old, previous_inputs=old_inputs)
    assert step.version == whole.version
    assert [p.content_hash for p in step.partitions] == [p.content_hash for p in whole.partitions]
    assert len(fits) == 2  # the newest fold and the final model
    kept = fold_keys(old)[:-2]
    assert {step.by_key[key].path for key in kept} == {old.by_key[key].path for key in kept}

    fits.clear()
    redone = compute(
        train_model,
        lake,
        new_inputs,
        QUICK,
        attempt="a4",
        previous=step,
        previous_inputs=new_inputs,
        redo=frozenset({kept[0]}),
    )
    assert redone.version == whole.version
    assert len(fits) == 2  # the damaged fold and the final model
    assert redone.by_key[kept[0]].path != step.by_key[kept[0]].path


def test_another_setting_is_another_fit(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    inputs = inputs_of(lake, walk_bars(2, 600))
    old = compute(train_model, lake, inputs, QUICK)
    other = replace(QUICK, max_leaf_nodes=4)
    step = compute(train_model, lake, inputs, other, attempt="a2", previous=old, previous_inputs=inputs)
    assert step.version == compute(train_model, lake, inputs, other, attempt="a3").version != old.version


def test_a_limit_on_training_bars_counts_bar_times(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    done = compute(train_model, lake, inputs_of(lake, walk_bars(3, 900)), replace(QUICK, max_train_bars=100))
    assert {fold["train_rows"] for fold in json_of(lake, done, "metrics.json")["folds"]} == {300}


@pytest.mark.parametrize(
    ("bars", "says"),
    [
        (walk_bars(1, 150), "there are 150 bars with features; 145 of them have a known outcome, 400 are needed"),
        (walk_bars(2, 400, seconds=60), "they cover 6:39:00, and walk-forward folds need 8 hours"),
        (walk_bars(1, 450), "no fold of"),
    ],
    ids=["rows", "span", "folds"],
)
def test_too_little_data_is_said_with_numbers(tmp_path: Path, bars: pl.DataFrame, says: str) -> None:
    lake = lake_at(tmp_path)
    settings = replace(QUICK, max_train_bars=150) if says == "no fold of" else QUICK
    with pytest.raises(PipelineError, match="too little data to train a model") as caught:
        compute(train_model, lake, inputs_of(lake, bars), settings)
    assert says in caught.value.what
    assert caught.value.fix


@needs_shared_data
def test_real_five_minute_bars_are_predicted_no_worse_than_by_the_base_rate(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    done = compute(train_model, lake, inputs_of(lake, crypto_bars(["ETH_BTC", "LTC_BTC", "NXT_BTC"])))
    overall = json_of(lake, done, "metrics.json")["overall"]
    assert overall["rows"] > 10_000
    assert overall["brier"] < overall["brier_base_rate"] + 0.002
    assert 0.5 < overall["auc"] < 0.65  # much more would be a leak
    card = json_of(lake, done, "model.json")
    assert card["moves"]["all"]["down"] < 0 < card["moves"]["all"]["up"]
    assert set(card["distribution"]) == set(card["features"])


def observe(lake: Lake, seen_bars: int, settings: Settings, *, shift: float = 1.0, **live: Any) -> Any:
    """What the policy says after `seen_bars` of 700 bars were trained on; later bars move `shift` times as much."""
    bars = walk_bars(3, 700)
    ordered = bars.get_column("ts").unique().sort()
    cut = ordered[seen_bars - 1]
    mid = pl.col("close") * shift
    bars = bars.with_columns(
        close=pl.when((pl.col("ts") > cut) & (pl.col("ts").dt.ordinal_day() % 2 == 0)).then(mid).otherwise("close")
    ).with_columns(high=pl.max_horizontal("high", "close"), low=pl.min_horizontal("low", "close"))
    old_inputs = inputs_of(lake, bars.filter(pl.col("ts") <= cut))
    old = compute(train_model, lake, old_inputs, settings)
    inputs = inputs_of(lake, bars, "g")
    views = view_inputs(train_model, inputs, old_inputs, lake)
    assert train_model.policy is not None
    return train_model.policy(Observation(views, old, old_inputs, settings, lake, **live))


def test_retraining_on_change_never_waits(tmp_path: Path) -> None:
    assert observe(lake_at(tmp_path), 690, QUICK) is None


def test_retraining_by_rows_says_how_many_there_are(tmp_path: Path) -> None:
    settings = replace(QUICK, retrain="rows", retrain_rows=40)
    deferral = observe(lake_at(tmp_path / "a"), 690, settings)
    assert deferral.until == "40 new rows (30 so far)"
    due = observe(lake_at(tmp_path / "b"), 690, replace(settings, retrain_rows=30))
    assert due == Due("30 new rows, 30 are enough")


def test_retraining_by_interval_counts_event_time(tmp_path: Path) -> None:
    settings = replace(QUICK, retrain="interval", retrain_every_days=30)
    deferral = observe(lake_at(tmp_path / "a"), 690, settings)
    assert "features reach 2019-12-22 00:00 UTC (they end at 2019-12-02 00:00)" in deferral.until
    due = observe(lake_at(tmp_path / "b"), 690, replace(settings, retrain_every_days=10))
    assert due == Due("features reach 2019-12-02 00:00 UTC, it was due at 2019-12-02 00:00")


def test_retraining_by_drift(tmp_path: Path) -> None:
    settings = replace(QUICK, retrain="drift")
    calm = observe(lake_at(tmp_path / "a"), 600, settings, live_brier=0.24, live_count=50)
    assert "median PSI reaches 0.25 (now 0.0" in calm.until
    assert "live Brier score 0.27 (now 0.240 over 50 outcomes)" in calm.until
    few = observe(lake_at(tmp_path / "b"), 690, settings, live_brier=0.9, live_count=3)
    assert "from 100 new rows on, 30 so far" in few.until
    assert "from 30 outcomes on, 3 so far" in few.until
    moved = observe(lake_at(tmp_path / "c"), 600, settings, shift=1.5)
    assert isinstance(moved, Due)
    assert moved.because.startswith("the features' median PSI is ")
    wrong = observe(lake_at(tmp_path / "d"), 690, settings, live_brier=0.3, live_count=30)
    assert wrong == Due("the live Brier score is 0.300 over 30 outcomes")


def test_a_fold_has_an_hour_and_a_day(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    bars = walk_bars(2, 900, seconds=3600)
    done = compute(train_model, lake, inputs_of(lake, bars), QUICK)
    starts = [fold_start(key) for key in fold_keys(done)]
    assert {later - earlier for earlier, later in itertools.pairwise(starts)} == {timedelta(days=4)}
