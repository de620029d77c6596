"""The kill switch at a venue: what fires it, what it cancels, what it cannot close, and how long it tries."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agent.amounts import figure_text
from agent.store.database.engine import Database
from agent.store.trading import switch
from agent.trading.adapter import TradingPlatform
from agent.trading.agents import TradingLoopAgent
from agent.trading.run import Trader, run
from agent.trading.steps.telling import STUCK_AGAIN, news_of
from agent.trading.testing import Fault
from tests.integration.trading.test_at_a_venue import NO_CLOSING, bought, foreign
from tests.paper import MARKET, D
from tests.venue import Floor, floor

# An entry of 30 % of equity costs 0.1 % of fees and 0.2 % of spread: 0.09 % of equity.
AT_ONCE = {"kill_switch_loss_pct": 0.0005, **NO_CLOSING}


def kills(at: Floor) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = at.rows(switch.of_account, "venue", "main")
    return found


def test_a_fill_at_the_end_of_a_cycle_is_measured_in_it(database: Database) -> None:
    with floor(database) as at, at.trader(**AT_ONCE) as one:
        one.recover()
        done = one.process_cycle()
        assert (done.sent, done.is_killed) == (1, True)
        (kill,) = kills(at)
        assert (kill["cause"], kill["state"]) == (["LOSS_LIMIT"], "triggered")
        one.look()
        one.process_cycle()
        assert kills(at) == [kill], "it fires once"


def test_the_only_cycle_of_a_run_whose_fill_reaches_a_limit_closes_everything(database: Database) -> None:
    with floor(database) as at, at.trader(**AT_ONCE) as one:
        assert run(one, wait=at.wait, told=lambda _: None, most_cycles=1) == 1
        assert kills(at)[0]["state"] == "flat"
        at.require_agreement()


def test_the_loop_agent_measures_what_it_booked(database: Database) -> None:
    with floor(database) as at, at.trader(**AT_ONCE) as one:
        agent = TradingLoopAgent(one)
        one.recover()
        agent.handle_idle_state()
        agent.handle_perception_state()
        agent.handle_reasoning_state()
        agent.handle_risk_check_state()
        agent.handle_execution_state()
        agent.handle_learning_state()
        assert (agent.state, agent.is_running) == ("idle", False)
        assert kills(at)[0]["cause"] == ["LOSS_LIMIT"]


def test_a_trade_that_was_asked_for_and_reaches_a_limit_is_still_answered_for(database: Database) -> None:
    with floor(database, enters=()) as at, at.trader(**AT_ONCE) as one:
        asked = {"asset_pair": "BTCUSD", "action": "buy", "confidence": 80}
        answer = TradingPlatform(one).execute_trade(asked)
        assert (answer["success"], answer["status"]) == (True, "filled")
        assert one.kill_switch_triggered
        assert "kill switch" in TradingPlatform(one).execute_trade(asked)["reason"]


def test_what_is_booked_as_a_run_ends_is_measured_before_it_closes(database: Database) -> None:
    """A fill that came while it waited: the switch closes, and not the end of the run."""
    with floor(database) as at:
        at.venue.part = at.venue.part * 0
        with at.trader(**{**AT_ONCE, "on_exit": "close", "monitoring_frequency_seconds": 1e6}) as one:

            def filled(_seconds: float) -> bool:
                at.venue.part = at.venue.part * 0 + 1
                if not at.venue.fills:
                    at.venue.fill(at.orders()[0]["client_order_id"])
                at.wait(10.0)
                return one.kill_switch_triggered

            assert run(one, wait=filled, told=lambda _: None) == 1
        assert [one["purpose"] for one in at.orders()] == ["open", "kill"]
        at.require_agreement()


def states(one: Trader, at: Floor, steps: int) -> list[str]:
    return [str(one.close_everything(at.wait)) for _ in range(steps)]


def fired(one: Trader, home: Path) -> Trader:
    """A trader whose switch a person fired."""
    one.recover()
    (home / "KILL").touch()
    one.look()
    assert one.kill_switch_triggered
    return one


def test_what_rests_for_ten_minutes_is_stuck_and_tried_on(database: Database, tmp_path: Path) -> None:
    with floor(database) as at:
        bought(at, **NO_CLOSING)
        at.wait(60.0)
        with at.trader(home=tmp_path, **NO_CLOSING) as one:
            at.venue.part = D(0)
            fired(one, tmp_path)
            assert states(one, at, 4) == ["cancelling", "closing", "closing", "closing"]
            at.wait(599.0)
            assert states(one, at, 1) == ["closing"]
            at.wait(1.0)
            assert states(one, at, 2) == ["stuck", "stuck"]
            (entry, order) = at.orders()
            why = f"order {order['client_order_id']} is open, 0 of {figure_text(entry['quantity'])} filled"
            assert kills(at)[0]["stuck"] == [{"market": MARKET, "outcome": "", "why": why}]
            (told,) = [cause for cause in news_of(one.desk)[0] if "stuck" in cause.key]
            assert (told.period, why in told.text) == (STUCK_AGAIN, True)
            at.venue.fill(order["client_order_id"], D(10))
            assert states(one, at, 1) == ["stuck"]
            assert kills(at)[0]["stuck"][0]["why"].endswith(
                f"is partial, 10 of {figure_text(order['quantity'])} filled"
            )
            at.venue.fill(order["client_order_id"])
            assert states(one, at, 1) == ["flat"]
        at.require_agreement()


def test_a_platform_that_is_silent_for_ten_minutes_is_stuck_and_never_flat(database: Database, tmp_path: Path) -> None:
    with floor(database) as at:
        at.venue.part = D("0.5")
        bought(at, **NO_CLOSING)
        at.wait(60.0)
        with at.trader(home=tmp_path, **NO_CLOSING) as one:
            fired(one, tmp_path)
            at.server.faults.append(Fault("500", "GET", "/positions"))
            assert states(one, at, 3) == ["cancelling", "cancelling", "cancelling"]
            assert at.venue.orders[0].status == "cancelled", "to cancel needs no list of positions"
            at.wait(30.0)
            assert states(one, at, 2) == ["closing", "closing"]
            at.wait(570.0)
            assert states(one, at, 1) == ["stuck"]
            (left,) = kills(at)[0]["stuck"]
            assert (left["market"], left["why"].split(":")[0]) == ("*", "the platform cannot be read")
            at.server.faults.clear()
            at.venue.part = D(1)
            assert states(one, at, 2) == ["stuck", "flat"]
        at.require_agreement()


def test_an_order_that_is_refused_is_tried_again_after_ten_seconds(database: Database, tmp_path: Path) -> None:
    with floor(database) as at:
        bought(at, **NO_CLOSING)
        at.wait(60.0)
        with at.trader(home=tmp_path, **NO_CLOSING) as one:
            at.venue.refuses = "halted"
            fired(one, tmp_path)
            assert run(one, wait=at.wait, told=lambda _: None, most_cycles=1) == 1
            why = "the order is not taken: the order is not taken: halted"
            assert (kills(at)[0]["state"], kills(at)[0]["stuck"][0]["why"]) == ("stuck", why)
            assert len(at.server.created()) == 2
            at.wait(9.0)
            assert states(one, at, 1) == ["stuck"]
            assert len(at.server.created()) == 2
            at.wait(1.0)
            states(one, at, 1)
            assert len(at.server.created()) == 3
            at.venue.refuses = None
            at.wait(10.0)
            assert states(one, at, 2) == ["stuck", "flat"]
        at.require_agreement()


def test_what_the_book_does_not_take_is_tried_again_at_what_there_is(database: Database, tmp_path: Path) -> None:
    """Each try takes what is bid down to its limit; the rest is left behind by the market, taken back and sent as the
    next one."""
    with floor(database) as at:
        bought(at, **NO_CLOSING)
        at.wait(60.0)
        with at.trader(home=tmp_path, **NO_CLOSING) as one:
            fired(one, tmp_path)
            bid = D(100)
            for number in range(6):
                at.venue.quotes[MARKET] = (bid, bid + 1)
                at.venue.part = D("0.6") if number < 4 else D(1)
                states(one, at, 1)
                bid -= 6
            assert states(one, at, 3)[-1] == "flat"
        sent = [row for row in at.orders() if row["purpose"] == "kill"]
        assert sorted(row["leg"] for row in sent) == [0, 1, 2]
        assert sum((row["filled_quantity"] for row in sent), Decimal(0)) == at.orders()[0]["quantity"]
        at.require_agreement()


def test_what_is_unknown_goes_along_and_is_never_flat(database: Database, tmp_path: Path) -> None:
    with floor(database) as at:
        at.server.faults.append(Fault("500", "POST", "/orders", count=1))
        with at.trader(home=tmp_path, **NO_CLOSING) as one:
            one.recover()
            one.process_cycle()
            assert at.statuses() == ["unknown"]
            (tmp_path / "KILL").touch()
            one.look()
            assert states(one, at, 4) == ["cancelling", "closing", "closing", "closing"]
            assert at.statuses() == ["unknown"]
            at.wait(10.0)
            assert states(one, at, 1) == ["flat"]
            assert at.statuses() == ["not_placed"]
        at.require_agreement()


def test_what_is_found_late_to_rest_is_cancelled_while_closing(database: Database, tmp_path: Path) -> None:
    with floor(database) as at:
        at.venue.part, at.venue.lists_after = D(0), 8.0
        at.server.faults.append(Fault("500", "POST", "/orders", does_it=True, count=1))
        with at.trader(home=tmp_path, young_seconds=1.0, **NO_CLOSING) as one:
            one.recover()
            one.process_cycle()
            (tmp_path / "KILL").touch()
            one.look()
            assert states(one, at, 2) == ["cancelling", "closing"]
            at.wait(9.0)
            assert states(one, at, 2)[-1] == "flat"
        assert [one.status for one in at.venue.orders] == ["cancelled"]
        at.require_agreement()


@pytest.mark.parametrize("kills_them", [True, False])
def test_orders_of_others_go_with_kill_external_alone(database: Database, tmp_path: Path, kills_them: bool) -> None:
    settings = {"kill_external": kills_them, **NO_CLOSING}
    with floor(database) as at:
        bought(at, **settings)
        at.venue.part = D(0)
        at.venue.place(foreign("other-1", "1"))
        at.wait(60.0)
        with at.trader(home=tmp_path, **settings) as one:
            one.recover()
            one.compare()
            assert at.venue.orders[-1].status == "open", "who trades leaves others alone"
            at.venue.part = D(1)
            fired(one, tmp_path)
            assert states(one, at, 4) == ["cancelling", "closing", "closing", "flat"]
        assert at.venue.orders[1].status == ("cancelled" if kills_them else "open")
        shown = [one for one in at.kinds() if one.startswith("external")]
        assert shown == (["external_cancelled"] if kills_them else []) + ["external_order"], "people find both"
        asked = [path for method, path, _ in at.server.asked if method == "DELETE"]
        assert asked == (["/orders/v-2"] if kills_them else [])


def test_orders_of_others_that_cannot_be_cancelled_hold_it_back_for_30_seconds_and_from_flat(
    database: Database, tmp_path: Path
) -> None:
    with floor(database) as at:
        bought(at, **NO_CLOSING)
        at.venue.part = D(0)
        at.venue.place(foreign("other-1", "1"))
        at.wait(60.0)
        at.server.faults.append(Fault("500", "DELETE", "/orders"))
        with at.trader(home=tmp_path, kill_external=True, **NO_CLOSING) as one:
            at.venue.part = D(1)
            fired(one, tmp_path)
            assert states(one, at, 3) == ["cancelling"] * 3
            at.wait(30.0)
            assert states(one, at, 3) == ["closing"] * 3
            assert at.venue.holdings[MARKET, ""] == 0
            at.wait(570.0)
            assert states(one, at, 1) == ["stuck"]
            assert "nothing rests" in kills(at)[0]["stuck"][0]["why"]
            at.server.faults.clear()
            assert states(one, at, 1) == ["flat"]
        assert at.venue.orders[1].status == "cancelled"
