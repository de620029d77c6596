"""What cannot be closed: a market that is closed keeps the kill switch stuck until it opens, dust keeps nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.errors import Conflict
from agent.store.database.engine import Database, writing
from agent.store.trading import account, booking, deciding, orders, switch
from agent.trading import person, rules
from agent.trading.kill_switch import Cause, Fired, KillState
from agent.trading.model import Order
from agent.trading.platform import Capabilities, Submitted
from agent.trading.reconcile.facts import Holding, Snapshot
from agent.trading.rule import review
from agent.trading.rule_example import NOW, Case, proposal_of, view_of
from agent.trading.run import Trader, run
from agent.trading.steps.desk import account_of
from agent.trading.steps.execute import valued
from agent.trading.steps.firing import trigger
from tests.paper import HOUR, MARKET, START, Altered, D, MovedClock, cycles, feed_of, trader

FALLING = [100.0, 100.0, *[93.0] * 20]


def rows(database: Database, reader: Any, *more: Any) -> Any:
    with database.reading() as connections:
        return reader(connections.project, *more)


def reset(database: Database, agent: int, clock: MovedClock) -> Any:
    with writing(database.project) as conn:
        return person.reset(conn, account.load(conn, agent), reason="looked", by="me", now=clock.at)


def closed_market(one: Trader) -> Any:
    platform: Any = Altered(one.desk.platform, lambda quote: replace(quote, is_open=False))
    one.desk = replace(one.desk, platform=platform)
    return platform


def test_21_a_kill_while_the_market_is_closed_is_stuck_until_it_opens(database: Database) -> None:
    clock = MovedClock()
    feed = feed_of({MARKET: FALLING}, {MARKET: {0: 1, 1: 1, 2: 1}})
    with trader(database, feed, clock, kill_switch_loss_pct=0.02) as one:
        one.recover()
        cycles(one, clock, range(2))
        platform, agent = closed_market(one), one.desk.agent_id
        assert cycles(one, clock, (2,))[0].is_killed
        states = [one.close_everything() for _ in range(4)]
        assert states == [KillState.CANCELLING, KillState.CLOSING, KillState.STUCK, KillState.STUCK]
        (kill,) = rows(database, switch.of_account, "paper", "main")
        assert kill["stuck"] == [{"market": MARKET, "outcome": "", "why": "the market is closed"}]
        with pytest.raises(Conflict, match="not everything is closed: test:BTC-USD"):
            reset(database, agent, clock)
        assert [each["purpose"] for each in rows(database, orders.of_agent, agent)] == ["open"]
    # A start while it is closed trades nothing and goes on waiting; the reopening ends it.
    with trader(database, feed, clock, kill_switch_loss_pct=0.02) as one:
        platform = closed_market(one)

        def hour(_seconds: float) -> bool:
            clock.at += HOUR
            platform.is_on = clock.at < START + 5 * HOUR
            return True

        assert run(one, wait=hour, told=lambda _: None) == 1
    (kill,) = rows(database, switch.of_account, "paper", "main")
    assert (kill["state"], kill["cause"]) == ("flat", ["LOSS_LIMIT"])
    purposes = [(each["purpose"], each["status"]) for each in rows(database, orders.of_agent, agent)]
    assert purposes == [("open", "filled"), ("kill", "filled")]
    assert rows(database, booking.positions_of, agent)[0]["quantity"] == D(0)
    assert reset(database, agent, clock)["trading_state"] == "active"


class Keeping(Altered):
    """A platform that keeps back so much of each order that closes, as a fee in what was bought would."""

    capabilities = Capabilities(deduplicates=True, is_authoritative=True, dust=D("0.00000001"), is_at_once=True)

    def submit(self, order: Order) -> Submitted:
        less = order.quantity - D("0.00000001") if order.reduce_only else order.quantity
        found: Submitted = self._platform.submit(replace(order, quantity=less))
        return found


def test_20_dust_is_shown_and_blocks_no_entry_and_no_end(database: Database) -> None:
    clock = MovedClock()
    feed = feed_of({MARKET: [100.0] * 20}, {MARKET: dict.fromkeys((0, 5), 1)})
    with trader(database, feed, clock) as one:
        one.recover()
        one.desk = replace(one.desk, platform=Keeping(one.desk.platform, lambda quote: quote))  # type: ignore[arg-type]  # has all that a platform has
        agent = one.desk.agent_id
        cycles(one, clock, range(4))
        position = rows(database, booking.position_of, agent, (MARKET, ""))
        assert (position["state"], position["quantity"]) == ("dust", D("0.00000001"))
        newest = rows(database, booking.newest_equity, agent)
        assert newest["position_value"] == D("0.000001")
        assert cycles(one, clock, (4,))[0].unsent[0].startswith("held")  # nothing is tried again
        assert [each.sent for each in cycles(one, clock, (5, 6))] == [1, 0]
        position = rows(database, booking.position_of, agent, (MARKET, ""))
        assert (position["state"], position["quantity"]) == ("open", D(30))
        cycles(one, clock, (7, 8))
        purposes = [(each["purpose"], each["status"]) for each in rows(database, orders.of_agent, agent)]
        assert purposes == [("open", "filled"), ("reduce", "filled")] * 2
        with one.desk.step("killed") as conn:
            kill_row(conn, one, clock)
        assert [one.close_everything() for _ in range(3)][-1] is KillState.FLAT
    assert len(rows(database, orders.of_agent, agent)) == 4


def kill_row(conn: Any, one: Trader, clock: MovedClock) -> None:
    trigger(conn, one.desk, Fired(Cause.PERSON), clock.at, by="me")


class Transferred(Altered):
    """A platform that holds 40 units which no order bought, and 6 000 in cash."""

    def snapshot(self, asked: Any, since: Any) -> Snapshot:
        found: Snapshot = self._platform.snapshot(asked, since)
        return replace(found, holdings={**(found.holdings or {}), (MARKET, ""): Holding(D(40), D(100))})


def test_16_a_position_that_is_found_takes_its_part_of_the_limits(database: Database) -> None:
    """40 % of equity that the books do not know: adopted with a decision of its own, and concentration refuses more."""
    clock = MovedClock()
    feed = feed_of({MARKET: [100.0] * 20}, {MARKET: dict.fromkeys(range(20), 1)})
    with trader(database, feed, clock, agent_type="loop", cash=D(6_000)) as one:
        one.recover()
        agent = one.desk.agent_id
        clock.at += HOUR
        one.desk = replace(one.desk, platform=Transferred(one.desk.platform, lambda quote: quote))  # type: ignore[arg-type]  # has all that a platform has
        one.recover()
        position = rows(database, booking.position_of, agent, (MARKET, ""))
        assert (position["quantity"], position["managed"], position["state"]) == (D(40), True, "open")
        assert rows(database, booking.newest_equity, agent)["equity"] == D(10_000)
        assert rows(database, account.load, agent)["initial_equity"] == D(10_000)  # it is no gain
        (found,) = [each for each in rows(database, deciding.decisions_of, agent, None, None) if each["synthetic"]]
        assert (found["action"], found["confidence"], found["cycle"]) == ("buy", None, 0)
        marks = valued(one.desk)
        held = rows(database, lambda conn: account_of(one.desk, conn, marks))
    more = proposal_of(Case("", proposal={"market_id": MARKET, "quantity": D(1), "reference": D(100), "stop": D(98)}))
    view = replace(view_of(Case("")), account=held)
    said = review(rules.load(), more, replace(view, instrument=replace(view.instrument, market_id=MARKET)), NOW)
    assert said.refusal is not None
    assert (said.refusal.rule, said.quantity) == ("concentration", 0)
    assert "at its limit of 30 % of equity, 3,000.00" in said.refusal.reason
