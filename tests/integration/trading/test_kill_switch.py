"""The kill switch at work on paper: when it fires, what it closes, and what outlives a restart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.errors import Busy
from agent.store.database.engine import Database
from agent.store.trading import account, booking, deciding, orders, showing, switch
from agent.trading.feeds.columns import TableFeed
from agent.trading.kill_switch import KillState
from agent.trading.run import run
from tests.paper import HOUR, MARKET, START, D, MovedClock, cycles, feed_of, tables_of, trader

FALLING = [100.0, 100.0, 93.0, 93.0, 93.0, 93.0, 93.0]


def rows(database: Database, reader: Any, *more: Any) -> Any:
    with database.reading() as connections:
        return reader(connections.project, *more)


def moving(clock: MovedClock, most: int) -> Any:
    """A wait that lets an hour pass, so often."""
    left = iter(range(most))

    def wait(_seconds: float) -> bool:
        clock.at += HOUR
        return next(left, None) is not None

    return wait


def test_a_loss_of_exactly_the_limit_closes_everything_and_ends_with_1(database: Database) -> None:
    # 30 % of equity at 100, marked at 93: a loss of 2.1 %.
    clock, said = MovedClock(), list[str]()
    feed = feed_of({MARKET: FALLING}, {MARKET: {0: 1, 1: 1, 2: 1}})
    with trader(database, feed, clock, kill_switch_loss_pct=0.021) as one:
        assert run(one, wait=moving(clock, 6), told=said.append) == 1
        agent = one.desk.agent_id
    kill = rows(database, switch.of_account, "paper", "main")[0]
    assert (kill["cause"], kill["state"], kill["measured"]) == (["LOSS_LIMIT"], "flat", pytest.approx(0.021))
    found = rows(database, orders.of_agent, agent)
    assert [(each["purpose"], each["status"]) for each in found] == [("open", "filled"), ("kill", "filled")]
    assert rows(database, booking.positions_of, agent)[0]["quantity"] == D(0)
    assert rows(database, booking.newest_equity, agent)["cash"] == D(9_790)
    assert rows(database, account.load, agent)["trading_state"] == "halted"


def test_what_closes_follows_a_price_that_gaps_through_its_limit(database: Database) -> None:
    """Killed at 93, and the next bar opens at 85, beyond the 5 % that the order allows: the next one takes what there
    is."""
    clock, tables = MovedClock(), tables_of({MARKET: [*FALLING[:3], *[80.0] * 7]}, {MARKET: {0: 1, 1: 1, 2: 1}})
    bars = tables.bars[MARKET]
    gapped = replace(bars, open=[*bars.open[:2], 85.0, *bars.open[3:]])
    with trader(database, TableFeed(replace(tables, bars={MARKET: gapped})), clock, kill_switch_loss_pct=0.021) as one:
        assert run(one, wait=moving(clock, 6), told=lambda _: None) == 1
        found = rows(database, orders.of_agent, one.desk.agent_id)
    assert [(each["purpose"], each["status"], each["limit_price"]) for each in found] == [
        ("open", "filled", None),
        ("kill", "cancelled", D("88.35")),
        ("kill", "filled", D(76)),
    ]
    assert rows(database, switch.of_account, "paper", "main")[0]["state"] == "flat"
    assert rows(database, booking.newest_equity, 1)["cash"] == D(9_400)


def test_a_hair_above_the_limit_it_does_not_fire(database: Database) -> None:
    clock = MovedClock()
    with trader(database, feed_of({MARKET: FALLING}, {MARKET: {0: 1}}), clock, kill_switch_loss_pct=0.0211) as one:
        one.recover()
        assert not any(each.is_killed for each in cycles(one, clock, range(3)))


def test_22_what_was_begun_goes_on_after_a_restart_and_nothing_is_traded(database: Database) -> None:
    clock = MovedClock()
    feed = feed_of({MARKET: FALLING}, {MARKET: dict.fromkeys(range(7), 1)})
    with trader(database, feed, clock, kill_switch_loss_pct=0.02) as one:
        one.recover()
        assert cycles(one, clock, range(3))[2].is_killed
        assert one.close_everything() is KillState.CANCELLING
        agent = one.desk.agent_id
    with trader(database, feed, clock, kill_switch_loss_pct=0.02) as one:
        assert run(one, wait=moving(clock, 4), told=lambda _: None) == 1
    with trader(database, feed, clock, kill_switch_loss_pct=0.02) as one:
        assert run(one, wait=moving(clock, 4), told=lambda _: None) == 1
    purposes = [each["purpose"] for each in rows(database, orders.of_agent, agent)]
    assert purposes == ["open", "kill"]
    assert rows(database, switch.of_account, "paper", "main")[0]["cause"] == ["LOSS_LIMIT"]


def test_23_a_kill_file_stops_what_is_prepared_and_closes_everything(database: Database, tmp_path: Path) -> None:
    clock = MovedClock()
    feed = feed_of({MARKET: FALLING}, {MARKET: {0: 1}})
    with trader(database, feed, clock, home=tmp_path) as one:
        one.recover()
        (tmp_path / "KILL").write_text("me: enough\n", encoding="utf-8")
        assert cycles(one, clock, (0,))[0].is_killed
        assert not (tmp_path / "KILL").exists()
        assert (tmp_path / "KILL.seen").exists()
    kill = rows(database, switch.of_account, "paper", "main")[0]
    assert (kill["cause"], kill["triggered_by"]) == (["KILL_FILE"], "me: enough")
    assert rows(database, orders.of_agent, 1) == []


def test_7_a_restart_does_not_forget_a_loss(database: Database) -> None:
    # -1.5 % before the restart, -0.6 % more after it.
    clock = MovedClock()
    feed = feed_of({MARKET: [100.0, 100.0, 95.0, 93.0, 93.0]}, {MARKET: {0: 1, 1: 1, 2: 1}})
    with trader(database, feed, clock, kill_switch_loss_pct=0.02) as one:
        one.recover()
        assert not any(each.is_killed for each in cycles(one, clock, (0, 1)))
    with trader(database, feed, clock, kill_switch_loss_pct=0.02) as one:
        one.recover()
        assert cycles(one, clock, (2,))[0].is_killed


def test_one_process_trades_an_account(database: Database) -> None:
    clock, feed = MovedClock(START), feed_of({MARKET: FALLING}, {})
    with trader(database, feed, clock), pytest.raises(Busy):
        trader(database, feed, clock)


def test_the_end_of_a_run_closes_what_is_held_or_keeps_it(database: Database) -> None:
    clock = MovedClock()
    feed = feed_of({MARKET: FALLING}, {MARKET: dict.fromkeys(range(7), 1)})
    with trader(database, feed, clock, on_exit="keep") as one:
        assert run(one, wait=moving(clock, 1), told=lambda _: None) == 0
        assert [each["purpose"] for each in rows(database, orders.of_agent, one.desk.agent_id)] == ["open"]
    with trader(database, feed, clock) as one:
        assert run(one, wait=moving(clock, 1), told=lambda _: None) == 0
        sent = rows(database, orders.of_agent, one.desk.agent_id)
        assert [each["purpose"] for each in sent] == ["open", "exit"]
        made = rows(database, deciding.decisions_of, one.desk.agent_id, None, None)
        (why,) = [showing.why(each) for each in made if each["decision_id"] == sent[1]["decision_id"]]
        assert why == "the run ended, and what it holds is closed (on_exit)"


def test_a_number_of_cycles_ends_with_what_it_holds_unless_closing_is_typed(database: Database) -> None:
    clock = MovedClock()
    feed = feed_of({MARKET: FALLING}, {MARKET: dict.fromkeys(range(7), 1)})
    for typed, purposes in ((None, ["open"]), ("close", ["open", "exit"])):
        clock.at = START if typed is None else START + HOUR
        with trader(database, feed, clock, on_exit=typed) as one:
            assert run(one, wait=moving(clock, 1), told=lambda _: None, most_cycles=1) == 0
            sent = rows(database, orders.of_agent, one.desk.agent_id)
            assert [each["purpose"] for each in sent] == purposes


def test_between_two_cycles_the_account_is_measured_too(database: Database, tmp_path: Path) -> None:
    clock, told = MovedClock(), list[str]()
    feed = feed_of({MARKET: FALLING}, {MARKET: {0: 1}})
    settings = {"kill_switch_loss_pct": 0.02, "analysis_frequency_seconds": 1e5}
    with trader(database, feed, clock, home=tmp_path, **settings) as one:
        an_hour = moving(clock, 6)

        def looked(seconds: float) -> bool:
            """What the monitor's thread does meanwhile, see test_monitor."""
            goes_on: bool = an_hour(seconds)
            if not one.kill_switch_triggered:
                one.look()
            return goes_on

        assert run(one, wait=looked, told=told.append) == 1
    assert told[0].startswith("Cycle 1:")
    assert not any(one.startswith("Cycle 2:") for one in told)
    assert rows(database, switch.of_account, "paper", "main")[0]["cause"] == ["LOSS_LIMIT"]
