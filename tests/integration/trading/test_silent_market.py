"""One market whose price cannot be asked: the account is measured all the same, and what others need is done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.store.database.engine import Database
from agent.store.trading import booking, switch
from agent.trading.testing import Fault
from tests.paper import MARKET, D
from tests.venue import Floor, floor

ETH = "test:ETH-USD"
SILENT = "/quotes/test%3AETH"
HOLDS = {"agent_type": "loop", "stop_loss": 0.05, "max_concentration_pct": 20.0, "kill_switch_loss_pct": 0.02}


@pytest.fixture
def at(database: Database) -> Iterator[Floor]:
    """A venue at which some of two markets was bought, for a fifth of equity each."""
    with floor(database, others=(ETH,)) as found:
        with found.trader(pairs=("BTCUSD", "ETHUSD"), **HOLDS) as one:
            one.recover()
            assert one.process_cycle().sent == 2
            found.wait(60.0)
            one.look()
        assert found.statuses() == ["filled", "filled"]
        yield found


def test_others_are_closed_at_their_stop(at: Floor) -> None:
    with at.trader(pairs=("BTCUSD", "ETHUSD"), **HOLDS) as one:
        one.recover()
        at.server.faults.append(Fault("500", "GET", SILENT))
        at.venue.quotes[MARKET] = (D("94.9"), D("95.0"))  # 5 % below what was paid, 1 % of equity
        at.wait(60.0)
        assert not one.look()
        assert [each["purpose"] for each in at.orders()] == ["open", "open", "stop"]
        newest = at.rows(booking.newest_equity, at.agent()["id"])
        assert newest["stale"], "half of what is held has an old price"
        at.wait(60.0)
        one.look()
    assert at.position()["quantity"] == 0
    at.require_agreement()


def test_a_cycle_decides_about_the_others(at: Floor) -> None:
    with at.trader(pairs=("BTCUSD", "ETHUSD"), **HOLDS) as one:
        one.recover()
        at.server.faults.append(Fault("500", "GET", SILENT))
        at.hour(2)  # the horizon of what was bought is over
        done = one.process_cycle()
        assert (done.decided, list(done.failed)) == (1, [ETH])
        assert [(each["purpose"], each["market_id"]) for each in at.orders()][2:] == [("reduce", MARKET)]


def test_the_kill_closes_the_others_and_says_which_it_cannot(at: Floor) -> None:
    with at.trader(pairs=("BTCUSD", "ETHUSD"), **HOLDS) as one:
        one.recover()
        for market in (MARKET, ETH):
            at.venue.quotes[market] = (D("94.5"), D("94.6"))
        at.wait(60.0)
        assert one.look()
        at.server.faults.append(Fault("500", "GET", SILENT))
        for _ in range(12):
            at.wait(60.0)
            one.close_everything()
        (kill,) = at.rows(switch.of_account, "venue", "main")
        assert kill["state"] == "stuck"
        assert [(each["market"], each["why"]) for each in kill["stuck"]] == [(ETH, "nothing is known of its price")]
        assert at.position()["quantity"] == 0
        at.server.faults.clear()
        for _ in range(3):
            at.wait(60.0)
            one.close_everything(at.wait)
        assert at.rows(switch.of_account, "venue", "main")[0]["state"] == "flat"
    at.require_agreement()
