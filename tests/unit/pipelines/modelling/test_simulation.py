"""The simulation: accounting, resuming, settlement, limits, and three other implementations of the same."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipelines.costs import Costs
from pipelines.decision import Holding, Rules, wanted_side
from pipelines.modelling.fast import compiled
from pipelines.modelling.kernel import REASONS, Closes, Opens
from pipelines.modelling.random_entries import draw_entries
from pipelines.modelling.simulation import simulate
from tests.examples import examples
from tests.rowwise_simulation import Row, simulate_rows
from tests.simulation import (
    BINARY,
    COSTS,
    MINUTE,
    RULES,
    histories,
    paid_out,
    piece_of,
    rows_from,
    rule_sets,
    run,
    settled,
)


@settings(max_examples=examples(25))
@given(histories, rule_sets)
def test_as_bar_by_bar(rows: list[Row], rules: Rules) -> None:
    assume(rows)
    got, old = run(piece_of(rows), rules), simulate_rows(rows, rules, COSTS, MINUTE)
    curve = got.curves["model"]
    assert curve.at.tolist() == [at for at, _, _ in old.curve]
    assert curve.equity.tolist() == pytest.approx([equity for _, equity, _ in old.curve], rel=1e-12, abs=1e-12)
    assert curve.cash.tolist() == pytest.approx([cash for _, _, cash in old.curve], rel=1e-12, abs=1e-12)
    names = piece_of(rows).names
    trades = sorted(
        (names[m], side, entry, out, price, left, pnl)
        for m, side, entry, out, price, left, pnl in zip(
            *(
                getattr(got.trades, n).tolist()
                for n in ("market", "side", "entry_at", "exit_at", "entry_price", "exit_price", "pnl")
            ),
            strict=True,
        )
    )
    expected = sorted(old.trades)
    assert [trade[:4] for trade in trades] == [trade[:4] for trade in expected]
    for one, other in zip(trades, expected, strict=True):
        assert one[4:] == pytest.approx(other[4:], rel=1e-12, abs=1e-12)


@settings(max_examples=examples(10), deadline=None)
@given(histories, rule_sets, paid_out)
def test_compiled_as_interpreted(rows: list[Row], rules: Rules, paid: list[float]) -> None:
    assume(rows)
    for piece in (piece_of(rows), settled(rows, paid)):
        one, other = run(piece, rules), simulate(piece, {}, rules, compiled())
        assert one.state == other.state
        for name, curve in one.curves.items():
            assert all(np.array_equal(a, b) for a, b in zip(curve, other.curves[name], strict=True))
        assert all(np.array_equal(a, b) for a, b in zip(one.trades, other.trades, strict=True))


@pytest.mark.audit
@settings(max_examples=examples(5), deadline=None)
@given(histories)
def test_fills_through_vectorbt_earn_the_same(rows: list[Row]) -> None:
    assume(len({row.ts for row in rows}) > 3)
    import pandas as pd
    import vectorbt as vbt

    piece = piece_of(rows)
    got = run(piece)
    times = sorted({row.start for row in rows} | {int(at) for at in got.trades.exit_at})
    place = {at: n for n, at in enumerate(times)}
    size, price = np.zeros((len(times), len(piece.names))), np.ones((len(times), len(piece.names)))
    trades = got.trades
    for market, side, quantity, entry, out, begin, end in zip(
        trades.market,
        trades.side,
        trades.quantity,
        trades.entry_price,
        trades.exit_price,
        trades.entry_at,
        trades.exit_at,
        strict=True,
    ):
        size[place[begin], market] += side * quantity
        price[place[begin], market] = entry
        if place[begin] == place[end]:
            return  # in and out at one instant: one cell cannot say both
        # A position turned round is one order of both quantities, if both are filled at one price.
        if size[place[end], market] != 0 and price[place[end], market] != out:
            return
        size[place[end], market] -= side * quantity
        price[place[end], market] = out
    # vectorbt goes through an instant market by market, so a purchase may come before the sale that pays for it.
    cash = 100.0
    portfolio = vbt.Portfolio.from_orders(
        pd.DataFrame(price), pd.DataFrame(size), fees=COSTS.fee, init_cash=cash, cash_sharing=True, group_by=True
    )
    assert float(portfolio.final_value()) - cash == pytest.approx(float(trades.pnl.sum()), abs=1e-9)


@settings(max_examples=examples(25))
@given(histories, rule_sets)
def test_profits_of_trades_and_open_positions_make_the_change_of_equity(rows: list[Row], rules: Rules) -> None:
    assume(rows)
    got = run(piece_of(rows), rules)
    book, curve = got.state["model"], got.curves["model"]
    place = {name: n for n, name in enumerate(book["markets"])}
    open_ = [place[name] for name in book["held"]]
    unrealized = sum(
        book["side"][n] * book["quantity"][n] * (book["mark"][n] - book["entry_price"][n]) - book["entry_fee"][n]
        for n in open_
    )
    assert float(got.trades.pnl.sum()) + unrealized == pytest.approx(curve.equity[-1] - 1, abs=1e-9)
    paid = float(got.trades.costs.sum()) + sum(book["entry_fee"][n] + book["entry_slippage"][n] for n in open_)
    assert paid == pytest.approx(float(curve.paid.sum()), abs=1e-9)


@settings(max_examples=examples(25))
@given(histories, rule_sets)
def test_limits_hold(rows: list[Row], rules: Rules) -> None:
    assume(rows)
    got = run(piece_of(rows), rules)
    assert len(got.state["model"]["held"]) <= rules.max_positions
    assert (got.curves["model"].cash >= -1e-9).all()
    assert rules.allow_short or (got.trades.side == 1).all()


@settings(max_examples=examples(25))
@given(histories, rule_sets)
def test_no_entry_before_its_signal_was_known_and_none_without(rows: list[Row], rules: Rules) -> None:
    assume(rows)
    made = {(row.market, row.ts): row.side for row in rows}
    piece = piece_of(rows)
    trades = run(piece, rules).trades
    for market, side, signal, entry, out in zip(
        trades.market, trades.side, trades.signal_at, trades.entry_at, trades.exit_at, strict=True
    ):
        assert made[piece.names[market], signal] == side
        assert signal <= entry <= out


@settings(max_examples=examples(25))
@given(histories, rule_sets)
def test_positions_follow_the_decision_rule(rows: list[Row], rules: Rules) -> None:
    """Every exit is what `wanted_side` said at the bar before it, and none that it said is missed."""
    assume(rows)
    piece = piece_of(rows)
    trades = run(piece, rules).trades
    for market, side, entry, out, reason in zip(
        trades.market, trades.side, trades.entry_at, trades.exit_at, trades.reason, strict=True
    ):
        if REASONS[reason] == "silent":
            continue
        holding = Holding(int(side), rules.horizon_bars)
        for row in rows:
            if row.market != piece.names[market] or row.ts <= entry or row.ts > out:
                continue
            left = rules.horizon_bars if row.side == side else holding.bars_left - 1
            holding = Holding(int(side), left)
            wanted = wanted_side(holding.side, left, row.side, rules.allow_short)
            next_start = min((r.start for r in rows if r.market == row.market and r.start >= row.ts), default=None)
            assert (wanted != side) == (next_start == out)


@settings(max_examples=examples(25))
@given(histories, paid_out, rule_sets)
def test_binary_markets_recomputed_from_trades_and_payouts(rows: list[Row], paid: list[float], rules: Rules) -> None:
    assume(rows)
    piece = settled(rows, paid)
    got = run(piece, rules)
    assert got.state["model"]["held"] == []  # everything was paid out in the end
    equity = 1.0
    for market, side, quantity, entry, out, reason in zip(
        *(getattr(got.trades, n) for n in ("market", "side", "quantity", "entry_price", "exit_price", "reason")),
        strict=True,
    ):
        payoff = paid[int(piece.names[market][1])]
        if REASONS[reason] == "resolved":
            assert out == (payoff if side > 0 else 1 - payoff)
        fees = quantity * 0.07 * (entry * (1 - entry) + (0 if REASONS[reason] == "resolved" else out * (1 - out)))
        equity += quantity * (out - entry) - fees
        assert 0 < entry < 1
        assert quantity * (out - entry) <= quantity * (1 - entry) + 1e-12  # the edge is within the payoff
    assert equity == pytest.approx(got.curves["model"].equity[-1], abs=1e-9)
    assert (got.curves["model"].equity >= -1e-12).all()  # a contract can lose what it cost, no more
    held = got.state["buy_and_hold"]
    assert held["held"] == []
    assert held["sums"][0] == pytest.approx(got.curves["buy_and_hold"].equity[-1])


def test_no_is_bought_where_yes_would_be_sold_and_pays_when_it_does_not_happen() -> None:
    rows = [Row(n * MINUTE, "m0", (n - 1) * MINUTE, 0.6, 0.6, -1 if n == 1 else 0, 0.1) for n in (1, 2, 3)]
    piece = piece_of(rows, BINARY, [(9 * MINUTE, "m0", 0.0)])
    trades = run(piece, replace(RULES, allow_short=False)).trades
    assert (trades.side.tolist(), REASONS[trades.reason[0]]) == ([-1], "resolved")
    assert trades.entry_price[0] == pytest.approx(1 - (0.6 - 0.01))  # one minus the bid
    assert trades.exit_price[0] == 1.0
    fee = trades.quantity[0] * 0.07 * trades.entry_price[0] * (1 - trades.entry_price[0])
    assert trades.pnl[0] == pytest.approx(trades.quantity[0] * (1 - trades.entry_price[0]) - fee)


def test_nothing_trades_after_a_payout() -> None:
    rows = [Row(n * MINUTE, "m0", (n - 1) * MINUTE, 0.5, 0.5, 1, 0.1) for n in range(1, 9)]
    piece = piece_of(rows, BINARY, [(4 * MINUTE, "m0", 1.0)])
    got = run(piece)
    assert [REASONS[n] for n in got.trades.reason] == ["resolved"]
    assert got.state["model"]["held"] == got.state["buy_and_hold"]["held"] == []


@given(st.lists(st.integers(-60, 200), min_size=5, max_size=30), st.integers(0, 2))
def test_equity_is_never_below_zero_without_ruin(steps: list[int], first: int) -> None:
    """Shorts in a market that jumps by up to 200 % a bar."""
    rows, last = [], 100.0
    for n, step in enumerate(steps):
        close = max(0.01, last * (1 + step / 100))
        rows.append(Row((n + 1) * MINUTE, "m0", n * MINUTE, last, close, -1 if n >= first else 0, 0.1))
        last = close
    got = run(piece_of(rows), replace(RULES, max_positions=1, max_weight=1.0))
    below = got.curves["model"].equity <= 0
    ruined = got.state["model"]["is_ruined"] == 1
    assert ruined == bool(below.any())
    if below.any():
        assert (got.curves["model"].equity[int(np.argmax(below)) :] == got.curves["model"].equity[-1]).all()
        assert not got.state["model"]["held"]


def test_a_short_sale_that_doubles_is_called_before_it_ruins() -> None:
    closes = [100, 100, 130, 170, 171, 171]
    opens = [100, 100, 100, 130, 170, 171]
    rows = [
        Row((n + 1) * MINUTE, "m0", n * MINUTE, float(opens[n]), float(closes[n]), -1 if n == 0 else 0, 0.1)
        for n in range(6)
    ]
    got = run(piece_of(rows, Costs()), replace(RULES, max_positions=1, max_weight=1.0))
    assert [REASONS[n] for n in got.trades.reason] == ["margin_call"]
    assert got.trades.exit_price.tolist() == [170.0]
    ruin = [row._replace(close=250.0) if n == 2 else row for n, row in enumerate(rows)]
    got = run(piece_of(ruin, Costs()), replace(RULES, max_positions=1, max_weight=1.0))
    assert [REASONS[n] for n in got.trades.reason] == ["ruined"]
    assert got.curves["model"].equity[-1] == pytest.approx(1 - 1.5)


def test_each_interval_goes_by_its_own_clock() -> None:
    """A bar of an hour fills at its own start: the money is spent before the minute bars within that hour ask."""
    hour = 60 * MINUTE
    slow = [Row((n + 1) * hour, "slow", n * hour, 100.0, 100.0, 1 if n == 0 else 0, 0.2) for n in range(3)]
    fast = [Row((n + 1) * MINUTE, "fast", n * MINUTE, 100.0, 100.0, 1 if n == 65 else 0, 0.9) for n in range(60, 130)]
    rows = sorted([*slow, *fast])
    got = run(piece_of(rows, spacing=hour), replace(RULES, max_positions=1, max_weight=1.0))
    trades = got.trades
    opened = [at for at in got.state["model"]["opened_at"] if at] + trades.entry_at.tolist()
    assert min(opened) == hour  # the slow one was in first, whose bar is known only at the end of the hour
    assert piece_of(rows).names[int(trades.market[0])] == "slow" if len(trades.market) else True
    assert "fast" not in got.state["model"]["held"]


@settings(max_examples=examples(30))
@given(histories, st.data(), st.booleans(), paid_out)
def test_in_pieces_as_in_one(rows: list[Row], data: st.DataObject, is_binary: bool, paid: list[float]) -> None:
    assume(rows)
    whole_piece = settled(rows, paid) if is_binary else piece_of(rows)
    whole = run(whole_piece)
    times = sorted({*whole_piece.closes.at.tolist()})
    cuts = sorted(data.draw(st.sets(st.sampled_from(times), max_size=4)))
    state: dict[str, Any] = {}
    parts = []
    for low, high in itertools.pairwise([-1, *cuts, times[-1]]):
        ends = (whole_piece.closes.at > low) & (whole_piece.closes.at <= high)
        begins = (whole_piece.opens.at >= low) & (whole_piece.opens.at < high)
        piece = replace(
            whole_piece,
            closes=Closes(*(column[ends] for column in whole_piece.closes)),
            opens=Opens(*(column[begins] for column in whole_piece.opens)),
        )
        parts.append(run(piece, state=json.loads(json.dumps(state))))  # as a checkpoint file keeps it
        state = parts[-1].state
    for name, curve in whole.curves.items():
        for field, column in zip(curve._fields, curve, strict=True):
            assert np.concatenate([getattr(part.curves[name], field) for part in parts]).tolist() == column.tolist()
    for field, column in zip(whole.trades._fields, whole.trades, strict=True):
        assert np.concatenate([getattr(part.trades, field) for part in parts]).tolist() == column.tolist()
    assert state == whole.state


def test_enters_at_the_next_open_and_leaves_after_the_horizon() -> None:
    rows = rows_from([[(0, 0, True)], [(0, 1, True)], *[[(1, 0, True)]] * 8])
    trades = run(piece_of(rows)).trades
    assert trades.entry_at[0] == 2 * MINUTE  # open of the bar after the signal at minute 2
    assert trades.entry_price[0] == pytest.approx(rows[2].open * 1.0005)
    assert (trades.bars_held[0], REASONS[trades.reason[0]]) == (3, "horizon")
    assert trades.exit_at[0] == rows[5].start
    assert trades.exit_price[0] == pytest.approx(rows[5].open * 0.9995)


def test_the_other_side_ends_a_position_early_and_turns_it_round() -> None:
    rows = rows_from([[(0, 1, True)], [(1, 0, True)], [(1, -1, True)], [(1, 0, True)], [(1, 0, True)]])
    got = run(piece_of(rows))
    assert [(side, REASONS[n]) for side, n in zip(got.trades.side, got.trades.reason, strict=True)] == [(1, "flip")]
    assert got.state["model"]["side"] == [-1]
    assert run(piece_of(rows), replace(RULES, allow_short=False)).state["model"]["held"] == []


def test_a_market_that_falls_silent_is_given_up_and_bought_again_when_it_comes_back() -> None:
    silent = [[(0, 0, False), (0, 0, True)]] * 20
    start = [[(0, 1, True), (0, 0, True)], [(0, 0, True), (0, 0, True)]]
    got = run(piece_of(rows_from([*start, *silent])))
    assert [REASONS[n] for n in got.trades.reason] == ["silent"]
    assert "m0" not in got.state["buy_and_hold"]["held"]
    back = run(piece_of(rows_from([*start, *silent, [(0, 0, True), (0, 0, True)]])))
    assert sorted(back.state["buy_and_hold"]["held"]) == ["m0", "m1"]


def test_stronger_signals_come_first() -> None:
    got = run(piece_of(rows_from([[(0, 1, True)] * 4, [(0, 0, True)] * 4])))
    assert sorted(got.state["model"]["held"]) == ["m2", "m3"]


def test_buy_and_hold_is_an_equal_weight_of_all_markets() -> None:
    rows = rows_from([[(0, 0, True)] * 4, [(10, 0, True), (0, 0, True), (0, 0, True), (0, 0, True)]])
    curve = run(piece_of(rows, Costs(), start=MINUTE)).curves["buy_and_hold"]
    assert curve.equity[0] == 1.0
    gain = sum(change / 1.001 - 1 for change in (1.1, 1.0, 1.0, 1.0)) / 4
    assert curve.equity[-1] == pytest.approx(1 + gain)


def test_random_entries_differ_by_seed_repeat_by_seed_and_cost_what_trades_cost() -> None:
    rows = rows_from([[((m * n) % 5 - 2, 1 if (n + m) % 4 == 0 else 0, True) for m in range(4)] for n in range(60)])
    piece = piece_of(rows)
    trades = run(piece).trades
    one, same, other = (draw_entries(piece, trades, seed, "k", draws=20) for seed in (1, 1, 2))
    assert one.growth.tolist() == same.growth.tolist() != other.growth.tolist()
    assert one.trades == len(trades.side) > 5
    flat = [row._replace(open=100.0, close=100.0) for row in rows]
    still = piece_of(flat)
    made = run(still).trades
    drawn = draw_entries(still, made, 1, "k", draws=5)
    assert drawn.growth.tolist() == pytest.approx([drawn.own_growth] * 5)  # nothing moves: chance pays the same costs
    assert drawn.own_growth < 0
