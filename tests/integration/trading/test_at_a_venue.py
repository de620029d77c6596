"""A trader at a venue that has bad days: tests named by their number in the list of acceptance tests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from agent.errors import AgentError
from agent.store.database.engine import Database
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
            at.venue.place(foreign("other-1", "1"))
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


def foreign(name: str, quantity: str) -> dict[str, Any]:
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
