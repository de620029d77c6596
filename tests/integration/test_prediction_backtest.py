"""The backtest of real prediction markets recomputed by hand, from its trades, the bars and what the markets paid; and
live outcomes, which are the labels of their rows."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipelines.component import Pending, view_inputs
from pipelines.components.backtest import run_backtest
from pipelines.components.inference import Settings as InferenceSettings
from pipelines.components.inference import run_inference, settle_predictions
from pipelines.costs import DEFAULTS
from pipelines.lake import Lake
from pipelines.modelling.labels import usual_spacing, with_labels
from pipelines.snapshot import Snapshot
from pipelines.sources.sample import SampleSource
from pipelines.sources.sample import Settings as SampleSettings
from tests.modelling import compute, lake_at

EXACT = 1e-9
RULES = InferenceSettings(max_positions=80, max_weight=0.02)
HORIZON = 5


@dataclass(frozen=True)
class World:
    """Outputs of the components, the bars of each market, and its facts."""

    lake: Lake
    inputs: dict[str, Snapshot]
    done: Snapshot
    bars: pl.DataFrame
    markets: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("prediction")
    lake = lake_at(folder)
    source = SampleSource(SampleSettings(markets="prediction"), Path())
    costs = DEFAULTS["binary"].costs
    universe = source.markets().with_columns(
        half_spread=pl.lit(costs.half_spread), slippage=pl.lit(costs.slippage), fee=pl.lit(costs.fee)
    )
    bars = pl.concat([source.fetch(part).frame for part in source.probe().parts]).sort("market_id", "start")
    parts = [
        lake.write_table("features", f"bars/{year}", part.drop("year"), attempt="f", time="end")
        for (year,), part in sorted(bars.with_columns(year=pl.col("start").dt.strftime("%Y")).group_by("year"))
    ]
    markets = lake.write_table(
        "markets", "markets", universe.with_columns(history=pl.lit(None, pl.String)), attempt="m"
    )
    spacing = usual_spacing(bars)
    inputs = {"features": Snapshot("features", tuple(parts)), "markets": Snapshot("markets", (markets,))}
    card = {"spacing_seconds": dict(spacing.iter_rows()), "horizon_bars": HORIZON, "target": "moves"}
    inputs["model"] = forecasts(lake, bars.join(spacing, on="market_id"), card)
    rules = json.dumps(vars(RULES.rules(card))).encode()
    inputs["inference"] = Snapshot("inference", (lake.write_bytes("inference", "rules.json", rules, attempt="i"),))
    facts = {row["market_id"]: row for row in universe.iter_rows(named=True)}
    return World(lake, inputs, compute(run_backtest, lake, inputs), bars, facts)


def forecasts(lake: Lake, bars: pl.DataFrame, card: dict[str, Any]) -> Snapshot:
    """Strong opinions on some bars, out of nowhere: what matters is that much is traded, on both sides."""
    rng = np.random.default_rng(4)
    table = bars.select("market_id", ts="end", spacing_seconds="spacing_seconds").with_columns(
        probability=pl.when(pl.Series(rng.uniform(size=bars.height)) < 0.15).then(
            pl.Series(rng.uniform(size=bars.height))
        ),
        volatility=pl.lit(0.2),
        up=pl.lit(1.0),
        down=pl.lit(-1.0),
        error=pl.lit(0.1),
    )
    oof = lake.write_table("model", "oof/20240801T0000", table.sort("ts", "market_id"), attempt="m", time="ts")
    written = lake.write_bytes("model", "model.json", json.dumps(card).encode(), attempt="m")
    return Snapshot("model", (oof, written))


def contract(price: float, side: int) -> float:
    return 1 - price if side < 0 else price


def filled(world: World, market: str, price: float, side: int, direction: int) -> tuple[float, float]:
    """What one contract costs, or brings, at a market's price, and the fee for it."""
    facts, value = world.markets[market], contract(price, side)
    at = value + direction * (min(facts["half_spread"], price, 1 - price) + facts["slippage"])
    at = max(at, 0.0)
    return at, facts["fee"] * at * (1 - at)


def opened(world: World) -> dict[tuple[str, datetime], float]:
    return {(market, at): price for market, at, price in world.bars.select("market_id", "start", "open").iter_rows()}


def trades_of(world: World) -> list[dict[str, Any]]:
    """The trades, and positions still open at the end as trades without an exit."""
    closed = world.lake.read_tables(world.done.select("trades/")).to_dicts()
    state = json.loads(world.lake.read_bytes(world.done.select("checkpoint/")[-1]))["model"]
    place = {market: number for number, market in enumerate(state["markets"])}
    still = []
    for market in state["held"]:
        n = place[market]
        at = pl.Series([state["opened_at"][n]]).cast(pl.Datetime("us", "UTC")).item()
        position = {"market_id": market, "side": state["side"][n], "quantity": state["quantity"][n], "entry_at": at}
        still.append({**position, "exit_at": None, "reason": None, "pnl": None})
    return closed + still


def test_every_trade_is_what_the_bars_and_the_payout_say(world: World) -> None:
    opens, trades = opened(world), trades_of(world)
    reasons = {one["reason"] for one in trades}
    assert len(trades) > 300
    assert {"resolved", "horizon", "flip"} <= reasons
    assert {one["side"] for one in trades} == {1, -1}
    for one in trades:
        if one["exit_at"] is None:
            continue
        market, side, quantity = one["market_id"], one["side"], one["quantity"]
        paid, entry_fee = filled(world, market, opens[market, one["entry_at"]], side, 1)
        if one["reason"] == "resolved":
            assert one["exit_at"] == world.markets[market]["resolved_at"]
            got, exit_fee = contract(world.markets[market]["resolution"], side), 0.0
        else:
            got, exit_fee = filled(world, market, opens[market, one["exit_at"]], side, -1)
        assert one["entry_price"] == pytest.approx(paid, abs=EXACT)
        assert one["exit_price"] == pytest.approx(got, abs=EXACT)
        assert one["pnl"] == pytest.approx(quantity * (got - paid - entry_fee - exit_fee), abs=EXACT)


def test_the_equity_curve_is_cash_and_contracts_at_their_marks(world: World) -> None:
    """Cash is 1, less what was bought, and what was sold or paid; a contract is worth its market's last close."""
    opens, trades = opened(world), trades_of(world)
    marks = {
        str(market): part.sort("end").select("end", "close").rows()
        for (market,), part in world.bars.group_by("market_id")
    }
    curve = world.lake.read_tables(world.done.select("equity/")).filter(pl.col("strategy") == "model")
    for at, equity, cash in curve.select("ts", "equity", "cash").iter_rows():
        money, worth = 1.0, 0.0
        for one in trades:
            if one["entry_at"] >= at:
                continue
            market, side, quantity = one["market_id"], one["side"], one["quantity"]
            paid, fee = filled(world, market, opens[market, one["entry_at"]], side, 1)
            money -= quantity * (paid + fee)
            if is_over(one, at):
                payout = contract(world.markets[market]["resolution"] or 0.0, side), 0.0
                is_paid = one["reason"] == "resolved"
                got, exit_fee = payout if is_paid else filled(world, market, opens[market, one["exit_at"]], side, -1)
                money += quantity * (got - exit_fee)
            else:
                price = last_price(marks[market], one["entry_at"], at, opens[market, one["entry_at"]])
                worth += quantity * contract(price, side)
        assert cash == pytest.approx(money, abs=EXACT)
        assert equity == pytest.approx(money + worth, abs=EXACT)


def is_over(trade: dict[str, Any], at: datetime) -> bool:
    """A payout counts at its instant, a fill after what is known then."""
    end = trade["exit_at"]
    return end is not None and (end < at or (end == at and trade["reason"] == "resolved"))


def last_price(closes: Sequence[tuple[datetime, float]], entry: datetime, at: datetime, otherwise: float) -> float:
    number = bisect_right(closes, at, key=lambda one: one[0]) - 1
    return closes[number][1] if number >= 0 and closes[number][0] > entry else otherwise


def test_live_outcomes_are_the_labels_of_their_rows(world: World) -> None:
    """Of every row of every resolved market: settled as a live prediction, labelled as a row to train on."""
    bars = world.bars.rename({"end": "ts"}).select("market_id", "ts", "open", "close")
    table = world.lake.read_table(world.inputs["markets"].partitions[0])
    labels = with_labels(bars, usual_spacing(world.bars), HORIZON, table)
    resolved = [name for name, facts in world.markets.items() if facts["resolution"] is not None]
    rows = labels.filter(pl.col("market_id").is_in(resolved))
    listed = rows.select("market_id", "ts", "label", "forward_return").rows()
    pending = [Pending(number, market, ts, ts, HORIZON) for number, (market, ts, _, _) in enumerate(listed)]
    views = view_inputs(run_inference, {name: world.inputs[name] for name in run_inference.upstream}, {}, world.lake)
    settled = {one.id: (one.outcome, one.realized_return) for one in settle_predictions(views, pending)}
    assert len(settled) > 20_000
    assert settled == {n: (label, change) for n, (_, _, label, change) in enumerate(listed) if label is not None}
