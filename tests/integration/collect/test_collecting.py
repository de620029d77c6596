"""The collector against venues on this machine: what it asks for, in which order, and what it never asks for again."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from agent.collect.ledger import Ledger
from tests.integration.collect.conftest import NOW, World

FEEDS = [
    ("kalshi", {}),
    ("kalshi", {"history": "trades"}),
    ("polymarket", {}),
    ("polymarket", {"history": "trades"}),
    ("oanda", {}),
]
EACH = pytest.mark.parametrize(("name", "values"), FEEDS, ids=lambda one: str(one))


def prices(world: World, name: str) -> list[Any]:
    """Requests for prices, not for lists."""
    return [
        one
        for one in world.server.asked(name)
        if one.path.endswith(("candlesticks", "prices-history", "trades", "candles"))
    ]


@EACH
def test_a_pass_brings_all_there_is_and_the_next_one_what_is_new(
    world: World, name: str, values: dict[str, Any]
) -> None:
    passed = world.collect(name, **values)
    assert passed.is_done
    assert not passed.failed
    first = world.rows(name, **values)
    venue = world.venues[name]
    assert first.get_column("market_id").n_unique() == len(venue.markets)
    if "ts" in first.columns:
        assert first.height == sum(len(one.trades) for one in venue.markets.values())
    asked = len(prices(world, name))
    world.pace.at += timedelta(hours=2)
    world.collect(name, **values)
    again = prices(world, name)[asked:]
    assert len(again) == len(venue.markets)
    assert world.rows(name, **values).equals(first)


@EACH
def test_another_process_asks_for_nothing_that_is_there(world: World, name: str, values: dict[str, Any]) -> None:
    world.collect(name, **values)
    asked = len(world.server.log)
    world.collect(name, fresh=True, **values)
    new = world.server.log[asked:]
    assert all(_is_overlap(one) for one in new)


@EACH
def test_cut_off_at_any_moment_it_goes_on_where_it_was(world: World, name: str, values: dict[str, Any]) -> None:
    """Passes of no more than a few requests each, each by a process of its own: together as one that is left alone."""
    for venue in world.venues.values():
        venue.page = 50
    for _ in range(60):
        passed = world.collect(name, fresh=True, seconds=0.2, **values)
        if passed.is_done:
            break
    assert passed.is_done
    assert world.rows(name, **values).height == _whole(world, name, values)
    asked = Counter(one.identity for one in prices(world, name) if not _is_overlap(one))
    assert {what: count for what, count in asked.items() if count > 1} == {}


def _is_overlap(one: Any) -> bool:
    """What is asked again on purpose: a few seconds, an hour of candles, the newest page of trades."""
    names = (("start_ts", "end_ts"), ("startTs", "endTs"), ("min_ts", "max_ts"), ("from", "to"))
    spans = [int(one.one(high)) - int(one.one(low)) for low, high in names if one.one(low)]
    return spans[0] <= 3600 if spans else one.one("offset") == "0"


def _whole(world: World, name: str, values: dict[str, Any]) -> int:
    trades = [one for market in world.venues[name].markets.values() for one in market.trades]
    if name == "kalshi" and not values:
        return len(
            {
                (market.name, one.at.replace(minute=0))
                for market in world.venues[name].markets.values()
                for one in market.trades
            }
        )
    return len(trades)


def test_pages_are_counted_once(world: World) -> None:
    """By a process that goes on, and by one that reads the inbox."""
    for _ in range(3):
        world.collect("polymarket")
        world.pace.at += timedelta(minutes=20)
    went_on = {name: (row.pages, row.rows) for name, row in world.saved.items()}
    world.collect("polymarket", fresh=True)
    world.saved.clear()
    ledger = Ledger("polymarket", world.source("polymarket").inbox)
    ledger.catch_up()
    now = {row.stream: (row.pages, row.rows) for row in ledger.take_rows()}
    assert now.keys() == went_on.keys()
    assert all(now[name][0] - went_on[name][0] in (0, 1) for name in now)
    assert sum(pages for pages, _ in now.values()) == len(world.server.log)


def test_a_market_that_leaves_the_list_is_asked_for_by_name_until_its_end_is_known(world: World) -> None:
    for name in ("kalshi", "polymarket"):
        world.collect(name)
        market = next(iter(world.venues[name].markets.values()))
        market.won, market.settled_at = True, NOW + timedelta(minutes=30)
        market.closes_at = NOW + timedelta(minutes=20)
    world.pace.at += timedelta(hours=1)
    for name in ("kalshi", "polymarket"):
        world.collect(name)
        known = world.source(name).listings().filter(status="resolved")
        assert known.select("resolution", "resolved_at").rows() == [(1.0, NOW + timedelta(minutes=30))]


def test_a_market_that_vanishes_stays_and_is_unlisted(world: World) -> None:
    for name in ("kalshi", "polymarket"):
        world.collect(name)
        gone = next(iter(world.venues[name].markets))
        world.venues[name].gone.add(gone)
        world.pace.at += timedelta(hours=1)
        world.collect(name)
        statuses = Counter(world.source(name).markets().get_column("status"))
        assert statuses == {"open": 3, "unlisted": 1}
        assert world.source(name).markets().height == 4


def test_a_venue_without_keyset_pages_is_read_by_offset(world: World) -> None:
    world.venues["polymarket"].has_keyset = False
    assert world.collect("polymarket").is_done
    assert world.source("polymarket").markets().height == 4


def test_a_span_that_is_too_long_for_the_venue_is_halved(world: World) -> None:
    world.venues["polymarket"].most_span = timedelta(days=2)
    for _ in range(12):
        if world.collect("polymarket").is_done:
            break
    assert world.rows("polymarket").height == 1200
