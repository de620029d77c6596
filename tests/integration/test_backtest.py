"""The backtest component: resuming equals a whole run, what changes reruns, and its tables add up."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.components.backtest import STRATEGIES, Settings, run_backtest
from pipelines.components.model import Settings as ModelSettings
from pipelines.components.model import train_model
from pipelines.errors import PipelineError
from pipelines.lake import Lake
from pipelines.snapshot import Snapshot
from tests.examples import examples
from tests.modelling import compute, crypto_bars, features_snapshot, lake_at, markets_snapshot, walk_bars
from tests.paths import needs_shared_data

BARS = walk_bars(3, 1000)
QUICK = ModelSettings(kind="logistic")


def inputs_of(lake: Lake, bars: pl.DataFrame, attempt: str = "f") -> dict[str, Snapshot]:
    inputs = {"features": features_snapshot(lake, bars, attempt), "markets": markets_snapshot(lake, bars)}
    return inputs | {"model": compute(train_model, lake, inputs, QUICK, attempt=attempt)}


def metrics_of(lake: Lake, snapshot: Snapshot) -> Any:
    return json.loads(lake.read_bytes(snapshot.by_key["metrics.json"]))


def contents(snapshot: Snapshot) -> dict[str, str]:
    return {p.key: p.content_hash for p in snapshot.partitions}


@settings(max_examples=examples(5), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.integers(420, 1000), st.lists(st.integers(0, 2999), max_size=2), st.booleans()),
        min_size=1,
        max_size=3,
    )
)
def test_step_by_step_as_in_one_run(steps: list[tuple[int, list[int], bool]]) -> None:
    """Each step: bars up to a day, some corrected, some removed; the model trained anew or the one before kept."""
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_at(Path(folder))
        inputs: dict[str, Snapshot] = {}
        previous = None
        for number, (days, odd, keeps_model) in enumerate(steps):
            last = BARS.filter(pl.col("market_id") == "walk:M0").item(days - 1, "ts")
            numbered = BARS.with_row_index("row")
            bars = numbered.with_columns(
                close=pl.when(pl.col("row").is_in(odd[:1])).then(pl.col("close") * 1.05).otherwise("close")
            ).filter(pl.col("ts") <= last, ~pl.col("row").is_in(odd[1:]))
            before = inputs
            inputs = inputs_of(lake, bars.drop("row"), f"f{number}")
            if keeps_model and before:
                inputs["model"] = before["model"]
            step = compute(
                run_backtest, lake, inputs, attempt=f"s{number}", previous=previous, previous_inputs=before or None
            )
            whole = compute(run_backtest, lake, inputs, attempt=f"w{number}")
            assert contents(step) == contents(whole)
            previous = step


def test_appended_bars_resume_from_the_checkpoint_before_them(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    old_inputs = inputs_of(lake, BARS.filter(pl.col("ts") <= BARS.item(900, "ts")))
    old = compute(run_backtest, lake, old_inputs)
    inputs = inputs_of(lake, BARS, "g") | {"model": old_inputs["model"]}
    step = compute(run_backtest, lake, inputs, attempt="a2", previous=old, previous_inputs=old_inputs)
    kept = [p.key for p in step.partitions if p.key in old.by_key and old.by_key[p.key].path == p.path]
    assert [key for key in kept if key.startswith("equity/")] == ["equity/2018", "equity/2019"]
    assert contents(step) == contents(compute(run_backtest, lake, inputs, attempt="a3"))


def test_a_damaged_partition_is_computed_again(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    inputs = inputs_of(lake, BARS)
    old = compute(run_backtest, lake, inputs)
    lake.path_of(old.by_key["trades/2019"]).write_bytes(b"broken")
    again = compute(
        run_backtest,
        lake,
        inputs,
        attempt="a2",
        previous=old,
        previous_inputs=inputs,
        redo=frozenset({"trades/2019"}),
    )
    assert contents(again) == contents(old)
    assert again.by_key["trades/2019"].path != old.by_key["trades/2019"].path
    assert again.by_key["equity/2018"].path == old.by_key["equity/2018"].path


def test_labels_that_become_known_do_not_change_what_is_traded() -> None:
    reads = run_backtest.upstream["model"]
    assert not {"label", "forward_return"} & set(reads.columns)
    assert reads.prefix == "oof/"


def test_the_tables_add_up(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    done = compute(run_backtest, lake, inputs_of(lake, BARS), Settings(allow_short=True))
    equity, trades = (lake.read_tables(done.select(prefix)) for prefix in ("equity/", "trades/"))
    state = json.loads(lake.read_bytes(done.select("checkpoint/")[-1]))
    metrics = metrics_of(lake, done)
    assert sorted(metrics) == sorted(STRATEGIES)
    for name in ("model", "random_entry"):
        curve, mine = (table.filter(pl.col("strategy") == name) for table in (equity, trades))
        book = state[name]
        unrealized = sum(
            p["quantity"] * (book["marks"][m]["price"] - p["price"]) - p["fee"] for m, p in book["positions"].items()
        )
        assert mine["pnl"].sum() + unrealized == pytest.approx(curve["equity"][-1] - 1, abs=1e-9)
        gross = (mine["pnl"] + mine["costs"]).sum()
        assert gross - mine["costs"].sum() == pytest.approx(mine["pnl"].sum())
        assert metrics[name]["total_return"] == pytest.approx(curve["equity"][-1] - 1)
        assert metrics[name]["costs_paid"] == pytest.approx(curve["costs"].sum())
        assert metrics[name]["trades"] == mine.height > 50
        assert metrics[name]["hit_rate"] == pytest.approx((mine["pnl"] > 0).mean())
    for name in STRATEGIES:
        curve = equity.filter(pl.col("strategy") == name)
        assert curve["ts"].is_sorted()
        assert curve["ts"].n_unique() == curve.height


def test_random_entries_have_the_models_turnover(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    metrics = metrics_of(lake, compute(run_backtest, lake, inputs_of(lake, BARS)))
    model, chance = metrics["model"], metrics["random_entry"]
    assert chance["turnover"] == pytest.approx(model["turnover"], rel=0.05)
    assert chance["trades"] == pytest.approx(model["trades"], abs=5)
    assert model["sharpe"] > chance["sharpe"] + 1  # the walks have momentum, and the model found it


def test_higher_fees_earn_less_and_change_nothing_else(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    inputs = inputs_of(lake, BARS)
    free, dear = (
        metrics_of(
            lake, compute(run_backtest, lake, inputs, Settings(fee_bps=fee, slippage_bps=0), attempt=f"fee{fee}")
        )
        for fee in (0, 50)
    )
    assert free["model"]["costs_paid"] == 0
    assert dear["model"]["total_return"] < free["model"]["total_return"]
    assert dear["model"]["trades"] == free["model"]["trades"]


def test_buy_and_hold_is_the_mean_of_the_markets(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    inputs = inputs_of(lake, BARS)
    done = compute(run_backtest, lake, inputs, Settings(fee_bps=0, slippage_bps=0))
    curve = lake.read_tables(done.select("equity/")).filter(pl.col("strategy") == "buy_and_hold")
    begin = curve["ts"][0]
    held = (
        BARS.filter(pl.col("bar_start") >= begin)
        .group_by("market_id")
        .agg(change=pl.col("close").last() / pl.col("open").first())
    )
    assert curve["equity"][-1] == pytest.approx(held["change"].mean())


def test_bars_and_model_of_different_times_are_refused(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    inputs = inputs_of(lake, BARS)
    inputs["features"] = features_snapshot(lake, walk_bars(3, 100), "g")
    with pytest.raises(PipelineError, match="no bar lies in the time of the out-of-sample predictions"):
        compute(run_backtest, lake, inputs)


@needs_shared_data
def test_real_five_minute_bars(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    done = compute(run_backtest, lake, inputs_of(lake, crypto_bars(["ETH_BTC", "NXT_BTC", "XLM_BTC"])))
    metrics = metrics_of(lake, done)
    assert metrics["model"]["trades"] > 100
    assert metrics["random_entry"]["turnover"] == pytest.approx(metrics["model"]["turnover"], rel=0.05)
    assert all(0 <= metrics[name]["max_drawdown"] < 1 for name in STRATEGIES)
