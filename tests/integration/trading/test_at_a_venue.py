"""A trader at a venue that has bad days: tests named by their number in the list of acceptance tests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from agent.errors import AgentError
from agent.store.database.engine import Database
from agent.store.trading import booking, deciding, orders
from agent.trading.platform import Unreachable
from agent.trading.testing import Fault
from tests.paper import HOUR, MARKET, D
from tests.venue import Floor, floor

ORDERS = "/orders"
NO_CLOSING = {"agent_type": "loop"}


def bought(at: Floor, **settings: Any) -> None:
    """A first cycle whose order is placed."""
    with at.trader(**settings) as one:
        one.recover()
        one.process_cycle()


def test_an_order_is_placed_filled_and_booked(database: Database) -> None:
    with floor(database) as at:
        bought(at)
        assert at.statuses() == ["filled"]
        assert at.position()["state"] == "open"
        at.require_agreement()


def test_9_a_reset_after_placement_is_unknown_then_found_and_sent_once(database: Database) -> None:
    with floor(database) as at:
        at.server.faults.append(Fault("reset", "POST", ORDERS, does_it=True, count=1))
        with at.trader() as one:
            one.recover()
            one.process_cycle()
            assert at.statuses() in (["unknown"], ["filled"])  # its fill may be seen before anybody asks
            at.wait(6.0)
            one.process_cycle()
        assert at.statuses() == ["filled"]
        assert len(at.server.created()) == 1
        at.require_agreement()


def test_9_an_order_that_rests_unknown_is_found_open(database: Database) -> None:
    with floor(database) as at:
        at.venue.part = D(0)
        at.server.faults.append(Fault("reset", "POST", ORDERS, does_it=True, count=1))
        with at.trader() as one:
            one.recover()
            one.process_cycle()
            assert at.statuses() == ["unknown"]
            at.wait(6.0)
            one.process_cycle()
            assert at.statuses() == ["open"]
            at.venue.fill(at.orders()[0]["client_order_id"])
            one.process_cycle()
        assert at.statuses() == ["filled"]
        assert len(at.server.created()) == 1
        at.require_agreement()


def test_10_a_500_without_placement_is_not_placed_after_ten_seconds_and_five_tries(database: Database) -> None:
    with floor(database) as at:
        at.server.faults.append(Fault("500", "POST", ORDERS, count=1))
        with at.trader() as one:
            one.recover()
            one.process_cycle()
            assert at.statuses() == ["unknown"]
            at.hour(1)
            at.clock.at -= HOUR - timedelta(seconds=9)
            done = one.process_cycle()
            assert at.statuses() == ["unknown"], "nine seconds are not ten"
            assert done.sent == 0, "the market is locked meanwhile"
            at.wait(1.0)
            one.process_cycle()
        (row,) = at.orders()[:1]
        assert (row["status"], row["filled_quantity"]) == ("not_placed", D(0))
        assert row["checks"] >= 5
        asked = [
            path for method, path, _ in at.server.asked if method == "GET" and path.endswith(row["client_order_id"])
        ]
        assert len(asked) >= 5
        at.require_agreement()


def test_10_a_market_that_is_unknown_is_locked_for_entries(database: Database) -> None:
    with floor(database, enters=range(9)) as at:
        at.server.faults.append(Fault("500", "POST", ORDERS, count=1))
        with at.trader(settle_seconds=100_000.0) as one:
            one.recover()
            one.process_cycle()
            for hour in (1, 2, 3):
                at.hour(hour)
                one.process_cycle()
        assert at.statuses() == ["unknown"]
        assert len(at.server.created()) == 1


def test_11_an_order_that_the_venue_lists_late_is_found_and_not_sent_again(database: Database) -> None:
    with floor(database) as at:
        at.venue.part, at.venue.lists_after = D(0), 3.0
        at.server.faults.append(Fault("500", "POST", ORDERS, does_it=True, count=1))
        with at.trader(young_seconds=1.0) as one:
            one.recover()
            one.process_cycle()
            at.wait(2.0)
            one.process_cycle()
            assert at.statuses() == ["unknown"]
            at.wait(2.0)
            one.process_cycle()
            assert at.statuses() == ["open"]
        assert len(at.server.created()) == 1
        at.require_agreement()


def test_13_a_fill_after_the_cancel_is_booked_and_on_record(database: Database) -> None:
    with floor(database) as at:
        at.venue.part = D(0)
        bought(at, **NO_CLOSING)
        its = at.orders()[0]["client_order_id"]
        at.venue.cancel(its)
        at.wait(6.0)
        with at.trader(**NO_CLOSING) as one:
            one.recover()
            assert at.statuses() == ["cancelled"]
            at.venue.fill(its)
            at.wait(6.0)
            one.recover()
        assert at.statuses() == ["cancelled"]
        assert at.orders()[0]["filled_quantity"] == at.orders()[0]["quantity"]
        assert at.kinds().count("late_fill") == 1
        assert at.position()["state"] == "open"
        at.require_agreement()


def test_14_a_fill_that_is_replayed_after_a_restart_makes_no_row(database: Database) -> None:
    with floor(database) as at:
        bought(at)
        at.venue.fills.append(dict(at.venue.fills[0]))
        before = at.everything()
        at.wait(6.0)
        with at.trader() as one:
            one.recover()
        assert at.everything() == before


@pytest.mark.parametrize("kind", ["nothing", "fill", "late", "deposit", "external", "vanished"])
def test_15_a_second_reconciliation_changes_nothing(database: Database, kind: str) -> None:
    with floor(database) as at:
        at.venue.part = D("0.5")
        bought(at, **NO_CLOSING)
        its = at.orders()[0]["client_order_id"]
        if kind in ("fill", "late"):
            if kind == "late":
                at.venue.cancel(its)
            at.venue.fill(its)
        elif kind == "deposit":
            at.wait(1.0)
            at.venue.deposit("d1", D(500))
        elif kind == "external":
            at.venue.place(_foreign("other-1", "1"))
        elif kind == "vanished":
            at.venue.orders.clear()
        at.wait(60.0)
        with at.trader(**NO_CLOSING) as one:
            one.recover()
            at.wait(60.0)
            one.recover()
            before = at.everything()
            at.wait(60.0)
            one.recover()
            assert at.everything() == before
        with at.trader(**NO_CLOSING) as one:
            one.recover()
        assert at.everything() == before


def _foreign(name: str, quantity: str) -> dict[str, Any]:
    return {
        "client_order_id": name,
        "market": MARKET,
        "outcome": "",
        "side": "buy",
        "type": "market",
        "quantity": quantity,
        "limit_price": None,
    }


def test_17_positions_that_cannot_be_read_change_nothing_and_are_never_flat(database: Database) -> None:
    with floor(database) as at:
        bought(at, **NO_CLOSING)
        at.server.faults.append(Fault("500", "GET", "/positions"))
        at.server.faults.append(Fault("reset", "GET", "/fills"))
        at.server.faults.append(Fault("reset", "GET", "/account"))
        held = at.position()
        with at.trader(**NO_CLOSING) as one:
            with pytest.raises(Unreachable):
                one.recover()
            for number in range(1, 5):
                at.hour(number)
                done = one.process_cycle()
                assert not done.is_good
                assert at.position()["quantity"] == held["quantity"]
                assert at.agent()["trading_state"] == ("active" if number < 3 else "reducing")
            at.server.faults.clear()
            assert one.process_cycle().is_good
        assert at.agent()["trading_state"] == "active"
        at.require_agreement()


def test_17_a_start_reads_five_times_more_and_then_ends(database: Database) -> None:
    with floor(database) as at:
        bought(at, **NO_CLOSING)
        before = at.everything()
        at.server.faults.append(Fault("503", "GET", "/positions"))
        waited: list[float] = []
        with at.trader(**NO_CLOSING) as one, pytest.raises(AgentError, match="could not be read"):
            one.start(lambda seconds: waited.append(seconds) or True)
        assert waited == [1.0, 2.0, 4.0, 8.0, 16.0]
        assert at.everything() == before
        at.server.faults[0].count = 2
        waited.clear()
        with at.trader(**NO_CLOSING) as one:
            one.start(lambda seconds: waited.append(seconds) or True)
        assert waited == [1.0, 2.0]


def test_18_a_list_of_open_orders_that_is_cut_short_gives_no_verdict(database: Database) -> None:
    with floor(database) as at:
        at.venue.part = D(0)
        bought(at, **NO_CLOSING)
        at.venue.is_cut = True
        at.wait(60.0)
        before = at.everything()
        with at.trader(**NO_CLOSING) as one:
            with pytest.raises(Unreachable):
                one.recover()
            assert at.everything() == before
            at.venue.is_cut = False
            one.recover()
        assert at.statuses() == ["open"]


def test_19_a_restart_with_an_entry_that_rests_is_opening_and_sends_nothing(database: Database) -> None:
    with floor(database) as at:
        at.venue.part = D(0)
        bought(at, stop_loss=0.02, **NO_CLOSING)
        at.wait(60.0)
        with at.trader(stop_loss=0.02, **NO_CLOSING) as one:
            one.recover()
            at.venue.quotes[MARKET] = (D(50), D(51))  # far below any stop
            one.look()
            one.process_cycle()
        assert at.position()["state"] == "opening"
        assert at.position()["quantity"] == 0
        assert at.statuses() == ["open"]
        assert len(at.server.created()) == 1


def test_23_a_kill_file_between_prepared_and_sent_is_seen(
    database: Database, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with floor(database) as at, at.trader(home=tmp_path, **NO_CLOSING) as one:
        one.recover()
        step = type(one.desk).step

        def touching(desk: Any, name: str) -> Any:
            if name == "sending":  # after T6, before T7
                (tmp_path / "KILL").touch()
            return step(desk, name)

        monkeypatch.setattr(type(one.desk), "step", touching)
        one.process_cycle()
        monkeypatch.undo()
        assert at.statuses() == ["denied"]
        assert at.server.created() == []
        assert one.process_cycle().is_killed


def test_an_order_of_ours_without_a_row_is_adopted_and_cancelled(database: Database) -> None:
    """Case 15: whatever lost the row, the order must not rest."""
    with floor(database) as at:
        bought(at, **NO_CLOSING)
        at.venue.part = D(0)
        at.venue.place(_foreign("tm" + "a" * 16, "1"))
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
        assert at.rows(deciding.decisions_of, at.agent()["id"], None, 10) == []
        assert at.rows(booking.fills_of, "venue", "main") == []


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
            states = [one.close_everything() for _ in range(5)]
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
            states = [one.close_everything() for _ in range(6)]
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
