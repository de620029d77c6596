"""How a trader stands, read from the rows of a real paper account on both databases."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agent.amounts import money_text
from agent.core.answers import plain
from agent.errors import UsageError
from agent.store.database.engine import Database
from agent.store.trading import account, booking
from agent.trading import person
from agent.trading.overview import Overview, load_overviews
from tests.paper import HOUR, START, D, MovedClock, account_at_work, feed_of, trader

LATER = START + 4 * HOUR


def seen(database: Database, home: Path, now: datetime = LATER) -> Overview:
    with database.reading() as connections:
        (one,) = load_overviews(connections.project, home, now)
    return one


def texts(one: Overview, title: str) -> list[list[str]]:
    (table,) = (each for each in (one.limits, *one.tables) if each.title.startswith(title))
    return [[plain(cell) for cell in row] for row in table.rows]


def _asked(database: Database, act: Any, agent: int, reason: str) -> str:
    with database.writing() as connections:
        answer = act(connections.project, account.load(connections.project, agent), reason)
    return str(answer["trading_state"])


def test_every_figure_is_that_of_the_rows(database: Database, tmp_path: Path) -> None:
    agent = account_at_work(database)
    one = seen(database, tmp_path)
    with database.reading() as connections:
        newest = booking.newest_equity(connections.project, agent)
        held = [row for row in booking.positions_of(connections.project, agent) if row["quantity"]]
    assert newest is not None
    assert dict(one.facts)["Equity"] == (money_text(newest["equity"]),)
    assert [name for name, _ in one.curves] == ["Equity", "Peak", "Loss limit", "Fall limit", "Gain limit"]
    (position,) = texts(one, "Positions")
    assert position[:4] == ["test:BTC-USD", "30", "100", "95.5"]
    assert position[4:] == ["2026-01-30 03:00 UTC, 60 min ago (quote)", "2,865.00", "-135.00"]
    assert D(position[1]) == held[0]["quantity"]
    assert texts(one, "Limits")[0] == ["Loss 2.00 %", "9,800.00", "loses 65.00 more (0.66 %) → closes all"]
    (order,) = texts(one, "Open")
    assert (order[0], order[1].partition(" ")[0], order[5]) == ("test:ETH-USD", "buy", "open")
    assert [row[:2] for row in texts(one, "Refusals")] == [["confidence", "1"], ["release age", "1"]]
    why = {row[0]: row for row in texts(one, "Why")}["test:SOL-USD"]
    assert (why[1], why[3]) == ("buy", "refused")
    assert why[4].startswith("confidence: ")
    assert plain(one.sentence).startswith("Not running: nothing keeps it from trading, but no trader runs")


def test_a_pause_and_a_kill_say_why(database: Database, tmp_path: Path) -> None:
    agent = account_at_work(database)
    assert _asked(database, person.pause, agent, " lunch \n break ") == "paused"
    one = seen(database, tmp_path)
    assert (one.is_paused, plain(one.sentence).partition(";")[0]) == (True, "Paused: lunch break")
    assert _asked(database, person.resume, agent, "resumed by me: fed") == "active"
    one = seen(database, tmp_path)
    assert not one.is_paused
    assert plain(one.sentence).endswith("starts one); resumed by me: fed.")
    person.trigger(tmp_path, "enough", "me")
    assert "asked for (me: enough), which the trader does when it is started" in plain(
        seen(database, tmp_path).sentence
    )
    clock = MovedClock(START + 3 * HOUR)
    feed = feed_of({"test:BTC-USD": [96.0] * 5, "test:ETH-USD": [50.0] * 5}, {})
    with trader(database, feed, clock, home=tmp_path) as trades:
        trades.process_cycle()
        now = seen(database, tmp_path)
        assert "by kill file (me: enough); closing everything goes on, and a trader runs." in plain(now.sentence)
    assert (now.tone, now.limits.note) == ("bad", "It fired: nothing is measured until it is reset.")


def test_one_that_runs_says_so(database: Database, tmp_path: Path) -> None:
    with trader(database, feed_of({"test:BTC-USD": [96.0] * 5}, {}), MovedClock()):
        one = seen(database, tmp_path)
    assert plain(one.sentence) == "Active: a trader runs, in cycle 0, and nothing keeps it from trading."
    assert [each.none for each in one.tables][:3] == [
        "Nothing is held.",
        "No order is open, and none is unknown.",
        "There was no cycle yet.",
    ]
    assert one.limits.none == "The account was not measured yet."


@pytest.mark.parametrize("reason", ["", " \n"])
def test_what_stops_something_needs_a_reason(database: Database, tmp_path: Path, reason: str) -> None:
    agent = account_at_work(database)
    with pytest.raises(UsageError):
        _asked(database, person.pause, agent, reason)
    with pytest.raises(UsageError):
        person.trigger(tmp_path, reason, "me")
    assert not (tmp_path / "KILL").exists()


def test_a_replay_of_earlier_days_comes_last_and_is_only_paused_while_it_runs(
    database: Database, tmp_path: Path
) -> None:
    account_at_work(database)
    feed, name = feed_of({"test:BTC-USD": [96.0] * 5}, {}), account.replay_name(START)
    with trader(database, feed, MovedClock(START + 1 * HOUR), account_ref=name) as trades:
        trades.recover()
        trades.process_cycle()
        main, replay = _all(database, tmp_path)
        assert replay.name == "replay-20260130T000000 (paper)"
        assert (main.can_pause, replay.can_pause) == (True, True)
        assert plain(replay.sentence).startswith("Active: a trader runs")
    main, replay = _all(database, tmp_path)
    assert (main.can_pause, replay.can_pause) == (True, False)
    assert plain(replay.sentence).startswith("A replay that nobody runs now; ")


def _all(database: Database, home: Path) -> list[Overview]:
    with database.reading() as connections:
        return load_overviews(connections.project, home, LATER)


def test_before_the_first_trader_there_is_nothing(database: Database, tmp_path: Path) -> None:
    with database.reading() as connections:
        assert not account.was_opened(connections.project)
        assert load_overviews(connections.project, tmp_path, LATER) == []
    account_at_work(database)
    with database.reading() as connections:
        assert account.was_opened(connections.project)
