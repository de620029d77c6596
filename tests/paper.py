"""A scripted market for the trading agent: hourly bars and forecasts in memory, a clock that tests move."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from agent.store.database.engine import Database
from agent.trading.config import TradingAgentConfig
from agent.trading.feed import Listing, Published, ReleaseInfo
from agent.trading.feeds.columns import BarColumns, TableFeed, Tables
from agent.trading.model import Instrument, Quote
from agent.trading.run import Start, Trader
from pipelines.costs import Costs

D = Decimal
NAN = float("nan")
HOUR = timedelta(hours=1)
START = datetime(2026, 1, 30, tzinfo=UTC)
MARKET = "test:BTC-USD"
FREE = Costs()


class MovedClock:
    """A clock that stands still until it is moved."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


def listing(market: str = MARKET, costs: Costs = FREE, **changes: Any) -> Listing:
    kind = changes.pop("kind", "spot")
    values: dict[str, Any] = {"lot": D("0.00000001"), "tick": D("0.01"), "base": market.split(":")[1].split("-")[0]}
    if kind == "binary":
        values |= {"lot": D(1), "tick": D("0.01"), "price_low": D(0), "price_high": D(1)}
    instrument = Instrument(market_id=market, kind=kind, **values)
    return Listing(instrument=instrument, costs=costs, bar_seconds=3600.0, name=market.split(":")[1], **changes)


def columns(opens: Sequence[float], volume: float = NAN) -> BarColumns:
    """One bar per hour from START - 1 h on: bar n opens at opens[n] and closes at the next one's open."""
    starts = [START + HOUR * (number - 1) for number in range(len(opens))]
    closes = [*opens[1:], opens[-1]]
    none = [NAN] * len(opens)
    return BarColumns(starts, [one + HOUR for one in starts], list(opens), closes, [volume] * len(opens), none, none)


def said(enters: Mapping[int, int], bars: int, market: str = MARKET, **changes: Any) -> list[Published]:
    """Forecasts of each bar; `enters`: number of a bar -> the side it would enter."""
    values: dict[str, Any] = {
        "probability": 0.7,
        "confidence": 0.8,
        "net_edge": 0.01,
        "reason": "scripted",
        "horizon_bars": 2,
        "model_version": "v",
        "may_short": False,
    }
    return [
        Published(market_id=market, ts=START + HOUR * number, enters=enters.get(number, 0), **values | changes)
        for number in range(bars)
    ]


def feed_of(
    opens: Mapping[str, Sequence[float]],
    enters: Mapping[str, Mapping[int, int]],
    listings: Sequence[Listing] = (),
    volume: float = NAN,
    **changes: Any,
) -> TableFeed:
    return TableFeed(tables_of(opens, enters, listings, volume, **changes))


def tables_of(
    opens: Mapping[str, Sequence[float]],
    enters: Mapping[str, Mapping[int, int]],
    listings: Sequence[Listing] = (),
    volume: float = NAN,
    **changes: Any,
) -> Tables:
    known = {one.instrument.market_id: one for one in listings}
    return Tables(
        ReleaseInfo(name="scripted", is_tradable=True, is_historical=True, base_rate=0.3),
        {market: known.get(market) or listing(market) for market in opens},
        {market: columns(one, volume) for market, one in opens.items()},
        {market: said(enters.get(market, {}), len(one), market, **changes) for market, one in opens.items()},
    )


def live_feed(bars: int) -> TableFeed:
    """A release that goes with the clock, whose newest of so many bars ended at START + (bars - 1) h: of one market,
    which it would enter at the first of them."""
    tables = tables_of({MARKET: [100.0] * bars}, {MARKET: {0: 1}})
    return TableFeed(replace(tables, release=replace(tables.release, is_historical=False)))


def trader(
    database: Database, feed: TableFeed, clock: MovedClock, pairs: Sequence[str] = ("BTCUSD",), **settings: Any
) -> Trader:
    """A trader on a fresh or found paper account. Kill gain is off: scripted prices jump."""
    more = {name: settings.pop(name) for name in ("home", "account_ref", "cash", "platform") if name in settings}
    values: dict[str, Any] = {
        "kill_switch_gain_pct": "off",
        "kill_switch_loss_pct": 0.5,
        "max_drawdown_pct": 0.5,
        "max_var_pct": 50.0,
    }
    values["monitoring_frequency_seconds"] = 300.0  # a cycle at each look
    config = TradingAgentConfig(asset_pairs=tuple(pairs), **values | settings)
    return Trader(Start(database=database, feed=feed, clock=clock, config=config, **more))


def cycles(one: Trader, clock: MovedClock, hours: Sequence[int]) -> list[Any]:
    """A cycle at each of these hours after START."""
    found = []
    for hour in hours:
        clock.at = START + HOUR * hour
        found.append(one.process_cycle())
    return found


def account_at_work(database: Database) -> int:
    """An account that holds one market below what was paid, has an order resting in another one and was refused in a
    third; returns its agent's id."""
    held, resting, refused = MARKET, "test:ETH-USD", "test:SOL-USD"
    opens = {held: [100.0, 100.0, 97.0, 96.0, 95.5], resting: [50.0] * 5, refused: [10.0] * 5}
    clock = MovedClock()
    feed = feed_of(opens, {held: dict.fromkeys(range(5), 1), resting: {3: 1}, refused: {3: 1}}, confidence=0.65)
    with trader(database, feed, clock, ("BTCUSD", "ETHUSD")) as one:
        one.recover()
        cycles(one, clock, range(4))
    limits = {"kill_switch_loss_pct": 0.02, "max_drawdown_pct": 0.05, "kill_switch_gain_pct": 0.05}
    pairs = ("BTCUSD", "ETHUSD", "SOLUSD")
    with trader(database, feed, clock, pairs, min_confidence_threshold=0.7, **limits) as one:
        one.recover()
        cycles(one, clock, (3,))
        return one.desk.agent_id


class Altered:
    """A platform whose quotes go through `alter` while it `is_on`."""

    def __init__(self, platform: Any, alter: Callable[[Quote], Quote | None]) -> None:
        self._platform, self._alter, self.is_on = platform, alter, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._platform, name)

    def quote(self, market_id: str) -> Quote | None:
        quote: Quote | None = self._platform.quote(market_id)
        return self._alter(quote) if quote is not None and self.is_on else quote
