"""What else a venue may do to a trader: unexpected answers, silence, old deposits, a kill that was cut off."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent.store.database.engine import Database
from agent.store.trading import booking, deciding, orders, showing
from agent.trading.testing import Fault
from tests.integration.trading.test_at_a_venue import NO_CLOSING, bought, foreign
from tests.paper import MARKET, D, feed_of, listing
from tests.venue import OPENS, floor


def test_an_order_of_ours_without_a_row_is_adopted_and_cancelled(database: Database) -> None:
    """Case 15: whatever lost the row, the order must not rest."""
    with floor(database) as at:
        bought(at, **NO_CLOSING)
        at.venue.part = D(0)
        at.venue.place(foreign("tm" + "a" * 16, "1"))
        at.wait(60.0)
        with at.trader(**NO_CLOSING) as one:
            one.recover()
            at.wait(60.0)
            one.recover()
        assert [one.status for one in at.venue.orders] == ["filled", "cancelled"]
        assert sorted(at.statuses()) == ["cancelled", "filled"]
        assert "lost_row" in at.kinds()


def test_a_decision_of_a_cycle_that_could_not_read_is_no_trade(database: Database) -> None:
    with floor(database) as at:
        with at.trader(**NO_CLOSING) as one:
            one.recover()
            at.server.faults.append(Fault("500", "GET", "/quotes"))
            done = one.process_cycle()
        assert done.sent == 0
        assert MARKET in done.failed
        (made,) = at.rows(deciding.decisions_of, at.agent()["id"], None, 10)
        assert (made["action"], made["opinions"], made["verdicts"]) == ("abstain", [], [])
        assert "status 500" in showing.why(made)
        assert at.rows(booking.fills_of, "venue", "main") == []


def test_a_platform_whose_clock_is_ahead_is_traded_by_ours(database: Database) -> None:
    with floor(database) as at:
        at.venue.now = lambda: at.clock.now() + timedelta(seconds=40)
        with at.trader(**NO_CLOSING) as one:
            one.recover()
            assert one.process_cycle().sent == 1
            at.wait(60.0)
            one.look()
        (made,) = at.rows(deciding.decisions_of, at.agent()["id"], None, 10)
        assert made["as_of"] == made["made_at"]
        assert at.statuses() == ["filled"]
        assert at.agent()["trading_state"] == "active"
        at.require_agreement()


def test_cash_that_differs_for_a_while_holds_nothing_back_afterwards(database: Database) -> None:
    """A deposit is in the balance before it is listed."""
    with floor(database) as at:
        bought(at, **NO_CLOSING)
        at.wait(1.0)
        at.venue.deposit("d1", D(500))
        listed = at.venue.movements.pop()
        at.wait(60.0)
        with at.trader(**NO_CLOSING) as one:
            one.recover()
            assert at.agent()["trading_state"] == "reducing"
            at.venue.movements.append(listed)
            at.wait(60.0)
            one.recover()
        assert at.agent()["trading_state"] == "active"
        at.require_agreement()


def test_an_answer_that_nothing_leads_to_is_on_record_and_opens_nothing(database: Database) -> None:
    """The reply comes when the order counts as not placed by now: it stays so, and a person looks."""
    with floor(database) as at:
        at.venue.part = D(0)
        with at.trader(**NO_CLOSING) as one:
            one.recover()
            submit = one.desk.platform.submit

            def slow(order: Any) -> Any:
                said = submit(order)
                with one.desk.step("test") as conn:
                    orders.move(conn, order.client_order_id, "proven", "not_placed", at.clock.now(), "start")
                return said

            one.desk.platform.submit = slow  # type: ignore[method-assign]
            one.process_cycle()
        assert at.statuses() == ["not_placed"]
        assert "unexpected_event" in at.kinds()
        assert at.agent()["trading_state"] == "reducing"


def test_what_submit_raises_is_unclear(database: Database) -> None:
    with floor(database) as at, at.trader(**NO_CLOSING) as one:
        one.recover()

        def broken(order: Any) -> Any:
            raise KeyError("a fault of the client")

        one.desk.platform.submit = broken  # type: ignore[method-assign]
        one.process_cycle()
        assert at.statuses() == ["unknown"]


def test_a_position_that_cannot_be_read_keeps_the_switch_closing(database: Database, tmp_path: Any) -> None:
    """Nothing read is never flat."""
    with floor(database) as at:
        bought(at, **NO_CLOSING)
        (tmp_path / "KILL").touch()
        with at.trader(home=tmp_path, **NO_CLOSING) as one:
            one.recover()
            assert one.process_cycle().is_killed
            at.server.faults.append(Fault("500", "GET", "/positions"))
            for _ in range(4):
                assert one.close_everything() != "flat"
            at.server.faults.clear()
            states = [one.close_everything(at.wait) for _ in range(5)]
        assert states[-1] == "flat"
        assert at.venue.holdings[MARKET, ""] == 0
        at.require_agreement()


def test_a_kill_that_was_cut_off_between_prepared_and_sent_is_flat_in_the_end(
    database: Database, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its dead process had prepared does not keep the next one from closing."""
    with floor(database) as at:
        bought(at, **NO_CLOSING)
        (tmp_path / "KILL").touch()
        with at.trader(home=tmp_path, **NO_CLOSING) as one:
            one.recover()
            assert one.process_cycle().is_killed
            one.close_everything()
            one.close_everything()
            with monkeypatch.context() as patched:
                patched.setattr("agent.trading.steps.execute._begin", lambda *_: 1 / 0)
                with pytest.raises(ZeroDivisionError):
                    one.close_everything()
        assert sorted(at.statuses()) == ["filled", "prepared"]
        with at.trader(home=tmp_path, **NO_CLOSING) as one:
            states = [one.close_everything(at.wait) for _ in range(6)]
        assert states[-1] == "flat"
        assert len(at.server.created()) == 2
        at.require_agreement()


def test_a_market_without_an_answer_is_asked_again_after_2_4_and_8_seconds_and_then_rests(database: Database) -> None:
    with floor(database, enters=range(4)) as at, at.trader(**NO_CLOSING) as one:
        one.recover()
        waited: list[float] = []
        at.server.faults.append(Fault("500", "GET", "/quotes", count=2))
        assert one.process_cycle(wait=lambda seconds: waited.append(seconds) or True).sent == 1
        assert waited == [2.0, 4.0]
        assert at.rows(deciding.locks_at, at.agent()["id"], at.clock.now()) == []


def test_a_market_that_says_nothing_in_the_end_is_locked_and_a_stop_is_heard(database: Database) -> None:
    with floor(database, enters=range(4)) as at, at.trader(**NO_CLOSING) as one:
        one.recover()
        waited: list[float] = []
        at.server.faults.append(Fault("500", "GET", "/quotes"))
        done = one.process_cycle(wait=lambda seconds: waited.append(seconds) or True)
        assert waited == [2.0, 4.0, 8.0]
        assert MARKET in done.failed
        (lock,) = at.rows(deciding.locks_at, at.agent()["id"], at.clock.now())
        assert (lock["market_id"], (lock["until_at"] - at.clock.now()).total_seconds()) == (MARKET, 120.0)
        waited.clear()
        one.process_cycle(wait=lambda seconds: waited.append(seconds) or False)  # a person stops it
        assert waited == [2.0]


def test_deposits_before_the_books_were_opened_are_not_booked_again(database: Database) -> None:
    with floor(database) as at:
        at.venue.deposit("old", D(250))
        at.wait(60.0)
        bought(at, **NO_CLOSING)
        at.wait(60.0)
        with at.trader(**NO_CLOSING) as one:
            one.recover()
            one.process_cycle()
        newest = at.rows(booking.newest_equity, at.agent()["id"])
        assert newest["cash"] == at.venue.cash
        assert at.agent()["trading_state"] == "active"


def test_5_what_the_markets_limits_refuse_is_never_sent(database: Database) -> None:
    """A tick that nothing fits: the rules know it, and the venue is not asked."""
    with floor(database, enters=range(4)) as at:
        band = listing(MARKET)
        band = replace(band, instrument=replace(band.instrument, price_high=D(50)))
        at.feed = feed_of({MARKET: OPENS}, {MARKET: {0: 1}}, [band])
        with at.trader(**NO_CLOSING) as one:
            one.recover()
            assert one.process_cycle().sent == 0
        (made,) = at.rows(deciding.decisions_of, at.agent()["id"], None, 10)
        assert showing.why(made).startswith("filters: ")
        assert at.server.created() == []


@pytest.mark.parametrize(("beyond", "kinds", "state"), [("0", [], "active"), ("0.001", ["overfill"], "reducing")])
def test_20_an_overfill_by_dust_is_none_and_by_more_opens_nothing(
    database: Database, beyond: str, kinds: list[str], state: str
) -> None:
    with floor(database, dust=D("0.001")) as at:
        at.venue.part = D(0)
        bought(at, **NO_CLOSING)
        (order,) = at.venue.orders
        at.venue.fill(order.client_order_id, order.quantity + D("0.001") + D(beyond))
        at.wait(60.0)
        with at.trader(**NO_CLOSING) as one:
            one.recover()
            one.compare()
        assert at.statuses() == ["filled"]
        assert [one for one in at.kinds() if one != "opening"] == kinds
        assert at.agent()["trading_state"] == state
        at.require_agreement()


def test_29_a_gap_and_what_is_said_twice_after_it_are_booked_once(database: Database) -> None:
    """A venue that is polled: fills come while it is silent, and after it they come again and again."""
    with floor(database) as at:
        at.venue.part = D(0)
        with at.trader(**NO_CLOSING) as one:
            one.recover()
            one.process_cycle()
            (order,) = at.venue.orders
            at.server.faults.append(Fault("reset", "GET", "/fills"))
            for _ in range(3):
                at.wait(60.0)
                at.venue.fill(order.client_order_id, order.quantity / 4)
                one.look()
            assert at.rows(booking.fills_of, "venue", "main") == []
            at.venue.fills[:] = [*reversed(at.venue.fills), *at.venue.fills]
            at.server.faults.clear()
            for _ in range(3):
                at.wait(60.0)
                one.look()
        assert at.statuses() == ["partial"]
        assert len(at.rows(booking.fills_of, "venue", "main")) == 3
        assert at.agent()["trading_state"] == "active"
        at.venue.fills[:] = at.venue.fills[3:]
        at.require_agreement()


def test_a_fill_that_is_listed_after_it_was_inferred_takes_its_place(database: Database) -> None:
    """Cases 9 and 10: the order says filled and no fill is listed; a minute later it is."""
    with floor(database) as at:
        at.venue.part = D(0)
        bought(at, **NO_CLOSING)
        (order,) = at.orders()
        at.wait(1.0)
        at.venue.fill(order["client_order_id"], order["quantity"])
        told = at.venue.fills.pop()
        at.wait(60.0)
        with at.trader(**NO_CLOSING) as one:
            one.recover()
            (guess,) = at.rows(booking.fills_of, "venue", "main")
            assert (guess["inferred"], at.position()["quantity"]) == (True, order["quantity"])
            at.venue.fills.append(told)
            at.wait(60.0)
            one.recover()
            fills = at.rows(booking.fills_of, "venue", "main")
            assert len(fills) == 3, "the guess, what takes it back, and the fill"
            assert (at.statuses(), at.orders()[0]["filled_quantity"]) == (["filled"], order["quantity"])
            assert at.position()["quantity"] == order["quantity"]
            assert at.rows(booking.newest_equity, at.agent()["id"])["cash"] == at.venue.cash
            assert "overfill" not in at.kinds()
            at.wait(60.0)
            one.recover()
            assert at.rows(booking.fills_of, "venue", "main") == fills
        assert at.agent()["trading_state"] == "active"
