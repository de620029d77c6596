"""Test mode decides and judges, and asks nothing of the platform that changes anything there: not even what the kill
switch would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.store.database.engine import Database
from agent.store.trading import account, orders, switch
from agent.trading.run import Trader, run
from tests.integration.trading.test_at_a_venue import NO_CLOSING, bought, foreign
from tests.paper import HOUR, MARKET, D, MovedClock, cycles, feed_of, trader
from tests.venue import floor

FALLING = [*[100.0] * 3, *[93.0] * 7]
FEED = feed_of({MARKET: FALLING}, {MARKET: dict.fromkeys(range(10), 1)})


def rows(database: Database, reader: Any, *more: Any) -> Any:
    with database.reading() as connections:
        return reader(connections.project, *more)


def tried(one: Trader, clock: MovedClock) -> tuple[int, list[str]]:
    """Run in test mode for at most six hours: exit code, and what was said."""
    said, left = list[str](), iter(range(6))

    def wait(_seconds: float) -> bool:
        clock.at += HOUR
        return next(left, None) is not None

    return run(one, wait=wait, told=said.append, test_mode=True), said


def test_a_limit_that_is_reached_ends_it_with_1_and_nothing_is_sent_or_written(database: Database) -> None:
    clock = MovedClock()
    with trader(database, FEED, clock, kill_switch_loss_pct=0.02) as one:
        one.recover()
        cycles(one, clock, range(2))
        agent = one.desk.agent_id
        sent = rows(database, orders.of_agent, agent)
        code, said = tried(one, clock)
        assert rows(database, orders.of_agent, agent) == sent
        assert not one.kill_switch_triggered
        assert rows(database, account.load, agent)["trading_state"] == "active"
    assert code == 1
    assert said[-1] == (
        "The kill switch would fire by LOSS_LIMIT (2.10 % measured, the limit is 2.00 %). "
        "Test mode writes no row of it and closes nothing: a start without it does."
    )
    with trader(database, FEED, clock, kill_switch_loss_pct=0.02) as one:
        assert run(one, wait=lambda _: bool(setattr(clock, "at", clock.at + HOUR)) or True, told=said.append) == 1
    assert [one["purpose"] for one in rows(database, orders.of_agent, agent)] == ["open", "kill"]
    assert rows(database, switch.of_account, "paper", "main")[0]["state"] == "flat"


def test_a_kill_file_stays_for_those_who_close(database: Database, tmp_path: Path) -> None:
    clock = MovedClock()
    (tmp_path / "KILL").touch()
    with trader(database, FEED, clock, home=tmp_path) as one:
        code, said = tried(one, clock)
    assert (code, said[0].split(".")[0]) == (1, "The kill switch would fire by KILL_FILE")
    assert (tmp_path / "KILL").exists()
    assert rows(database, switch.of_account, "paper", "main") == []


@pytest.mark.parametrize("state", ["triggered", "cancelling", "closing", "stuck", "flat"])
def test_a_kill_that_stands_is_left_as_it_is(database: Database, tmp_path: Path, state: str) -> None:
    clock = MovedClock()
    with trader(database, FEED, clock, home=tmp_path, agent_type="loop") as one:
        one.recover()
        cycles(one, clock, range(2))
        (tmp_path / "KILL").touch()
        one.look()
        kill = rows(database, switch.of_account, "paper", "main")[0]
        with one.desk.step("test") as conn:
            switch.change(conn, kill["id"], state=state)
        before = rows(database, orders.of_agent, 1)
    with trader(database, FEED, clock, home=tmp_path) as one:
        assert tried(one, clock) == (
            1,
            [f"The kill switch is {state}, and test mode closes nothing: a start without it goes on with that."],
        )
    assert rows(database, orders.of_agent, 1) == before
    assert rows(database, switch.of_account, "paper", "main")[0]["state"] == state


def test_it_cancels_nothing_at_a_venue_and_the_next_start_does(database: Database) -> None:
    """An order of ours whose row is lost is on its way out: not in test mode."""
    with floor(database) as at:
        bought(at, **NO_CLOSING)
        at.venue.part = D(0)
        at.venue.place(foreign("tm" + "a" * 16, "1"))
        at.wait(60.0)
        with at.trader(**NO_CLOSING) as one:
            assert tried(one, at.clock)[0] == 0
        assert not [path for method, path, _ in at.server.asked if method == "DELETE"]
        assert len(at.server.created()) == 1
        at.wait(60.0)
        with at.trader(**NO_CLOSING) as one:
            one.recover()
        assert at.venue.orders[-1].status == "cancelled"
