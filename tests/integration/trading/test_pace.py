"""Orders of one cycle go out one by one, no more of them in a second than a venue takes, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from agent.store.database.engine import Database
from agent.store.trading import account, deciding, orders
from agent.trading.feeds.columns import TableFeed
from tests.paper import START, MovedClock, tables_of, trader

NAMES = [f"test:M{number}-USD" for number in range(61)]


def many(database: Database, clock: MovedClock, number: int, *, is_historical: bool = False) -> Any:
    """A trader that would enter each of so many markets, a small position each."""
    names = NAMES[:number]
    tables = tables_of({name: [100.0] * 5 for name in names}, {name: {0: 1} for name in names})
    feed = TableFeed(replace(tables, release=replace(tables.release, is_historical=is_historical)))
    pairs = [name.partition(":")[2] for name in names]
    return trader(database, feed, clock, pairs, max_concentration_pct=1.0, max_correlated_assets=50)


def test_a_cycle_with_many_entries_sends_five_a_second(database: Database) -> None:
    clock, waited = MovedClock(), list[float]()

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        clock.at += timedelta(seconds=seconds)
        return True

    with many(database, clock, 12) as one:
        one.recover()
        assert one.process_cycle(wait=wait).sent == 12
        agent = one.desk.agent_id
    with database.reading() as connections:
        sent = orders.all_sent_since(connections.project, agent, START)
    assert waited == [1.0, 1.0]
    assert [(one - START).total_seconds() for one in sent] == [0.0] * 5 + [1.0] * 5 + [2.0] * 2


def test_where_time_stands_still_nobody_waits(database: Database) -> None:
    with many(database, MovedClock(), 12, is_historical=True) as one:
        one.recover()
        assert one.process_cycle(wait=lambda _: False).sent == 12


def test_who_is_asked_to_stop_meanwhile_sends_no_more(database: Database) -> None:
    clock = MovedClock()
    with many(database, clock, 7) as one:
        one.recover()
        done = one.process_cycle(wait=lambda _: False)
        agent = one.desk.agent_id
    assert (done.sent, done.refused) == (5, 2)
    assert set(done.unsent) == {"the trader was stopped before it was sent"}
    with many(database, clock, 7) as one:  # what was let through and not sent is given up at the next start
        one.recover()
    with database.reading() as connections:
        assert account.load(connections.project, agent)["cycle"] == 1
        found = deciding.decisions_of(connections.project, agent, None, 50)
    assert sorted(each["status"] for each in found) == ["abandoned"] * 2 + ["ordered"] * 5


def test_the_sixty_first_in_a_minute_is_refused(database: Database) -> None:
    clock = MovedClock()
    with many(database, clock, 61) as one:
        one.recover()
        done = one.process_cycle()
    assert (done.sent, done.refused) == (60, 1)
    assert done.unsent == ("refused by order_rate: 60 orders in a minute, at most 60",)
