"""The simulation: accounting, resuming, position limits, and the random baseline."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.costs import Costs
from pipelines.modelling.simulation import Quote, Rules, Segment, simulate

SECOND = 1_000_000
RULES = Rules(
    horizon_bars=3,
    allow_short=True,
    max_positions=2,
    max_weight=0.4,
    costs=Costs.from_bps(10, 5),
    seed=1,
    start=60 * SECOND,
)


def quotes_from(rows: list[list[tuple[int, int, bool]]]) -> list[Quote]:
    """Minute bars: for each minute and market (price step in %, signal, whether there is a bar)."""
    quotes = []
    last = [100.0] * 4
    for minute, markets in enumerate(rows, start=1):
        for market, (step, side, exists) in enumerate(markets):
            if not exists:
                continue
            close = max(1.0, last[market] * (1 + step / 100))
            start = (minute - 1) * 60 * SECOND
            opened = last[market] * 1.001
            quotes.append(Quote(start + 60 * SECOND, f"m{market}", start, opened, close, 60, side, 0.1 * (market + 1)))
            last[market] = close
    return quotes


bar = st.tuples(st.integers(-5, 5), st.sampled_from([0, 0, 1, -1]), st.sampled_from([True, True, True, False]))
histories = st.lists(st.tuples(bar, bar, bar, bar).map(list), min_size=2, max_size=40).map(quotes_from)
rule_sets = st.builds(
    lambda short, positions, weight: replace(RULES, allow_short=short, max_positions=positions, max_weight=weight),
    st.booleans(),
    st.integers(1, 4),
    st.sampled_from([0.1, 0.5, 1.0]),
)


def run(quotes: list[Quote], rules: Rules = RULES, state: dict[str, Any] | None = None, key: str = "k") -> Segment:
    return simulate(quotes, state or {}, rules, key)


@given(histories, rule_sets)
def test_cash_and_positions_are_equity(quotes: list[Quote], rules: Rules) -> None:
    piece = run(quotes, rules)
    for name, curve in piece.curves.items():
        book = piece.state[name]
        held = sum(p["quantity"] * book["marks"][m]["price"] for m, p in book["positions"].items())
        if curve:
            assert curve[-1].equity == pytest.approx(book["cash"] + held, abs=1e-9)
            assert curve[-1].cash == pytest.approx(book["cash"], abs=1e-12)


@given(histories, rule_sets)
def test_profits_of_trades_and_open_positions_make_the_change_of_equity(quotes: list[Quote], rules: Rules) -> None:
    piece = run(quotes, rules)
    for name in ("model", "random_entry"):
        curve, book = piece.curves[name], piece.state[name]
        if not curve:
            continue
        realized = sum(trade.pnl for trade in piece.trades[name])
        unrealized = sum(
            p["quantity"] * (book["marks"][m]["price"] - p["price"]) - p["fee"] for m, p in book["positions"].items()
        )
        assert realized + unrealized == pytest.approx(curve[-1].equity - 1, abs=1e-9)
        paid = sum(trade.costs for trade in piece.trades[name])
        paid += sum(p["fee"] + p["slippage"] for p in book["positions"].values())
        assert paid == pytest.approx(sum(point.costs for point in curve), abs=1e-9)


@given(histories, rule_sets)
def test_limits_hold(quotes: list[Quote], rules: Rules) -> None:
    for name in ("model", "random_entry"):
        piece = run(quotes, rules)
        assert len(piece.state[name]["positions"]) <= rules.max_positions
        for point in piece.curves[name]:
            assert point.cash >= -1e-9
        if not rules.allow_short:
            assert all(trade.side == 1 for trade in piece.trades[name])


@given(histories, rule_sets)
def test_no_entry_before_its_signal_was_known(quotes: list[Quote], rules: Rules) -> None:
    made = {(quote.market, quote.ts): quote.side for quote in quotes}
    piece = run(quotes, rules)
    for trade in piece.trades["model"]:
        assert trade.signal_at is not None
        assert made[trade.market_id, trade.signal_at] == trade.side
        assert trade.signal_at <= trade.entry_at <= trade.exit_at
    for name in ("random_entry", "buy_and_hold"):
        assert all(trade.signal_at is None for trade in piece.trades[name])


def test_a_bar_that_begins_before_the_signal_is_known_is_not_traded() -> None:
    signal = Quote(600 * SECOND, "m", 0, 100.0, 100.0, 600, 1, 0.1)
    beside = Quote(700 * SECOND, "m", 100 * SECOND, 100.0, 100.0, 600, 0, 0.0)  # such bars are refused; if they came
    after = Quote(1300 * SECOND, "m", 700 * SECOND, 100.0, 100.0, 600, 0, 0.0)
    piece = run([signal, beside, after])
    assert piece.state["model"]["positions"] == {}


@settings(max_examples=60)
@given(histories, st.data())
def test_in_pieces_as_in_one(quotes: list[Quote], data: st.DataObject) -> None:
    times = sorted({quote.ts for quote in quotes})
    cuts = sorted(data.draw(st.sets(st.sampled_from(times or [0]), max_size=4)))
    edges = [0, *cuts, max(times or [0]) + 1]
    pieces = [[q for q in quotes if low <= q.ts < high] for low, high in itertools.pairwise(edges)]
    resume_at = data.draw(st.integers(0, len(pieces)))
    state: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    whole = []
    for number, part in enumerate(pieces):
        if number == resume_at:
            kept = json.loads(json.dumps(state))  # as a checkpoint file keeps it
        piece = run(part, state=state, key=str(number))
        state = piece.state
        whole.append((piece.curves, piece.trades))
    again = []
    resumed: dict[str, Any] = kept
    for number, part in enumerate(pieces[resume_at:], start=resume_at):
        piece = run(part, state=resumed, key=str(number))
        resumed = json.loads(json.dumps(piece.state))
        again.append((piece.curves, piece.trades))
    assert again == whole[resume_at:]


@settings(max_examples=60)
@given(histories, st.data())
def test_the_models_curve_does_not_depend_on_the_cuts(quotes: list[Quote], data: st.DataObject) -> None:
    cut = data.draw(st.sampled_from(sorted({quote.ts for quote in quotes}) or [0]))
    first = run([q for q in quotes if q.ts < cut])
    second = run([q for q in quotes if q.ts >= cut], state=first.state)
    whole = run(quotes)
    for name in ("model", "buy_and_hold"):
        assert first.curves[name] + second.curves[name] == whole.curves[name]
        assert first.trades[name] + second.trades[name] == whole.trades[name]


def test_enters_at_the_next_open_and_leaves_after_the_horizon() -> None:
    rows = [[(0, 0, True)], [(0, 1, True)], *[[(1, 0, True)]] * 8]
    quotes = quotes_from(rows)
    trade = run(quotes).trades["model"][0]
    assert trade.entry_at == 2 * 60 * SECOND  # open of the bar after the signal at minute 2
    assert trade.entry_price == pytest.approx(quotes[2].open * 1.0005)
    assert (trade.bars_held, trade.reason) == (3, "horizon")
    assert trade.exit_at == quotes[5].start
    assert trade.exit_price == pytest.approx(quotes[5].open * 0.9995)


def test_a_flipped_signal_ends_a_position_early_and_turns_it_round() -> None:
    rows = [[(0, 1, True)], [(1, 0, True)], [(1, -1, True)], [(1, 0, True)], [(1, 0, True)]]
    piece = run(quotes_from(rows))
    assert [(t.side, t.reason) for t in piece.trades["model"]] == [(1, "flip")]
    assert piece.state["model"]["positions"]["m0"]["quantity"] < 0
    long_only = run(quotes_from(rows), replace(RULES, allow_short=False))
    assert long_only.state["model"]["positions"] == {}


def test_a_market_that_falls_silent_is_given_up() -> None:
    rows = [[(0, 1, True), (0, 0, True)], [(0, 0, True), (0, 0, True)]]
    rows += [[(0, 0, False), (0, 0, True)]] * 20
    piece = run(quotes_from(rows))
    assert [trade.reason for trade in piece.trades["model"]] == ["silent"]
    assert "m0" not in piece.state["buy_and_hold"]["positions"]


def test_stronger_signals_come_first() -> None:
    rows = [[(0, 1, True)] * 4, [(0, 0, True)] * 4]
    piece = run(quotes_from(rows))
    assert sorted(piece.state["model"]["positions"]) == ["m2", "m3"]


def test_buy_and_hold_is_an_equal_weight_of_all_markets() -> None:
    rows = [[(0, 0, True)] * 4, [(10, 0, True), (0, 0, True), (0, 0, True), (0, 0, True)]]
    free = replace(RULES, costs=Costs())
    piece = run(quotes_from(rows), free)
    assert piece.curves["buy_and_hold"][0].equity == 1.0
    gain = sum(change / 1.001 - 1 for change in (1.1, 1.0, 1.0, 1.0)) / 4
    assert piece.curves["buy_and_hold"][-1].equity == pytest.approx(1 + gain)


@given(histories)
def test_random_entries_turn_over_as_much_as_the_model(quotes: list[Quote]) -> None:
    piece = run(quotes)
    done = {name: len(piece.trades[name]) + len(piece.state[name]["positions"]) for name in ("model", "random_entry")}
    entries_left = sum(side != 0 for side, _ in piece.state["backlog"])
    given_up = sum(trade.reason == "silent" for name in done for trade in piece.trades[name])
    assert abs(done["model"] - done["random_entry"] - entries_left) <= given_up


def test_random_entries_differ_by_seed_and_repeat_by_seed() -> None:
    rows = [[((m * n) % 5 - 2, 1 if (n + m) % 4 == 0 else 0, True) for m in range(4)] for n in range(60)]
    quotes = quotes_from(rows)
    one, same, other = (run(quotes, replace(RULES, seed=seed)).curves["random_entry"] for seed in (1, 1, 2))
    assert one == same
    assert one != other
