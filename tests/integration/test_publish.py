"""The release: its files, its gates, its report, and what changes its version."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipelines.component import Outside, perform
from pipelines.components.backtest import run_backtest
from pipelines.components.inference import Settings as InferenceSettings
from pipelines.components.inference import run_inference
from pipelines.components.model import Settings as ModelSettings
from pipelines.components.model import train_model
from pipelines.components.publish import Settings, check_gates, publish_artifacts
from pipelines.errors import ReleaseRefused
from pipelines.lake import SHARED, Lake
from pipelines.modelling.metrics import random_band
from pipelines.modelling.report import content_hash, render
from pipelines.snapshot import Snapshot
from tests.modelling import compute, features_snapshot, lake_at, markets_snapshot, ticks_snapshot, walk_bars

BARS = walk_bars(3, 700)
FILES = [
    "decisions.json",
    "manifest.json",
    "metrics.json",
    "model_card.md",
    "predictions.csv",
    "predictions.parquet",
    "report.html",
]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return lake_at(tmp_path_factory.mktemp("publish"))


@pytest.fixture(scope="module")
def inputs(lake: Lake) -> dict[str, Snapshot]:
    made = {
        "features": features_snapshot(lake, BARS),
        "markets": markets_snapshot(lake, BARS, question="Will <it> rise?"),
        "ticks": ticks_snapshot(lake, BARS),
    }
    made["model"] = compute(train_model, lake, made, ModelSettings(max_iter=20))
    made["inference"] = compute(run_inference, lake, made)
    made["backtest"] = compute(run_backtest, lake, made)
    return made


@pytest.fixture(scope="module")
def release(lake: Lake, inputs: dict[str, Snapshot]) -> Snapshot:
    return compute(publish_artifacts, lake, inputs)


def read(lake: Lake, snapshot: Snapshot, key: str) -> str:
    return lake.read_bytes(snapshot.by_key[key]).decode()


def script_of(release: Snapshot) -> str:
    (key,) = (key for key in release.by_key if key.startswith(SHARED))
    return key.removeprefix(SHARED)


def test_a_release_has_its_files(lake: Lake, release: Snapshot) -> None:
    assert [one.key for one in release.select()] == FILES
    assert sorted(release.by_key) == [f".shared/{script_of(release)}", *FILES]
    assert publish_artifacts.is_release


def test_the_manifest_names_what_was_read_and_what_was_made(
    lake: Lake, inputs: dict[str, Snapshot], release: Snapshot
) -> None:
    manifest = json.loads(read(lake, release, "manifest.json"))
    assert manifest["as_of"] == BARS["ts"].max().isoformat()  # type: ignore[union-attr]  # a datetime
    for name, reads in publish_artifacts.upstream.items():
        assert manifest["inputs"][name] == inputs[name].version_of(reads)
    assert sorted([*manifest["files"], "manifest.json"]) == FILES
    for key, facts in manifest["files"].items():
        assert facts["content_hash"] == release.by_key[key].content_hash
    assert manifest["gates"] == {
        "max_brier_excess": 0.02,
        "max_drawdown": None,
        "min_predictions": 1,
        "max_drift": 1.0,
        "max_age_bars": 10.0,
        "require": "any",
        "accept_skill": None,
    }


def test_parquet_and_csv_hold_the_same_predictions(lake: Lake, inputs: dict[str, Snapshot], release: Snapshot) -> None:
    table = lake.read_table(release.by_key["predictions.parquet"])
    text = pl.read_csv(read(lake, release, "predictions.csv").encode())
    predicted = lake.read_table(inputs["inference"].by_key["predictions"])
    assert table.drop("name", "quote_currency").equals(predicted)
    assert text["quote_currency"].to_list() == table["quote_currency"].to_list()
    assert set(table["name"]) == {"Will <it> rise?"}
    for column in ("market_id", "price", "probability", "edge", "confidence"):
        assert text[column].to_list() == table[column].to_list()
    assert text["ts"][0] == f"{table['ts'][0]:%Y-%m-%dT%H:%M:%SZ}"


def test_metrics_are_those_of_model_and_backtest(lake: Lake, inputs: dict[str, Snapshot], release: Snapshot) -> None:
    metrics = json.loads(read(lake, release, "metrics.json"))
    assert metrics["backtest"] == json.loads(read(lake, inputs["backtest"], "metrics.json"))
    assert metrics["model"] == json.loads(read(lake, inputs["model"], "metrics.json"))["overall"]
    card = read(lake, release, "model_card.md")
    assert f"{metrics['model']['brier']:.4f}" in card
    assert "- `return_3`" in card


def test_the_same_inputs_give_the_same_release_and_keep_its_files(
    lake: Lake, inputs: dict[str, Snapshot], release: Snapshot
) -> None:
    again = compute(publish_artifacts, lake, inputs, attempt="a2", previous=release, previous_inputs=inputs)
    assert again.version == release.version
    assert [p.path for p in again.partitions] == [p.path for p in release.partitions]


def test_volume_and_liquidity_do_not_make_a_release(lake: Lake, inputs: dict[str, Snapshot]) -> None:
    busy = markets_snapshot(lake, BARS, attempt="m2", question="Will <it> rise?", volume=5.0, liquidity=2.0)
    assert busy.version != inputs["markets"].version
    reads = publish_artifacts.upstream["markets"]
    assert busy.version_of(reads) == inputs["markets"].version_of(reads)


def gate_metrics(brier: float = 0.25, drawdown: float | None = 0.3) -> dict[str, Any]:
    return {
        "model": {"rows": 9, "brier": brier, "brier_base_rate": 0.24},
        "backtest": {"model": {"max_drawdown": drawdown}},
    }


ONE = pl.DataFrame({"market_id": ["a:b"], "probability": [0.5]})


@pytest.mark.parametrize(
    ("settings", "predictions", "metrics", "says"),
    [
        (Settings(min_predictions=2), ONE, gate_metrics(), "min_predictions: there are 1, at least 2 are needed"),
        (Settings(max_brier_excess=0.005), ONE, gate_metrics(), "Brier score is 0.0100 worse than the base rate's"),
        (Settings(max_drawdown=0.25), ONE, gate_metrics(), "max_drawdown: the backtest's is 0.3, the limit is 0.25"),
        (
            Settings(),
            ONE.with_columns(probability=float("nan")),
            gate_metrics(),
            "1 of 1 are not in 0..1, the first of a:b",
        ),
    ],
    ids=["predictions", "brier", "drawdown", "nan"],
)
def test_a_gate_that_is_not_passed_refuses_the_release(
    settings: Settings, predictions: pl.DataFrame, metrics: dict[str, Any], says: str
) -> None:
    with pytest.raises(ReleaseRefused) as caught:
        check_gates(settings, predictions, metrics)
    assert says in caught.value.what
    assert "stays current" in caught.value.fix


def test_gates_that_are_off_let_pass() -> None:
    check_gates(Settings(max_brier_excess=None), ONE, gate_metrics(brier=0.9, drawdown=0.99))
    check_gates(Settings(max_drawdown=0.3), ONE, gate_metrics())


def test_every_failed_gate_is_named_and_nothing_is_written(lake: Lake, inputs: dict[str, Snapshot]) -> None:
    before = sorted(lake.root.rglob("*"))
    strict = Settings(min_predictions=9, max_drawdown=0.0)
    with pytest.raises(ReleaseRefused, match=r"min_predictions(.|\n)*max_drawdown"):
        compute(publish_artifacts, lake, inputs, strict, attempt="a9")
    assert sorted(lake.root.rglob("*")) == before


def test_the_report_loads_one_script_and_escapes_what_it_shows(lake: Lake, release: Snapshot) -> None:
    page = read(lake, release, "report.html")
    body = page[page.index("<body>") :]
    (link,) = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"([^\"]+)\"", page)
    assert link == f"../shared/{script_of(release)}"
    assert "Will &lt;it&gt; rise?" in body
    assert "Simulated on past data" in body
    assert "2019-12-02" in body
    for part in ("chart-equity", "chart-drawdown", "chart-calibration"):
        assert f'id="{part}"' in body


def test_the_report_hash_is_over_its_data() -> None:
    data = {"as_of": "x", "value": 1.0}
    assert content_hash(data) == content_hash(dict(reversed(data.items())))
    assert content_hash(data) != content_hash(data | {"value": 2.0})


def report_data(**changes: Any) -> dict[str, Any]:
    scores = {
        "rows": 4,
        "base_rate": 0.5,
        "brier": 0.2,
        "brier_base_rate": 0.25,
        "log_loss": 0.6,
        "log_loss_base_rate": 0.7,
        "auc": None,
        "accuracy": 0.5,
        "accuracy_base_rate": 0.5,
        "calibration": [{"predicted": 0.5, "observed": 0.5, "rows": 4}],
    }
    curve = {"ts": ["2020-01-01T00:00:00Z"], "equity": [1.0], "drawdown": [0.0]}
    strategies = ("model", "buy_and_hold", "random_entry")
    fold = {"test_start": "2020-01-01T00:00:00+00:00", "test_end": "2020-01-02T06:00:00+00:00", "train_rows": 9}
    return {
        "as_of": "2020-01-02 00:00",
        "assessment": "NO EDGE: <nothing>",
        "span": "From a to b",
        "account": "All markets are quoted in <USD>.",
        "backtest": {name: dict.fromkeys(("total_return", "sharpe")) for name in strategies},
        "curves": dict.fromkeys(strategies, curve),
        "band": {},
        "model": scores,
        "folds": [fold | scores, fold | {"rows": 0}],
        "predictions": [],
        "horizon_bars": 5,
        "target": "moves",
        "inputs": {"model": "abc"},
    } | changes


def test_a_report_without_predictions_or_defined_figures_still_reads() -> None:
    page = render(report_data(), "x.js")
    assert "<b>NO EDGE: &lt;nothing&gt;</b>" in page
    assert "The newest bar of 0 markets" in page
    assert "All markets are quoted in &lt;USD&gt;." in page
    assert "2020-01-01 to 2020-01-02 06:00" in page
    assert "nan" not in page[page.index("<h2>Backtest") :].lower().split("<script")[0]
    assert render(report_data(), "x.js") == page


def test_many_predictions_are_cut_and_the_page_says_so() -> None:
    row = {"market_id": "m", "name": "m", "ts": "2020-01-01T00:00:00Z", "price": 1.0, "probability": 0.5}
    row |= {"confidence": 0.0, "edge": 0.1, "horizon_end_at": "2020-01-06T00:00:00Z", "net_edge": 0.1}
    row |= {"threshold": None, "distance": None, "weight": 0.2, "action": "buy", "reason": "why"}
    row |= {"tick_size": 0.25, "quote_currency": "USD"}
    page = render(report_data(predictions=[row] * 60), "x.js")
    assert "the 50 of 60 markets nearest to a trade, or beyond," in page
    assert page.count("<td>2020-01-06</td>") == 50


def test_the_band_of_random_entries_ends_where_their_figures_do(
    lake: Lake, inputs: dict[str, Snapshot], release: Snapshot
) -> None:
    figures = json.loads(read(lake, inputs["backtest"], "metrics.json"))["random_entry"]
    drawn = [lake.read_table(one).sort("draw") for one in inputs["backtest"].select("draws/")]
    band = random_band(np.vstack([one["growth"].to_numpy() for one in drawn]))
    assert figures["trades"] > 0
    names = {"compounded_low": "low", "compounded": "middle", "compounded_high": "high", "model_compounded": "own"}
    for figure, name in names.items():
        assert band[name][-1] - 1 == pytest.approx(figures[figure], abs=1e-9)
    page = read(lake, release, "report.html")
    assert "95 % of random entries" in page
    assert f"{band['own'][-1]:.7g}"[:6] in page


def at_a_run(lake: Lake, inputs: dict[str, Snapshot], attempt: str, outside: Outside) -> Snapshot:
    """A release as a run makes it, which tells it the time."""
    upstream = {name: inputs[name] for name in publish_artifacts.upstream}
    return perform(publish_artifacts, Settings(), upstream, lake=lake, attempt=attempt, outside=outside)


def test_what_was_kept_is_shown_and_makes_no_other_release(
    lake: Lake, inputs: dict[str, Snapshot], release: Snapshot
) -> None:
    said = "promised Brier 0.2431, kept 0.2467 on 1,230 outcomes, since 2026-11-01"
    again = at_a_run(lake, inputs, "kept", Outside(datetime(2026, 11, 27, tzinfo=UTC), frozenset(), said))
    assert f"<p>Forward record: {said}.</p>" in read(lake, again, "report.html")
    assert "Forward record" not in read(lake, release, "report.html")
    assert again.version == release.version


def test_a_live_source_is_stale_by_the_clock_in_its_own_bars(lake: Lake, inputs: dict[str, Snapshot]) -> None:
    newest = BARS["ts"].max()
    assert isinstance(newest, datetime)
    fresh, old = newest + timedelta(days=10), newest + timedelta(days=10, hours=1)
    assert at_a_run(lake, inputs, "fresh", Outside(fresh, frozenset({"walk"})))
    assert at_a_run(lake, inputs, "historical", Outside(old, frozenset()))
    with pytest.raises(
        ReleaseRefused, match=r"the data of walk are stale: its newest bar was over 10\.0 bars ago"
    ) as caught:
        at_a_run(lake, inputs, "stale", Outside(old, frozenset({"walk", "a source without bars"})))
    rows = json.loads(caught.value.decisions or "")["rows"]
    assert len(rows) == lake.read_table(inputs["inference"].by_key["predictions"]).height, "for the forward record"


def test_a_source_that_is_down_stops_the_release_only_where_it_is_predicted_from(
    lake: Lake, inputs: dict[str, Snapshot]
) -> None:
    newest, down = BARS["ts"].max(), "walk:M2"
    assert isinstance(newest, datetime)
    is_down = pl.col("market_id") == down
    bars = BARS.filter(~is_down | (pl.col("ts") <= newest - timedelta(days=20))).with_columns(
        market_id=pl.when(is_down).then(pl.lit("down:M2")).otherwise(pl.col("market_id"))
    )
    made = inputs | {
        "features": features_snapshot(lake, bars, attempt="down"),
        "markets": markets_snapshot(lake, bars, attempt="down"),
        "ticks": ticks_snapshot(lake, bars, attempt="down"),
    }
    now = Outside(newest + timedelta(days=1), frozenset({"walk", "down"}))
    made["inference"] = compute(run_inference, lake, made, attempt="without")
    release = at_a_run(lake, made, "without", now)
    named = lake.read_table(release.by_key["predictions.parquet"]).get_column("market_id")
    assert set(named) == {"walk:M0", "walk:M1"}
    made["inference"] = compute(run_inference, lake, made, InferenceSettings(max_bar_age_bars=30.0), attempt="with")
    with pytest.raises(ReleaseRefused, match=r"the data of down are stale: its newest bar was over 21\.0 bars ago"):
        at_a_run(lake, made, "with", now)
