"""When the kill switch fires: exactly at the limit, whatever was paid in or out, and never by a price nobody quoted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.trading.kill_switch import Cause, Fired, Limits, Reading, decide_kill, distances
from agent.trading.measures.flows import Baseline, after_flow
from agent.trading.measures.marks import Mark, MarkKind, is_reading, mark_of
from agent.trading.model import Quote
from agent.trading.steps.closing import limit_behind

D = Decimal
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
AGE = timedelta(seconds=120)
SEED = Limits(loss=D("0.02"), drawdown=D("0.05"), gain=D("0.05"))
OFF = Limits(loss=None, drawdown=None, gain=None)


def fired(equity: str, initial: str = "10000", peak: str = "10000", limits: Limits = SEED) -> Fired | None:
    return decide_kill(Reading(D(equity), D(initial), D(peak)), limits)


def cause(equity: str, initial: str = "10000", peak: str = "10000", limits: Limits = SEED) -> Cause | None:
    found = fired(equity, initial, peak, limits)
    return None if found is None else found.cause


@pytest.mark.parametrize(
    ("equity", "initial", "peak", "expected"),
    [
        ("9800", "10000", "10000", Cause.LOSS_LIMIT),
        ("9800.01", "10000", "10000", None),
        ("10500", "10000", "10500", Cause.PROFIT_TARGET),
        ("10499.99", "10000", "10499.99", None),
        ("11400", "12000", "12000", Cause.LOSS_LIMIT),  # loss and drawdown at once: the loss goes first
        ("11400", "11000", "12000", Cause.DRAWDOWN_LIMIT),
        ("11400.01", "11000", "12000", None),
        ("12600", "11000", "14000", Cause.DRAWDOWN_LIMIT),  # gain and drawdown at once
        ("0", "10000", "10000", Cause.LOSS_LIMIT),
        ("-5", "10000", "10000", Cause.LOSS_LIMIT),
    ],
)
def test_it_fires_exactly_at_the_limit(equity: str, initial: str, peak: str, expected: Cause | None) -> None:
    assert cause(equity, initial, peak) == expected


def test_what_was_measured_is_told() -> None:
    assert fired("9790") == Fired(Cause.LOSS_LIMIT, D("0.02"), D("0.021"))
    assert fired("10600", peak="10600") == Fired(Cause.PROFIT_TARGET, D("0.05"), D("0.06"))


def test_off_is_off() -> None:
    assert cause("1", limits=OFF) is None
    assert cause("99999", limits=OFF) is None


def test_a_person_goes_first_even_without_a_reading() -> None:
    stale = Reading(D(10000), D(10000), D(10000), stale=True)
    assert decide_kill(stale, OFF, asked=Cause.PERSON) == Fired(Cause.PERSON)
    assert decide_kill(stale, SEED, asked=Cause.KILL_FILE) == Fired(Cause.KILL_FILE)


def test_a_stale_reading_is_none_and_kills_only_where_that_was_wanted() -> None:
    kills = Limits(loss=D("0.02"), drawdown=None, gain=None, stale_kills=True)
    for before, expected in ((0, None), (1, None), (2, Cause.STALE_MARKS), (5, Cause.STALE_MARKS)):
        reading = Reading(D(1), D(10000), D(10000), stale=True, stale_before=before)
        found = decide_kill(reading, kills)
        assert (found and found.cause) == expected
        assert decide_kill(reading, SEED) is None


def test_a_deposit_hides_no_loss() -> None:
    """Acceptance test 6."""
    base = after_flow(Baseline(D(10000), D(10000)), D(10000), D(1000))
    assert base == Baseline(D(11000), D(11000))
    assert cause("10780", str(base.initial), str(base.peak)) == Cause.LOSS_LIMIT
    assert cause("10780.01", str(base.initial), str(base.peak)) is None


@pytest.mark.parametrize("flow", ["100000", "-9000"])
def test_a_flow_leaves_the_drawdown_as_it_is(flow: str) -> None:
    base = after_flow(Baseline(D(10000), D(10000)), D(9700), D(flow))
    equity = D(9700) + D(flow)
    assert abs((base.peak - equity) / base.peak - D("0.03")) < D("1E-18")
    limits = Limits(loss=None, drawdown=D("0.0300001"), gain=None)
    assert decide_kill(Reading(equity, base.initial, base.peak), limits) is None


@pytest.mark.parametrize(("equity", "flow"), [("100", "-100"), ("100", "-101"), ("0", "100"), ("-1", "100")])
def test_a_flow_that_leaves_nothing_ends_the_trader(equity: str, flow: str) -> None:
    with pytest.raises(ValueError, match="leave nothing"):
        after_flow(Baseline(D(100), D(100)), D(equity), D(flow))


amounts = st.decimals(min_value=1, max_value=10**9, places=2)


@given(amounts, amounts, amounts, st.decimals(min_value="-0.9", max_value=100, places=4))
def test_flows_change_no_gain_and_no_drawdown(equity: Decimal, initial: Decimal, peak: Decimal, share: Decimal) -> None:
    flow = (equity * share).quantize(D("0.01"))
    if equity + flow <= 0:
        return
    before = Baseline(initial, max(peak, equity))
    after = after_flow(before, equity, flow)
    for name in ("initial", "peak"):
        was, now = equity / getattr(before, name), (equity + flow) / getattr(after, name)
        assert abs(was - now) <= was * D("1E-12")


def test_the_peak_never_falls() -> None:
    base = Baseline(D(100), D(120))
    assert base.seen(D(110)).peak == 120
    assert base.seen(D(130)).peak == 130


def test_a_restart_resets_no_loss() -> None:
    """Acceptance test 7: after -1.5 %, -0.6 % more fires, since E0 is kept."""
    assert cause("9850") is None
    assert cause(str(D("9850") * (1 - D("0.006")))) == Cause.LOSS_LIMIT


# --- marks ---------------------------------------------------------------------------------------------------------


def quote(bid: str | None, ask: str | None, age: int = 0, last: str | None = None, last_age: int = 0) -> Quote:
    return Quote(
        market_id="m",
        ts=NOW - timedelta(seconds=age),
        bid=None if bid is None else D(bid),
        ask=None if ask is None else D(ask),
        last=None if last is None else D(last),
        last_ts=None if last is None else NOW - timedelta(seconds=last_age),
    )


def marked(quantity: int, now: Quote | None, last_book: Quote | None = None) -> tuple[str, str, bool] | None:
    found = mark_of(D(quantity), now, now=NOW, max_age=AGE, last_book=last_book)
    return None if found is None else (str(found.price), str(found.kind), found.is_stale)


def test_a_mark_is_what_closing_would_bring() -> None:
    assert marked(1, quote("99", "101")) == ("99", "quote", False)
    assert marked(-1, quote("99", "101")) == ("101", "quote", False)
    assert marked(1, quote("99", "101", age=120)) == ("99", "quote", False)
    assert marked(1, quote("99", "101", age=121)) == ("100", "last_book", True)
    assert marked(1, quote("50", "150", last="90")) == ("90", "last_trade", False)
    assert marked(1, quote("50", "150", last="90", last_age=121)) == ("90", "last_trade", True)
    assert marked(1, quote("0", "0.01", last="0")) == ("0", "last_trade", True)  # nothing is no value
    assert marked(1, quote("50", "150")) is None
    assert marked(1, None) is None


def test_a_bid_that_disappears_is_no_loss() -> None:
    """Acceptance test 24: a binary market without a bid is valued by its last good book, and that is no reading."""
    before = quote("0.48", "0.50", age=60)
    assert marked(100, quote(None, "0.50"), before) == ("0.49", "last_book", True)
    assert marked(100, quote("0", "0.50"), before) == ("0.49", "last_book", True)
    assert marked(100, quote("0.01", "0.99"), before) == ("0.49", "last_book", True)
    mark = mark_of(D(100), quote(None, "0.5"), now=NOW, max_age=AGE, last_book=before)
    assert not is_reading([(D(100), mark)])


def test_a_payout_goes_before_every_price() -> None:
    found = mark_of(D(1), quote("0.4", "0.5"), now=NOW, max_age=AGE, payout=D(0))
    assert found == Mark(D(0), NOW, MarkKind.PAYOUT, is_stale=False)
    assert is_reading([(D(1), found)])


@pytest.mark.parametrize(("stale_price", "reads"), [("10", True), ("10.01", False)])
def test_a_tenth_of_the_exposure_may_be_stale(stale_price: str, reads: bool) -> None:
    fresh = Mark(D(90), NOW, MarkKind.QUOTE, is_stale=False)
    stale = Mark(D(stale_price), NOW, MarkKind.LAST_TRADE, is_stale=True)
    assert is_reading([(D(1), fresh), (D(-1), stale)]) is reads


def test_what_has_no_mark_is_no_reading() -> None:
    fresh = Mark(D(90), NOW, MarkKind.QUOTE, is_stale=False)
    assert not is_reading([(D(1), fresh), (D("0.001"), None)])
    assert is_reading([(D(1), fresh), (D(0), None)])
    assert is_reading([])


def reading(equity: str, initial: str, peak: str) -> Reading:
    return Reading(D(equity), D(initial), D(peak))


def test_how_far_each_limit_is_away() -> None:
    loss, fall, gain = distances(reading("9938.20", "10000", "10200"), SEED)
    assert (loss.cause, loss.level, loss.money) == (Cause.LOSS_LIMIT, D("9800"), D("138.20"))
    assert (fall.cause, fall.level, fall.money) == (Cause.DRAWDOWN_LIMIT, D("9690"), D("248.20"))
    assert (gain.cause, gain.level, gain.money) == (Cause.PROFIT_TARGET, D("10500"), D("561.80"))
    assert loss.part == pytest.approx(D("138.20") / D("9938.20"))
    assert [one.money for one in distances(reading("9700", "10000", "10000"), SEED)] == [-100, 200, 800]
    assert [one.part for one in distances(reading("0", "10000", "10000"), SEED)] == [None] * 3
    assert distances(reading("1", "10000", "10000"), OFF) == ()


CENTS = st.integers(min_value=1, max_value=10**13).map(lambda cents: D(cents).scaleb(-2))
PARTS = st.integers(min_value=1, max_value=4999).map(lambda parts: D(parts).scaleb(-4))


@given(CENTS, CENTS, CENTS, PARTS, PARTS, PARTS)
def test_so_much_reaches_the_limit_and_a_hair_less_does_not(
    equity: Decimal, initial: Decimal, above: Decimal, loss: Decimal, fall: Decimal, gain: Decimal
) -> None:
    now, hair = Reading(equity, initial, equity + above), D("0.00000001")
    each = (Limits(loss, None, None), Limits(None, fall, None), Limits(None, None, gain))
    for limits, side in zip(each, (-1, -1, 1), strict=True):
        (one,) = distances(now, limits)
        assert (decide_kill(now, limits) is not None) == (one.money <= 0)
        there = Reading(equity + side * one.money, initial, now.peak)
        assert there.equity == one.level
        if one.cause is not Cause.PROFIT_TARGET or one.level <= now.peak:
            assert decide_kill(there, limits) is not None
        near = Reading(one.level - side * hair, initial, max(now.peak, one.level))
        assert (one.cause is Cause.DRAWDOWN_LIMIT and one.level > now.peak) or decide_kill(near, limits) is None


@pytest.mark.parametrize(
    ("price", "side", "limit"),
    [
        ("100", "sell", "95"),
        ("100", "buy", "105"),
        ("0.50", "sell", "0.48"),  # 0.475 would be more than 5 % away once it is cut to the tick
        ("0.50", "buy", "0.52"),
        ("0.02", "sell", "0.02"),  # and not half of it
        ("0.02", "buy", "0.02"),
        ("0.0155", "sell", "0.01"),  # off the tick: what is taken now
        ("0.0155", "buy", "0.02"),
        ("0.005", "sell", "0.005"),
    ],
)
def test_what_closes_is_at_most_5_percent_behind_the_quote_on_the_tick(price: str, side: Any, limit: str) -> None:
    assert limit_behind(D(price), side, D("0.05"), D("0.01")) == D(limit)
