"""Faults of a venue that are of one feed alone, and what is said of them; those of every feed: tests/conformance."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.collect import http
from agent.collect.http import SourceRefused
from pipelines.testing.feed_suite import PASSING
from pipelines.testing.venues import Answer, Fault
from tests.integration.collect.conftest import NOW, World
from tests.integration.collect.test_collecting import _whole, prices


@pytest.mark.parametrize("fault", PASSING)
def test_one_market_that_always_fails_rests_and_the_others_go_on(world: World, fault: Fault) -> None:
    """1, 5, then 30 minutes; what is said of it says why; when the fault is gone, nothing is missing."""
    world.trial.patience = 1.0 if fault == "drip" else 20.0
    broken = next(iter(world.venues["kalshi"].markets))

    def of_market(number: int) -> Fault | None:
        one = world.server.asked("kalshi")[number - 1]
        return fault if broken in one.path else None

    world.server.faults["kalshi"] = of_market
    passed = world.collect("kalshi")
    ((stream, why),) = passed.failed.items()
    assert broken in stream
    assert PASSING[fault] in why
    assert world.rows("kalshi").get_column("market_id").n_unique() == 3
    rests = []
    for _ in range(3):
        row = world.saved[stream]
        assert row.next_try_at is not None
        rests.append(row.next_try_at - world.pace.at)
        world.collect("kalshi")
        assert world.saved[stream].next_try_at == row.next_try_at  # it is left alone until then
        world.pace.at = row.next_try_at + timedelta(seconds=1)
        world.collect("kalshi", fresh=True)
    assert [round(one.total_seconds() / 60) for one in rests] == [1, 5, 30]
    del world.server.faults["kalshi"]
    world.pace.at += timedelta(minutes=31)
    assert world.collect("kalshi").failed == {}
    assert world.saved[stream].failures == 0
    assert world.rows("kalshi").height == _whole(world, "kalshi", {})


@pytest.mark.parametrize(("name", "values"), [("kalshi", {"history": "trades"}), ("polymarket", {"history": "trades"})])
def test_a_page_that_comes_again_stops_its_stream(world: World, name: str, values: dict[str, Any]) -> None:
    """The venue ignores the cursor and gives the first page for ever."""
    world.venues["kalshi"].page = 50
    venue = world.venues[name]
    real = venue.__class__.__call__

    def stuck(asked: Any) -> Answer:
        params = tuple((k, v) for k, v in asked.params if k not in ("cursor", "offset"))
        answer = real(venue, asked)
        if asked.path.endswith("trades"):
            answer = real(venue, type(asked)(asked.number, asked.venue, asked.path, params, asked.headers))
            return Answer((answer.body * 9)[:500]) if name == "polymarket" else answer
        return answer

    world.server.venues = {**world.server.venues, name: stuck}
    passed = world.collect(name, **values)
    assert len(passed.failed) == 4
    assert all("does not end" in why for why in passed.failed.values())
    assert len(prices(world, name)) <= 12


def test_a_list_without_end_stops(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.collect.collector.MOST_PAGES", 20)
    market = iter(range(10**6))

    def endless(asked: Any) -> Answer:
        number = next(market)
        row = world.venues["kalshi"]._market(next(iter(world.venues["kalshi"].markets.values())), NOW)
        return Answer({"cursor": str(number), "markets": [{**row, "ticker": f"KX-{number}-A"}]})

    world.server.venues = {**world.server.venues, "kalshi": endless}
    passed = world.collect("kalshi")
    assert "more than 20 pages" in passed.failed["list"]
    assert len([one for one in world.server.asked("kalshi") if one.path == "/markets"]) <= 25


def test_clocks_that_differ_are_reported(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.server.clock_offset = timedelta(seconds=90)
    world.collect("kalshi")
    assert re.search(r"kalshi: its clock is \+(89|90)\.\d s", caplog.text)


def test_rows_of_a_venue_whose_clock_is_ahead_are_not_believed_before_their_time(world: World) -> None:
    """It is ten minutes ahead and sends trades of then: quarantined in the page, which is kept."""
    venue = world.venues["kalshi"]
    real = venue.__class__.__call__

    def ahead(asked: Any) -> Answer:
        answer = real(venue, asked)
        if asked.one("ticker").endswith("C2"):
            then = (NOW + timedelta(minutes=10)).isoformat()
            answer.body["trades"].insert(0, {**answer.body["trades"][0], "trade_id": "ahead", "created_time": then})
        return answer

    world.server.venues = {**world.server.venues, "kalshi": ahead}
    world.collect("kalshi", history="trades")
    source = world.source("kalshi", history="trades")
    bad = [source.fetch(part).quarantined for part in source.probe().parts if part.startswith("trades")]
    assert [one.height for one in bad if one is not None] == [1]
    assert world.rows("kalshi", history="trades").height == 1200


def test_a_page_with_too_many_bad_rows_is_refused_and_few_are_listed(world: World) -> None:
    venue = world.venues["kalshi"]
    real, share = venue.__class__.__call__, [2]

    def odd(asked: Any) -> Answer:
        answer = real(venue, asked)
        if asked.path.endswith("trades"):
            for row in answer.body["trades"][:: share[0]]:
                row["yes_price_dollars"] = row["no_price_dollars"] = None
        return answer

    world.server.venues = {**world.server.venues, "kalshi": odd}
    passed = world.collect("kalshi", history="trades")
    assert all("150 of 300 rows are bad" in why and "yes_price is missing" in why for why in passed.failed.values())
    assert len(passed.failed) == 4
    share[0] = 100
    world.pace.at += timedelta(minutes=31)
    assert not world.collect("kalshi", history="trades").failed
    assert world.rows("kalshi", history="trades").height == 1200 - 12


def test_a_feed_that_breaks_stops_its_stream_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.sources.kalshi import KalshiFeed

    real = KalshiFeed.page

    def broken(self: Any, stream: Any, *arguments: Any) -> Any:
        if "C2" in stream.key:
            raise KeyError("a fault of the feed")
        return real(self, stream, *arguments)

    monkeypatch.setattr(KalshiFeed, "page", broken)
    passed = world.collect("kalshi")
    assert list(passed.failed.values()) == ["KeyError: 'a fault of the feed'"]
    assert world.rows("kalshi").get_column("market_id").n_unique() == 3


def test_a_body_without_end_is_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST_BYTES", 1000)
    passed = world.collect("kalshi")
    assert all("larger than" in why for why in passed.failed.values())
    assert passed.failed


def test_secrets_are_in_no_page_and_plain_http_is_for_this_machine_alone(world: World, tmp_path: Path) -> None:
    world.collect("kalshi")
    assert all(b"secret" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    with pytest.raises(SourceRefused, match="has no TLS"):
        http._require_safe("http://api.example.com/markets")
    http._require_safe("https://api.example.com/markets")


def test_what_this_process_is_late_is_no_fault_of_the_venue() -> None:
    """While the event loop is busy no reply is seen, however fast it came."""

    async def busy() -> float:
        lag = http.Lag()
        watching = asyncio.create_task(lag.watch())
        await asyncio.sleep(0)  # it has begun to wait
        time.sleep(0.3)  # noqa: ASYNC251 - the fault that is tried
        await asyncio.sleep(0.02)  # its turn was due before this
        watching.cancel()
        return lag.seconds

    assert asyncio.run(busy()) > 0.25
