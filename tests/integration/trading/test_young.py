"""What happens right before a comparison, at a venue: its cash has it already, and the books do not yet."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import pytest

from agent.store.database.engine import Database
from agent.store.trading import booking
from agent.trading.reconcile.facts import Snapshot
from agent.trading.run import Trader
from tests.integration.trading.test_at_a_venue import NO_CLOSING, bought, foreign
from tests.integration.trading.test_reconciling import HELD, holding
from tests.paper import MARKET, D
from tests.venue import Floor, floor


def filling(one: Trader, at: Floor, its: str, quantity: Any = None) -> None:
    """The venue fills an order after the trader asked for fills, and before it asks for everything."""
    platform = one.desk.platform
    ask = platform.snapshot
    waiting = [its]

    def snapshot(asked: Collection[str], since: datetime | None) -> Snapshot:
        while waiting:
            at.venue.fill(waiting.pop(), quantity)
        return ask(asked, since)

    platform.snapshot = snapshot  # type: ignore[method-assign]


@pytest.mark.parametrize("quantity", [None, D("0.05"), D(10)])
@pytest.mark.parametrize("then", ["rests", "is cancelled"])
def test_a_resting_order_that_fills_right_before_is_no_difference(database: Database, quantity: Any, then: str) -> None:
    with floor(database) as at:
        at.venue.part = D(0)
        bought(at, **NO_CLOSING)
        at.wait(10.0)
        with at.trader(**NO_CLOSING) as one:
            its = at.orders()[0]["client_order_id"]
            filling(one, at, its, quantity)
            one.compare()
            assert (at.agent()["trading_state"], at.kinds()) == ("active", ["opening"])
            assert at.position()["state"] == "opening", "not flat: it would be bought again"
            if then == "is cancelled":
                at.venue.cancel(its)
            at.wait(60.0)
            one.compare()
            assert (at.agent()["trading_state"], at.position()["state"]) == ("active", "open")
            assert [one for one in at.kinds() if one not in ("opening", "missed_fill")] == [], "and nobody is alerted"
            at.require_agreement()
    assert len(_movements(at)) == 1, "no adjustment, and none that takes it back"


@pytest.mark.parametrize("quantity", ["0.05", "1"])
def test_what_somebody_else_just_bought_is_no_difference(database: Database, quantity: str) -> None:
    with floor(database) as at, holding(at) as one:
        at.venue.place(foreign("other-1", quantity))
        at.wait(4.9)
        one.compare()
        assert (at.agent()["trading_state"], len(_movements(at))) == ("active", 1)
        at.wait(60.0)
        one.compare()
        assert at.kinds() == ["external_fill", "opening"]
        assert at.position()["quantity"] == HELD + D(quantity)
        at.require_agreement()


def test_a_difference_holds_back_until_all_was_judged(database: Database) -> None:
    """Something young is no proof that nothing differs any longer."""
    with floor(database) as at, holding(at) as one:
        at.venue.cash += 300
        one.compare()
        assert at.agent()["trading_state"] == "reducing"
        at.venue.place(foreign("other-1", "1"))
        one.compare()
        assert at.agent()["trading_state"] == "reducing", "cash was not judged"
        at.wait(60.0)
        one.compare()
        assert at.agent()["trading_state"] == "reducing"
        at.venue.cash -= 300
        one.compare()
        assert at.agent()["trading_state"] == "active"


def test_a_disputed_position_stays_so_until_it_is_judged(database: Database) -> None:
    with floor(database) as at, holding(at) as one:
        at.venue.holdings[MARKET, ""], at.venue.cash = HELD - 20, at.venue.cash + 2000
        one.compare()
        assert one.desk.disputed == {(MARKET, ""): "mismatch"}
        at.venue.place(foreign("other-1", "1"))
        one.compare()
        assert one.desk.disputed == {(MARKET, ""): "mismatch"}


def test_a_position_that_differs_is_found_beside_an_order_that_rests(database: Database) -> None:
    """Fills are asked for from the resting order on; to judge a position those of before are looked at, too."""
    with floor(database) as at:
        at.venue.part = D("0.5")
        bought(at, **NO_CLOSING)
        at.wait(60.0)
        with at.trader(**NO_CLOSING) as one:
            one.compare()
            assert at.statuses() == ["partial"]
            at.venue.holdings[MARKET, ""] -= 10
            at.venue.cash += 1000
            one.compare()
            assert (at.agent()["trading_state"], at.kinds()) == ("reducing", ["mismatch", "opening"])


def _movements(at: Floor) -> list[Any]:
    found: list[Any] = at.rows(booking.movements_of, "venue", "main")
    return found
