"""The backtest component: resuming equals a whole run, what changes reruns, and its tables add up."""

from __future__ import annotations

import json
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.components.backtest import STRATEGIES, run_backtest
from pipelines.components.inference import Settings as InferenceSettings
from pipelines.components.inference import run_inference
from pipelines.components.model import Settings as ModelSettings
from pipelines.components.model import train_model
from pipelines.decision import Rules, decide_all
from pipelines.errors import PipelineError
from pipelines.lake import Lake
from pipelines.modelling.deciding import QUOTE_COLUMNS, columns_of
from pipelines.snapshot import Snapshot
from tests.examples import examples
from tests.modelling import COSTS, compute, crypto_bars, features_snapshot, lake_at, markets_snapshot, walk_bars
from tests.paths import needs_shared_data

BARS = walk_bars(3, 1000)
QUICK = ModelSettings(kind="logistic")


def inputs_of(
    lake: Lake, bars: pl.DataFrame, attempt: str = "f", rules: InferenceSettings | None = None, **market: Any
) -> dict[str, Snapshot]:
    inputs = {
        "features": features_snapshot(lake, bars, attempt),
        "markets": markets_snapshot(lake, bars, attempt=attempt, **market),
    }
    inputs["model"] = compute(train_model, lake, inputs, QUICK, attempt=attempt)
    return inputs | {"inference": compute(run_inference, lake, inputs, rules, attempt=attempt)}


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
                inputs |= {name: before[name] for name in ("model", "inference")}
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
    inputs = inputs_of(lake, BARS, "g") | {name: old_inputs[name] for name in ("model", "inference", "markets")}
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
    done = compute(run_backtest, lake, inputs_of(lake, BARS, rules=InferenceSettings(allow_short=True)))
    equity, trades = (lake.read_tables(done.select(prefix)) for prefix in ("equity/", "trades/"))
    state = json.loads(lake.read_bytes(done.select("checkpoint/")[-1]))
    metrics = metrics_of(lake, done)
    assert sorted(metrics) == sorted([*STRATEGIES, "random_entry"])
    curve, book = equity.filter(pl.col("strategy") == "model"), state["model"]
    place = {market: number for number, market in enumerate(book["markets"])}
    unrealized = sum(
        book["side"][n] * book["quantity"][n] * (book["mark"][n] - book["entry_price"][n]) - book["entry_fee"][n]
        for n in (place[market] for market in book["held"])
    )
    assert trades["pnl"].sum() + unrealized == pytest.approx(curve["equity"][-1] - 1, abs=1e-9)
    assert metrics["model"]["total_return"] == pytest.approx(curve["equity"][-1] - 1)
    assert metrics["model"]["costs_paid"] == pytest.approx(curve["costs"].sum())
    assert metrics["model"]["trades"] == trades.height > 20
    assert metrics["model"]["hit_rate"] == pytest.approx((trades["pnl"] > 0).mean())
    assert set(trades["side"]) == {1, -1}
    for name in STRATEGIES:
        curve = equity.filter(pl.col("strategy") == name)
        assert curve["ts"].is_sorted()
        assert curve["ts"].n_unique() == curve.height


def test_nothing_is_entered_below_the_margin_and_all_that_is_was_decided(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    inputs = inputs_of(lake, BARS)
    done = compute(run_backtest, lake, inputs)
    trades = lake.read_tables(done.select("trades/"))
    rows = (
        lake.read_tables(inputs["model"].select("oof/"))
        .join(BARS.select("market_id", "ts", "close", *QUOTE_COLUMNS), on=("market_id", "ts"))
        .with_columns(kind=pl.lit("spot"), **{name: pl.lit(value) for name, value in COSTS.items()})
    )
    decided = decide_all(columns_of(rows, Rules(5)), Rules(5))
    net = {
        (row["market_id"], row["ts"]): one.net_edge
        for row, one in zip(rows.to_dicts(), decided, strict=True)
        if one.action == "buy"
    }
    assert all(net[market, at] > 0 for market, at in trades.select("market_id", "signal_at").rows())
    assert trades.height > 20


def test_random_entries_are_a_distribution_of_the_models_trades(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    done = compute(run_backtest, lake, inputs_of(lake, BARS))
    model, chance = metrics_of(lake, done)["model"], metrics_of(lake, done)["random_entry"]
    draws = lake.read_tables(done.select("draws/"))
    assert draws["draw"].n_unique() == 201
    assert chance["trades"] == model["trades"]
    assert chance["compounded_low"] < chance["compounded"] < chance["compounded_high"]
    assert chance["beaten_by_model"] > 0.5  # the walks have momentum, and the model found it


def test_a_higher_fee_earns_less(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    inputs = inputs_of(lake, BARS)
    costs = [markets_snapshot(lake, BARS, attempt=f"fee{fee}", fee=fee) for fee in (0.0, 5e-4)]
    free, dear = (
        metrics_of(lake, compute(run_backtest, lake, inputs | {"markets": one}, attempt=f"a{number}"))["model"]
        for number, one in enumerate(costs)
    )
    assert dear["trades"] < free["trades"]  # what no longer pays is not entered
    assert dear["costs_paid"] / dear["trades"] > free["costs_paid"] / free["trades"]


def test_buy_and_hold_is_the_mean_of_the_markets(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    inputs = inputs_of(lake, BARS, fee=0.0, half_spread=0.0, slippage=0.0)
    done = compute(run_backtest, lake, inputs)
    curve = lake.read_tables(done.select("equity/")).filter(pl.col("strategy") == "buy_and_hold")
    begin = curve["ts"][0]
    held = (
        BARS.filter(pl.col("bar_start") >= begin)
        .group_by("market_id")
        .agg(change=pl.col("close").last() / pl.col("open").first())
    )
    assert curve["equity"][-1] == pytest.approx(held["change"].mean())


def test_a_payout_changes_what_follows_it_and_nothing_before(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    bars = BARS.with_columns(pl.col("open", "high", "low", "close") / 2000)
    old_inputs = inputs_of(lake, bars, kind="binary", half_spread=0.0, slippage=0.0, fee=0.0)
    old = compute(run_backtest, lake, old_inputs)
    at = bars.item(-1, "ts") + timedelta(hours=1)
    paid = {"status": "resolved", "resolution": 1.0, "resolved_at": at}
    markets = markets_snapshot(
        lake, bars, attempt="paid", kind="binary", half_spread=0.0, slippage=0.0, fee=0.0, **paid
    )
    inputs = old_inputs | {"markets": markets}
    step = compute(run_backtest, lake, inputs, attempt="a2", previous=old, previous_inputs=old_inputs)
    assert contents(step) == contents(compute(run_backtest, lake, inputs, attempt="a3"))
    kept = [p.key for p in step.select("equity/") if old.by_key[p.key].path == p.path]
    assert kept == ["equity/2018", "equity/2019"]
    state = json.loads(lake.read_bytes(step.select("checkpoint/")[-1]))
    assert state["model"]["held"] == state["buy_and_hold"]["held"] == []
    assert "resolved" in lake.read_tables(step.select("trades/"))["reason"].to_list()


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
    assert metrics["random_entry"]["trades"] == metrics["model"]["trades"] > 0
    assert all(0 <= metrics[name]["max_drawdown"] < 1 for name in STRATEGIES)
